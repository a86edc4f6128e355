"""The normalizer of an exported pipeline, read without its libraries."""

from pathlib import Path
from typing import Literal

import numpy as np

from dp_hf.errors import UserError
from dp_hf.files import read_json
from dp_hf.models.affine import to_network, to_robot
from dp_hf.tensor_file import read_float32

FILE, CONFIG = "diffusion_pytorch_model.safetensors", "config.json"
TENSORS = ("state_offset", "state_scale", "action_offset", "action_scale")
MODES = ("min_max", "mean_std", "identity")


class Statistics:
    """What `Normalizer` does to arrays.

    Args:
        folder: `normalizer/` of a pipeline.

    Raises:
        UserError: a file that is absent, cut or damaged, or holds something else.
    """

    state_offset: np.ndarray
    state_scale: np.ndarray
    action_offset: np.ndarray
    action_scale: np.ndarray

    def __init__(self, folder: Path):
        config = read_json(folder / CONFIG)
        if config.get("mode") not in MODES:
            raise UserError(f"{folder / CONFIG}: mode is {', '.join(MODES)}; got {config.get('mode')!r}")
        if unknown := [name for name in config if not name.startswith("_") and name not in _CONFIG_KEYS]:
            raise UserError(
                f"{folder / CONFIG}: this dp_hf does not know {unknown[0]}: install the one that it was exported with"
            )
        tensors = read_float32(folder / FILE)
        if tensors.keys() != set(TENSORS):
            raise UserError(f"{folder / FILE}: holds {', '.join(sorted(tensors))}, not {', '.join(sorted(TENSORS))}")
        for name, values in tensors.items():
            if values.shape != (config.get(f"{name.partition('_')[0]}_dim"),):
                raise UserError(f"{folder / FILE}: {name} has the shape {values.shape}, and {CONFIG} another one")
            if not np.isfinite(values).all():
                raise UserError(f"{folder / FILE}: tensor {name} holds values that are not finite; restore the file")
            setattr(self, name, values)

    def normalize(self, values: np.ndarray, name: Literal["state", "action"]) -> np.ndarray:
        """`values` (..., dim) in the robot's units, to the model's range; float32."""
        return to_network(values, getattr(self, f"{name}_offset"), getattr(self, f"{name}_scale"))

    def unnormalize(self, values: np.ndarray, name: Literal["state", "action"]) -> np.ndarray:
        """The inverse of `normalize`: (..., dim) from the model's range to the robot's units; float32."""
        return to_robot(values, getattr(self, f"{name}_offset"), getattr(self, f"{name}_scale"))


_CONFIG_KEYS = ("mode", "state_dim", "action_dim")
