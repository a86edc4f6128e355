"""The options of a training run, in groups."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from dp_hf.errors import UserError
from dp_hf.models.policy_config import PolicyConfig
from dp_hf.ranges import Range, require_in_range


@dataclass
class DataOptions:
    """Which rows of the recordings are learned from, and what their numbers mean."""

    streaming: bool = False
    """Read a Hub dataset as a stream, once, and keep only its resized frames instead of a copy of it."""
    frame_skip: Annotated[int, Range(1)] = 2
    """Use every N-th recorded frame, counting those that a converted dataset has skipped already."""
    action_offset: Annotated[int, Range(0)] | None = None
    """The action is the state this many used frames later; 0 is the state in the image. None is as converted, or 1."""
    action_source: Literal["auto", "recorded", "state"] = "auto"
    """Actions from recorded commands, or from states; auto takes commands where all frames have one."""
    camera_names: tuple[str, ...] = ()
    """Cameras (image columns) the policy sees; default all."""
    state_dim: Annotated[int, Range(1, 4096)] = PolicyConfig.state_dim
    """Width of the state. A dataset of another width is taken as it is."""
    learn_from: Literal["person", "all"] = "person"
    """Of recorded runs the frames in which a person acted, or all: what learns from itself learns its own mistakes."""
    corrections: str | None = None
    """Second dataset, of corrections: folder of episodes, converted dataset, or id on the Hub."""
    corrections_share: Annotated[float, Range(above=0, below=1)] = 0.5
    """Share of every batch that is from --corrections."""
    normalization: Literal["min_max", "mean_std", "identity"] = "min_max"
    """Of states and actions, by the training episodes: to [-1, 1], to zero mean and unit variance, or not at all."""


@dataclass
class DiffusionOptions:
    """The noise that the policy learns to take away, and the sampler that takes it away."""

    diffusion_timesteps: Annotated[int, Range(1, 100000)] = 1000
    """Noise levels the policy is trained on."""
    beta_start: Annotated[float, Range(above=0, below=1)] = 1e-4
    """Noise variance of the first level (linear and scaled_linear schedules)."""
    beta_end: Annotated[float, Range(above=0, below=1)] = 0.02
    """Noise variance of the last level (linear and scaled_linear schedules)."""
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    """How the noise variance grows over the levels."""
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    """What the network predicts: the noise, the clean actions, or the velocity."""
    noise_scheduler: Literal["ddpm", "ddim", "dpm_solver"] = "ddpm"
    """Sampler that is saved in the pipeline and used by validation."""
    num_inference_steps: Annotated[int, Range(1)] | None = None
    """Denoising steps of the sampler; None is diffusion_timesteps."""

    def __post_init__(self):
        require_in_range(self)
        if self.beta_end < self.beta_start:
            raise UserError(f"beta_end is at least beta_start ({self.beta_start}); got {self.beta_end}")
        if self.num_inference_steps is not None and self.num_inference_steps > self.diffusion_timesteps:
            raise UserError(
                f"num_inference_steps is 1 to diffusion_timesteps ({self.diffusion_timesteps}); got "
                f"{self.num_inference_steps}"
            )


@dataclass
class OptimizationOptions:
    """How the weights are learned."""

    pretrained_backbone: str = "timm"
    """Weights the encoder starts from: timm (the published ones), none (random), or a file."""
    init_from: str | None = None
    """Policy to start from, with its normalizer: a pipeline's folder or Hub id, or a .pth file of the reference."""
    batch_size: Annotated[int, Range(1)] = 32
    """Windows a process takes in one step."""
    noise_samples_per_image: Annotated[int, Range(1)] = 1
    """Noise levels drawn for every window of a batch; the image is encoded once for all of them."""
    num_epochs: Annotated[int, Range(1)] = 1000
    """Passes over the training windows."""
    learning_rate: Annotated[float, Range(above=0)] = 1e-4
    """Of AdamW, after the warm-up."""
    weight_decay: Annotated[float, Range(0)] = 1e-5
    """Of AdamW."""
    lr_scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine"] = "constant"
    """How the learning rate changes over the training; all but constant begin with the warm-up."""
    lr_warmup_steps: Annotated[int, Range(0)] = 500
    """Updates in which the learning rate rises from 0; at most a tenth of the run's."""
    gradient_accumulation_steps: Annotated[int, Range(1)] = 1
    """Batches summed up in one update."""
    clip_grad_norm: Annotated[float, Range(0)] = 0.0
    """Largest norm of the gradient; 0 is no limit."""
    ema_decay: Annotated[float, Range(0, below=1)] = 0.0
    """Keep an exponential moving average of the weights with this decay, validate and save it; 0 keeps none."""
    loss_on_padding: bool = False
    """Also learn the actions past an episode's end, where the last action is repeated."""


