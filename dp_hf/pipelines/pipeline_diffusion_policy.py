"""`DiffusionPolicyPipeline`: an image in, a chunk of robot actions out."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from diffusers.utils import BaseOutput, logging
from huggingface_hub import HfApi, snapshot_download

from dp_hf.errors import UserError
from dp_hf.models.image_processor import ImageLike, preprocess_image
from dp_hf.models.normalizer import Normalizer
from dp_hf.models.onnx_policy import OnnxPolicy
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.pipelines.fast.encoder import InferenceEncoder
from dp_hf.pipelines.fast.sampling import sample
from dp_hf.pipelines.model_card import PLACEHOLDER, render_model_card
from dp_hf.pipelines.sampling import Callback, Generator, require_supported

Frame: TypeAlias = "ImageLike | Mapping[str, ImageLike]"


@dataclass
class DiffusionPolicyOutput(BaseOutput):
    """Predicted actions.

    Args:
        actions: (B, horizon, action_dim) float32: joint angles in degrees, then the gripper, 0 (closed) to 100 (open).
    """

    actions: np.ndarray | torch.Tensor


class DiffusionPolicyPipeline(DiffusionPipeline):
    """A trained policy with its noise scheduler and normalizer.

    ```python
    pipeline = DiffusionPolicyPipeline.from_pretrained("outputs/stack/final")
    action = pipeline("frame.png").actions[0, 0]  # six angles in degrees and the gripper, 0..100
    ```

    Args:
        policy: the network.
        scheduler: DDPM, DDIM, DPM-Solver++ or UniPC; `type(other).from_config(pipeline.scheduler.config)` swaps it.
        normalizer: statistics of the training data.
        num_inference_steps: denoising steps when a call names none; None is as many as the policy was trained with.
    """

    model_cpu_offload_seq = "policy"
    policy: DiffusionPolicyModel | OnnxPolicy
    scheduler: SchedulerMixin
    normalizer: Normalizer

    def __init__(
        self,
        policy: DiffusionPolicyModel | OnnxPolicy,
        scheduler: SchedulerMixin,
        normalizer: Normalizer,
        num_inference_steps: int | None = None,
    ):
        super().__init__()
        require_supported(scheduler)
        normalizer.require_statistics()
        policy.eval()
        self.register_modules(policy=policy, scheduler=scheduler, normalizer=normalizer)
        self.register_to_config(num_inference_steps=num_inference_steps)
        self.model_card: str | None = None
        self._inference_encoder: InferenceEncoder | None = None

    @torch.no_grad()
    def __call__(
        self,
        image: "Frame | list[Frame] | list[list[Frame]]",
        state: "np.ndarray | torch.Tensor | list | None" = None,
        num_inference_steps: int | None = None,
        generator: Generator = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback: Callback | None = None,
    ) -> DiffusionPolicyOutput | tuple:
        """Predicts a chunk of actions.

        Args:
            image: a PIL image, a path, a uint8 array (H, W, 3) or a tensor (3, H, W); for several cameras a dict from
                camera name to image; a list of these is a batch. A policy that observes several steps takes a list of
                its last `n_obs_steps` frames, the latest last, for each of the batch; a single frame is repeated.
            state: angles in degrees and gripper, (7,), (B, 7) or (B, n_obs_steps, 7), where the policy uses it.
            num_inference_steps: denoising steps.
            generator: makes the result reproducible; a list has one for each of the batch.
            output_type: `np` or `pt`.
            callback: called after each denoising step with (step index, timestep, normalised noisy actions).

        Raises:
            UserError: an image or state of another kind or shape, or a missing camera, named.
        """
        if output_type not in ("np", "pt"):
            raise UserError(f"output_type is 'np' or 'pt'; got {output_type!r}")
        config = self.policy.config
        device = self._execution_device
        images = self.prepare_images(image)
        states = self.prepare_state(state, len(images)) if config.use_proprioception else None

        features = self.policy.encode_images(images.to(device), self._inference_encoder)
        if states is not None:
            states = self.normalizer.normalize(states.to(device), "state")
        observation = self.policy.observation_features(features, states)
        actions = sample(
            self.policy,
            observation,
            self.scheduler,
            num_inference_steps or self.config.num_inference_steps or self.scheduler.config.num_train_timesteps,
            generator,
            callback,
        )
        actions = self.normalizer.unnormalize(actions, "action")
        output = actions.cpu().numpy() if output_type == "np" else actions
        return DiffusionPolicyOutput(output) if return_dict else (output,)

    def optimize_for_inference(self, dtype: torch.dtype | None = torch.bfloat16) -> "DiffusionPolicyPipeline":
        """Encodes images by a faster copy of the encoder: batch norms folded, channels-last, in `dtype`.

        The copy is for inference: it follows the encoder's weights and is not saved. bfloat16 takes about half the
        time of float32 on a CPU that computes in it (AVX512-BF16, more with AMX), and changes a ResNet34's features by
        0.3 % of their norm; float32 changes them by rounding alone. scripts/benchmarks/sampling.py measures both.

        Args:
            dtype: what the backbone computes in; None goes back to the encoder itself.

        Returns:
            the pipeline.
        """
        if isinstance(self.policy, OnnxPolicy):
            raise UserError("onnxruntime optimizes a policy itself when it loads it")
        self._inference_encoder = None if dtype is None else InferenceEncoder(self.policy.encoder, dtype)
        return self

    def prepare_images(self, image) -> torch.Tensor:
        """Whatever `__call__` accepts, as uint8 (B, n_obs_steps, n_cameras, 3, H, W)."""
        config = self.policy.config
        is_batch = isinstance(image, (list, tuple)) or getattr(image, "ndim", 3) == 4
        histories = []
        for item in image if is_batch else [image]:
            frames = list(item) if isinstance(item, (list, tuple)) else [item] * config.n_obs_steps
            if len(frames) != config.n_obs_steps:
                raise UserError(f"this policy observes {config.n_obs_steps} frames at once; got {len(frames)}")
            histories.append(torch.stack([self._prepare_frame(frame) for frame in frames]))
        if not histories:
            raise UserError("no image was given")
        return torch.stack(histories)

    def _prepare_frame(self, frame: Frame) -> torch.Tensor:
        names, size = self.policy.config.camera_names, tuple(self.policy.config.image_size)
        if not isinstance(frame, Mapping):
            if len(names) > 1:
                raise UserError(f"this policy sees the cameras {', '.join(names)}: pass a dict of their images")
            frame = {names[0]: frame}
        if missing := [name for name in names if name not in frame]:
            raise UserError(f"no image for camera {', '.join(missing)}; got {', '.join(frame)}")
        return torch.stack([preprocess_image(frame[name], size) for name in names])

    def prepare_state(self, state, batch_size: int) -> torch.Tensor:
        """Whatever `__call__` accepts, as float32 (B, n_obs_steps, state_dim)."""
        config = self.policy.config
        if state is None:
            raise UserError(
                "this policy uses proprioception: pass state=, six angles in degrees and the gripper 0..100"
            )
        states = torch.as_tensor(np.asarray(state), dtype=torch.float32)
        if states.ndim < 3:
            states = states.view(-1, 1, states.shape[-1]).expand(-1, config.n_obs_steps, -1)
        if len(states) == 1:
            states = states.expand(batch_size, -1, -1)
        expected = (batch_size, config.n_obs_steps, config.state_dim)
        if states.shape != expected:
            raise UserError(f"state must be {expected} or a part of it; got {tuple(np.shape(state))}")
        if not torch.isfinite(states).all():
            raise UserError(f"state holds a value that is not finite: {state}")
        return states

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> None:
        """Writes the pipeline's folder: components, `model_index.json` and the model card `README.md`."""
        if kwargs.pop("push_to_hub", False):
            raise UserError("save_pretrained only saves; call push_to_hub(repo_id) to upload")
        super().save_pretrained(str(save_directory), **kwargs)
        (Path(save_directory) / "README.md").write_text(self.card(), encoding="utf-8")

    def card(self) -> str:
        """The model card: `model_card` where it was set or loaded, else one rendered from the configuration."""
        return self.model_card or render_model_card(self)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        backend: Literal["torch", "onnx"] | None = None,
        **kwargs,
    ) -> "DiffusionPolicyPipeline":
        """Loads a pipeline from a folder, or from the Hub by repository id; further arguments as in diffusers.

        Args:
            backend: what runs the policy; a pipeline that `dp-hf export-policy` wrote is `onnx`, any other `torch`.
                None takes what is there.
        """
        source = str(pretrained_model_name_or_path)
        if Path(source).exists() and not (Path(source) / "model_index.json").is_file():
            raise UserError(f"{source}: not a pipeline folder, it has no model_index.json")
        if not Path(source).exists():
            source = cls.download(source, **kwargs)
        with no_progress_bar():
            pipeline = super().from_pretrained(source, **kwargs)
        found = "onnx" if isinstance(pipeline.policy, OnnxPolicy) else "torch"
        if backend not in (None, found):
            raise UserError(f"{source} is for {found}, not for {backend}; dp-hf export-policy makes one for onnx")
        card = Path(source) / "README.md"
        pipeline.model_card = card.read_text(encoding="utf-8") if card.is_file() else None
        return pipeline

    @classmethod
    def load_config(cls, *args, **kwargs) -> "dict | tuple":
        """As in diffusers, but its classes are the installed ones whatever the file says: loading a repository that
        brings code of its own (see `dp_hf.interop.bundled_code`) does not run that code."""
        loaded = super().load_config(*args, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded
        if missing := {"policy", "scheduler", "normalizer"} - set(config):
            raise UserError(
                f"{args[0]}: not a diffusion policy; its model_index.json has no {', '.join(sorted(missing))}"
            )
        config["_class_name"] = cls.__name__
        config["scheduler"] = ["diffusers", config["scheduler"][1]]
        policy = OnnxPolicy if config["policy"][1] == OnnxPolicy.__name__ else DiffusionPolicyModel
        for name, component in (("policy", policy), ("normalizer", Normalizer)):
            config[name] = [component.__module__, component.__name__]
        return loaded

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs) -> str:
        """The folder of a snapshot from the Hub. Stock `download` cannot read component paths outside diffusers."""
        known = ("cache_dir", "force_download", "token", "local_files_only", "revision")
        options = {name: kwargs[name] for name in known if kwargs.get(name) is not None}
        patterns = ["*.json", "*.safetensors", "*.onnx", "*.md", "*.py"]
        try:
            return snapshot_download(pretrained_model_name, allow_patterns=patterns, **options)
        except (OSError, ValueError) as error:  # the Hub client's errors derive from these
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"{pretrained_model_name}: no such folder, and not to be had from the Hub: {reason}"
            ) from error

    def push_to_hub(
        self,
        repo_id: str,
        private: bool | None = None,
        token: str | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        prepare: Callable[[Path], None] | None = None,
    ) -> str:
        """Uploads the pipeline with its model card; creates the repository, and the branch, where there is none.

        Args:
            prepare: is given the folder before it is uploaded, and may change it.

        Returns:
            the address of the commit.
        """
        api = HfApi(token=token)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            if prepare is not None:
                prepare(Path(folder))
            card = Path(folder) / "README.md"
            card.write_text(card.read_text(encoding="utf-8").replace(PLACEHOLDER, repo_id), encoding="utf-8")
            return api.upload_folder(
                repo_id=repo_id, folder_path=folder, revision=revision, commit_message=commit_message
            )


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Without diffusers' bar over three small components."""
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()
