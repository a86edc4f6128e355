"""The options of a training run: one flat dataclass, which is the command's help and the file `train_config.yaml`."""

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from dp_hf.errors import UserError


@dataclass
class TrainConfig:
    """Trains a diffusion policy on recorded demonstrations.

    The defaults are the reference: one image, one action, a frozen ResNet34, an MLP and 1000 steps of DDPM.
    """

    data_dir: str = ""
    """Required. Folder of episodes, converted dataset, or dataset id on the Hub."""
    streaming: bool = False
    """Read a Hub dataset as a stream, once, and keep only its resized frames instead of a copy of it."""
    output_dir: Path = Path("outputs/train")
    """Folder for checkpoints, best/ and final/ pipelines, metrics.jsonl and curves.png."""
    config: Path | None = None
    """YAML file of these options, such as configs/train/stack_cpu.yaml; flags win over the file."""
    seed: int = 0
    """Of the weights, the order of the batches, the noise and the choice of held-out episodes."""

    frame_skip: int = 2
    """Use every N-th recorded frame, counting those that a converted dataset has skipped already."""
    action_offset: int | None = None
    """The action is the state this many used frames later; 0 is the state in the image. None is as converted, or 1."""
    action_source: Literal["auto", "recorded", "state"] = "auto"
    """Actions from recorded commands, or from states; auto takes commands where all frames have one."""
    camera_names: tuple[str, ...] = ()
    """Cameras (image columns) the policy sees; default all."""
    image_size: tuple[int, ...] = (224,)
    """Images are resized to this: one number, or height and width, in pixels."""
    validation_fraction: float = 0.1
    """Share of the episodes that is held out and validated on."""
    normalization: Literal["min_max", "mean_std", "identity"] = "min_max"
    """Of states and actions, by the training episodes: to [-1, 1], to zero mean and unit variance, or not at all."""

    state_dim: int = 7
    """Width of the state: six angles and the gripper. A dataset of another width is taken as it is."""
    n_obs_steps: int = 1
    """Frames the policy sees, the current one and those before it."""
    horizon: int = 1
    """Actions predicted at once."""
    n_action_steps: int = 1
    """Actions of a chunk that are executed before the next is predicted."""
    temporal_ensemble: float | None = None
    """Predict at every step instead and average, the i-th oldest weighing exp(-x * i) for this x, such as 0.01."""
    use_proprioception: bool = False
    """Whether the policy sees the robot's state beside the image."""
    image_encoder: str = "resnet34.tv_in1k"
    """Any timm model, or small_cnn, which trains from scratch on a CPU."""
    pretrained_backbone: str = "timm"
    """Weights the encoder starts from: timm (the published ones), none (random), or a file."""
    freeze_image_encoder: bool = True
    """Keep the encoder's weights, which lets its features be cached."""
    pooling: Literal["avg", "spatial_softmax"] = "avg"
    """How a feature map becomes a vector: its average, or the expected image position of each channel."""
    num_keypoints: int | None = None
    """With spatial_softmax, channels of a learned projection before it; None takes the map's own."""
    feature_layer: int = -2
    """With spatial_softmax, which feature map of a timm encoder; -1 is the last and coarsest."""
    denoiser: Literal["mlp", "mlp_layernorm", "unet1d"] = "mlp"
    """Network that predicts the noise: the reference's MLP, its LayerNorm and GELU variant, or a 1-D U-Net."""
    hidden_dim: int = 256
    """Width of the MLP's hidden layers."""
    num_mlp_layers: int = 4
    """Number of the MLP's hidden layers."""
    dropout: float = 0.1
    """Dropout of the MLP's hidden layers."""
    activation: Literal["relu", "mish"] = "relu"
    """Of the MLP's hidden layers."""
    time_embed_dim: int = 64
    """Width of the timestep embedding."""
    down_dims: tuple[int, ...] = (64, 128, 256)
    """Channels of the U-Net's levels."""

    diffusion_timesteps: int = 1000
    """Noise levels the policy is trained on."""
    beta_start: float = 1e-4
    """Noise variance of the first level (linear and scaled_linear schedules)."""
    beta_end: float = 0.02
    """Noise variance of the last level (linear and scaled_linear schedules)."""
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    """How the noise variance grows over the levels."""
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    """What the network predicts: the noise, the clean actions, or the velocity."""
    noise_scheduler: Literal["ddpm", "ddim", "dpm_solver"] = "ddpm"
    """Sampler that is saved in the pipeline and used by validation."""
    num_inference_steps: int | None = None
    """Denoising steps of the sampler; None is diffusion_timesteps."""

    batch_size: int = 32
    """Windows a process takes in one step."""
    noise_samples_per_image: int = 1
    """Noise levels drawn for every window of a batch; the image is encoded once for all of them."""
    num_epochs: int = 1000
    """Passes over the training windows."""
    learning_rate: float = 1e-4
    """Of AdamW, after the warm-up."""
    weight_decay: float = 1e-5
    """Of AdamW."""
    lr_scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine"] = "constant"
    """How the learning rate changes over the training; all but constant begin with the warm-up."""
    lr_warmup_steps: int = 500
    """Updates in which the learning rate rises from 0."""
    gradient_accumulation_steps: int = 1
    """Batches summed up in one update."""
    clip_grad_norm: float = 0.0
    """Largest norm of the gradient; 0 is no limit."""
    ema_decay: float = 0.0
    """Keep an exponential moving average of the weights with this decay, validate and save it; 0 keeps none."""
    loss_on_padding: bool = False
    """Also learn the actions past an episode's end, where the last action is repeated."""
    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    """Precision of the networks' arithmetic; None takes what `accelerate launch` was told."""
    num_threads: int | None = None
    """CPU threads of torch; None is one where an MLP learns from cached features, which more slow down."""
    use_amp: bool = False
    """The same as --mixed_precision fp16 on a GPU and bf16 on a CPU."""
    num_processes: int | None = None
    """Processes that must be running; fewer or more is an error. None takes any number."""

    random_shift: int = 0
    """Augmentation: shift the images by up to this many pixels of the resized image."""
    color_jitter: float = 0.0
    """Augmentation: change brightness, contrast and saturation by up to this share, such as 0.2."""
    state_noise: float = 0.0
    """Augmentation: standard deviation of noise on the state the policy sees, in the state's units."""
    cache: Literal["auto", "none"] = "auto"
    """Keep encoder features (or, where those change, resized images) on disk instead of decoding in every epoch."""
    cached_augmentations: int = 8
    """With a frozen encoder and image augmentation, cached variants of every frame; 0 augments anew instead."""
    cache_dir: Path | None = None
    """Folder of these caches; default $DP_HF_CACHE or ~/.cache/dp_hf."""
    num_workers: int = 0
    """Processes that decode images where they are not cached."""

    save_interval: int = 100
    """Epochs between checkpoints."""
    save_steps: int | None = None
    """Also save a checkpoint every N updates, for long epochs."""
    checkpoints_total_limit: int | None = 3
    """Checkpoints kept; the oldest goes first. None keeps all."""
    resume_from_checkpoint: str | None = None
    """Continue exactly where a run was: latest (of output_dir), or a checkpoint's folder."""
    validation_interval: int = 50
    """Epochs between validations."""
    validation_windows: int = 256
    """Windows of the held-out episodes that are validated on, evenly spaced; 0 takes all."""
    rollout_interval: int = 0
    """Epochs between closed-loop trials in the simulator, which then choose best/; 0 tries none."""
    rollout_episodes: int = 20
    """Closed-loop trials each time."""
    log_interval: int = 50
    """Updates between rows of metrics.jsonl."""
    tracker: Literal["none", "tensorboard", "wandb"] = "none"
    """Where metrics go beside metrics.jsonl."""

    def __post_init__(self):
        if len(self.image_size) not in (1, 2) or min(self.image_size) < 1:
            raise UserError(f"image_size is one number or height and width; got {list(self.image_size)}")
        if not 0 <= self.validation_fraction < 1:
            raise UserError(f"validation_fraction is at least 0 and below 1; got {self.validation_fraction}")
        if not 1 <= self.n_action_steps <= self.horizon:
            raise UserError(f"n_action_steps is 1 to horizon ({self.horizon}); got {self.n_action_steps}")
        at_least_one = (
            *("batch_size", "num_epochs", "n_obs_steps", "horizon", "noise_samples_per_image", "diffusion_timesteps"),
            *("gradient_accumulation_steps", "save_interval", "validation_interval", "log_interval"),
        )
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise UserError(f"{name} is at least 1; got {getattr(self, name)}")

    @property
    def height_and_width(self) -> tuple[int, int]:
        return self.image_size[0], self.image_size[-1]

    @property
    def augments_images(self) -> bool:
        return self.random_shift > 0 or self.color_jitter > 0