@dataclass
class AugmentationOptions:
    """Changes to what the policy sees in training, against what the demonstrations do not show.

    Each draws anew for every window and camera, from none to its strength. Pixels are those of the resized image.
    """

    random_shift: Annotated[float, Range(0, 8192)] = 0.0
    """Shift the images by up to this many pixels each way; the edge's pixels fill in, here and below."""
    random_rotation: Annotated[float, Range(0, 180)] = 0.0
    """Turn the images by up to this many degrees, either way."""
    random_scale: Annotated[float, Range(0, 1)] = 0.0
    """Enlarge or shrink the images by up to this share, such as 0.1."""
    random_perspective: Annotated[float, Range(0, below=0.5)] = 0.0
    """Tilt the images: one side nearer by up to this share, the opposite one as much further away."""
    color_jitter: Annotated[float, Range(0, 1)] = 0.0
    """Change brightness, contrast and saturation by up to this share, such as 0.2."""
    channel_jitter: Annotated[float, Range(0, 1)] = 0.0
    """Change red, green and blue each by up to this share, as a lamp's colour and the white balance do."""
    hue_jitter: Annotated[float, Range(0, 1)] = 0.0
    """Turn the hue of all colours by up to this share of the way to the opposite one; 0.1 is 18 degrees."""
    gamma_jitter: Annotated[float, Range(0, 10)] = 0.0
    """Raise brightness to a power of up to 1 + this, or of one divided by that."""
    light_patches: Annotated[float, Range(0, 1)] = 0.0
    """Brighten or darken two patches with soft edges by up to this share, as lamps and shadows do."""
    random_blur: Annotated[float, Range(0, 100)] = 0.0
    """Blur the images by up to this many pixels (standard deviation)."""
    image_noise: Annotated[float, Range(0, 255)] = 0.0
    """Add noise of up to this standard deviation, of 255, to every pixel."""
    erased_patches: Annotated[int, Range(0, 64)] = 0
    """Cover this many rectangles, their sides up to a quarter of the image's height, with a colour each."""
    state_noise: Annotated[float, Range(0)] = 0.0
    """Standard deviation of noise on the state the policy sees, in the state's own units."""
    state_dropout: Annotated[float, Range(0, 1)] = 0.0
    """Probability that a window shows no state (0 once normalised), so that the images alone must tell the action."""

    @property
    def of_images(self) -> dict[str, float]:
        """The options that change images."""
        return {name: value for name, value in vars(self).items() if not name.startswith("state_")}

    @property
    def changes_images(self) -> bool:
        return max(self.of_images.values()) > 0


@dataclass
class LoadingOptions:
    """How images reach the policy."""

    cache: Literal["auto", "none"] = "auto"
    """Keep encoder features (or, where those change, resized images) on disk instead of decoding in every epoch."""
    cached_augmentations: Annotated[int, Range(0, 10000)] = 8
    """With a frozen encoder and image augmentation, cached variants of every frame; 0 augments anew instead."""
    cache_dir: Path | None = None
    """Folder of these caches and of converted episodes; default $DP_HF_CACHE or ~/.cache/dp_hf."""
    num_workers: Annotated[int, Range(0, 1024)] = 0
    """Processes that decode images where they are not cached."""


@dataclass
class HardwareOptions:
    """Processes, threads and the precision of their arithmetic."""

    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    """Precision of the networks' arithmetic; None takes what `accelerate launch` was told."""
    use_amp: bool = False
    """The same as --mixed_precision fp16 on a GPU and bf16 on a CPU."""
    num_processes: Annotated[int, Range(1, 65536)] | None = None
    """Processes that must be running; fewer or more is an error. None takes any number."""
    num_threads: Annotated[int, Range(1, 4096)] | None = None
    """CPU threads of torch; None is one where an MLP learns from cached features, which more slow down."""


@dataclass
class ValidationOptions:
    """Measuring the policy on episodes that are held out, or in the simulator."""

    validation_fraction: Annotated[float, Range(0, below=1)] = 0.1
    """Share of the episodes that is held out and validated on."""
    validation_interval: Annotated[int, Range(1)] = 50
    """Epochs between validations."""
    validation_windows: Annotated[int, Range(0)] = 256
    """Windows of the held-out episodes that are validated on, evenly spaced; 0 takes all."""
    rollout_interval: Annotated[int, Range(0)] = 0
    """Epochs between closed-loop trials in the simulator, which then choose best/; 0 tries none."""
    rollout_episodes: Annotated[int, Range(1)] = 20
    """Closed-loop trials each time."""
    task_file: str | None = None
    """Task of these trials in place of cube stacking: a YAML file or the name of one that comes with dp_hf, or a
    function MODULE:FUNCTION or FILE.py:FUNCTION. It is code that is run: take it from whom you trust."""
    task_arguments: tuple[str, ...] = ()
    """NAME=VALUE each: arguments of the task file's environment in place of its own."""


@dataclass
class SavingOptions:
    """Checkpoints and metrics in OUTPUT_DIR."""

    save_interval: Annotated[int, Range(1)] = 100
    """Epochs between checkpoints."""
    save_steps: Annotated[int, Range(1)] | None = None
    """Also save a checkpoint every N updates, for long epochs."""
    checkpoints_total_limit: Annotated[int, Range(1)] | None = 3
    """Checkpoints kept; the oldest goes first. None keeps all."""
    log_interval: Annotated[int, Range(1)] = 50
    """Updates between rows of metrics.jsonl."""
    tracker: Literal["none", "tensorboard", "wandb"] = "none"
    """Where metrics go beside metrics.jsonl."""
