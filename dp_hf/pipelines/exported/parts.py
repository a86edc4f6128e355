"""The parts of an exported pipeline's folder: read without torch, and refused where they are not understood whole."""

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from dp_hf.arms.undescribed import quantities_of
from dp_hf.errors import UserError
from dp_hf.files import read_json
from dp_hf.models.onnx_graph import open_graphs
from dp_hf.models.policy_config import OPTIONAL_IN_CONFIG, PolicyConfig
from dp_hf.pipelines.schedule import SCHEDULER_KEYS, SCHEDULES, DDIMSchedule, DDPMSchedule

# What an export adds to a policy's config.
_OF_THE_EXPORT = ("quantization", "export")


class ExportedPolicy:
    """The encoder and the denoiser, with the calls that a pipeline makes; arrays for the tensors of `OnnxPolicy`.

    Args:
        folder: holds `encoder.onnx`, `denoiser.onnx` and `config.json`.

    Raises:
        UserError: an absent or damaged file, one of another export, or an option that this version does not know.
    """

    def __init__(self, folder: Path):
        self.config = read_policy_config(folder / "config.json")
        self.encoder, self.denoising_network = open_graphs(folder, self.config)

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        """uint8 images (B, n_obs_steps, n_cameras, 3, H, W) to features (B, n_obs_steps, n_cameras * feature_dim)."""
        features = self.encoder(images.reshape(-1, *images.shape[-3:]))
        return features.reshape(*images.shape[:2], -1)

    def observation_features(self, image_features: np.ndarray, state: np.ndarray | None = None) -> np.ndarray:
        """What the denoiser is conditioned on, (B, observation_dim), from image features and the normalised state."""
        parts = [image_features.reshape(len(image_features), -1)]
        if self.config.use_proprioception:
            if state is None:
                raise UserError("this policy uses proprioception: pass the robot's state beside the image")
            parts.append(state.reshape(len(state), -1))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def with_prefix(self, observation: np.ndarray, actions: np.ndarray, num_committed: int) -> np.ndarray:
        """Observation features and, beside them, which of a chunk's actions (B, horizon, action_dim) are committed, the
        first `num_committed`, and what these are; only for a policy that learned with prefixes."""
        if self.config.max_prefix == 0:
            return observation
        given = (np.arange(self.config.max_prefix) < num_committed).astype(np.float32)[:, None]
        shown = [given * actions[:, : len(given)], np.broadcast_to(given, (len(actions), *given.shape))]
        return np.concatenate([observation, *(part.reshape(len(actions), -1) for part in shown)], axis=1)

    def denoise(self, noisy_actions: np.ndarray, timesteps: np.ndarray, observation: np.ndarray) -> np.ndarray:
        """Noisy actions (B, horizon, action_dim), timesteps (B,), features to a prediction of the actions' shape."""
        return self.denoising_network(noisy_actions, timesteps, observation)


def read_policy_config(file: Path) -> Any:
    """A policy's config, with the attributes of `PolicyConfig` and what the export adds.

    Raises:
        UserError: an option that is not there, is unknown, or has a value that it cannot have.
    """
    config = _own(read_json(file))
    options = {field.name for field in fields(PolicyConfig)}
    if lost := sorted(options - set(config) - set(OPTIONAL_IN_CONFIG)):
        raise UserError(
            f"{file}: has no {lost[0]}, and a default may not be what it was trained with; restore the file"
        )
    if unknown := sorted(set(config) - options - set(_OF_THE_EXPORT)):
        raise UserError(
            f"{file}: this dp_hf does not know {unknown[0]}, which may change the actions: install the one that it was "
            "exported with"
        )
    try:
        policy = PolicyConfig(**{name: value for name, value in config.items() if name in options})
        for kind in ("state", "action"):
            quantities_of(policy, kind)  # type: ignore[arg-type]
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    added = {name: config.get(name) for name in _OF_THE_EXPORT}
    return SimpleNamespace(**vars(policy), **added, _name_or_path=str(file.parent))


def read_schedule(folder: Path, scheduler: str) -> DDPMSchedule | DDIMSchedule:
    """The scheduler's config.

    Args:
        folder: `scheduler/` of a pipeline.
        scheduler: name of its class in diffusers.

    Raises:
        UserError: a scheduler, an option or a value that only diffusers can run; or one that is lost.
    """
    with_torch = "with torch the pipeline runs as it is"
    if scheduler not in SCHEDULES:
        known = " and ".join(SCHEDULES)
        raise UserError(f"{folder.parent}: without torch there are {known}, not {scheduler}; {with_torch}")
    file, schedule = folder / "scheduler_config.json", SCHEDULES[scheduler]
    config = _own(read_json(file))
    if unknown := sorted(set(config) - SCHEDULER_KEYS):
        raise UserError(f"{file}: {unknown[0]} is not known without torch; {with_torch}")
    options = [field.name for field in fields(schedule)]
    if lost := [name for name in options if name not in config]:
        raise UserError(
            f"{file}: has no {lost[0]}, and a default may not be what it was trained with; restore the file"
        )
    try:
        read = schedule(**{name: config[name] for name in options})
    except UserError as error:
        raise UserError(f"{file}: {error}; {with_torch}") from error
    levels = read.betas
    if levels.shape != (read.num_train_timesteps,) or not ((levels >= 0) & (levels <= 1)).all():
        raise UserError(f"{file}: its betas are no noise schedule; restore the file")
    return read


def _own(config: dict[str, Any]) -> dict[str, Any]:
    """Without what diffusers writes about itself."""
    return {name: value for name, value in config.items() if not name.startswith("_")}