def read_config_file(path: Path) -> dict[str, Any]:
    """The options in a YAML file, checked by name only.

    Raises:
        UserError: the file cannot be read, or names an option that does not exist.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML ({error})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected `option: value` lines")
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    for name in values:
        if name not in names or name == "config":
            close = difflib.get_close_matches(str(name), names, n=1)
            raise UserError(f"{path}: no option {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return values


def as_flags(values: dict[str, Any]) -> list[str]:
    """Options from a file as command-line flags, so that both go through the same checks."""
    flags: list[str] = []
    for name, value in values.items():
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no_{name}")
        else:
            flags += [f"--{name}", *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return flags


def save_config(config: TrainConfig, path: Path) -> None:
    """Writes the options as YAML that `--config` reads back."""
    partial = path.with_suffix(".partial")
    partial.write_text(yaml.safe_dump(plain_options(config), sort_keys=False), encoding="utf-8")
    partial.replace(path)


def changed_options(config: TrainConfig, path: Path) -> list[str]:
    """What differs from the options saved at `path`, as `name: old -> new`."""
    saved = read_config_file(path) if path.is_file() else {}
    now = plain_options(config)
    return [
        f"{name}: {old} -> {now[name]}"
        for name, old in saved.items()
        if now[name] != old and name not in ("resume_from_checkpoint", "output_dir")
    ]


def plain_options(config: TrainConfig) -> dict[str, Any]:
    """The options as YAML and JSON can hold them; without `config`, which is merged in already."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        return list(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in dataclasses.asdict(config).items() if name != "config"}
