"""Between the robot's units and the model's: an affine map per dimension, saved beside the policy."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin

from dp_hf.errors import UserError
from dp_hf.models.affine import to_network, to_robot
from dp_hf.models.saved_model import SavedModel

# In any unit (degrees, radians, metres, points) finer than an arm can be placed, so a smaller spread is no signal.
CONSTANT_SPREAD = 1e-4


class Normalizer(SavedModel, ModelMixin):
    """Maps states and actions to about [-1, 1] and back: `(x - offset) / scale`, per dimension.

    A dimension that is constant in the data has scale 0: it maps to 0, and whatever the model puts there maps back to
    exactly that constant. The four buffers stay float32 when the pipeline is cast to half precision, where an angle
    of 100 degrees would be off by half a degree.

    Args:
        mode: `min_max` to [-1, 1], `mean_std` to zero mean and unit variance, or `identity`.
        state_dim, action_dim: widths of the two vectors.
    """

    _keep_in_fp32_modules = ["state_offset", "state_scale", "action_offset", "action_scale"]  # noqa: RUF012

    @register_to_config
    def __init__(
        self,
        mode: Literal["min_max", "mean_std", "identity"] = "min_max",
        state_dim: int = 7,
        action_dim: int = 7,
    ):
        super().__init__()
        if mode not in ("min_max", "mean_std", "identity"):
            raise UserError(f"normalization is min_max, mean_std or identity; got {mode!r}")
        # NaN stands for "no statistics yet"; identity needs none.
        offset, scale = (0.0, 1.0) if mode == "identity" else (torch.nan, torch.nan)
        for name, dim in (("state", state_dim), ("action", action_dim)):
            self.register_buffer(f"{name}_offset", torch.full((dim,), offset))
            self.register_buffer(f"{name}_scale", torch.full((dim,), scale))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Any:
        """As `SavedModel`'s. `low_cpu_mem_usage`, which diffusers refuses to turn off for what stays float32, is left
        out: it changes how a model's weights come into memory, and these are a few numbers."""
        kwargs.pop("low_cpu_mem_usage", None)
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_data(cls, states, actions, mode: str = "min_max") -> "Normalizer":
        """Statistics from data in the robot's units.

        Args:
            states: array or tensor (N, state_dim).
            actions: array or tensor (N, action_dim).

        Raises:
            UserError: no rows, or values that are not finite.
        """
        columns = {"state": _as_rows(states, "state"), "action": _as_rows(actions, "action")}
        normalizer = cls(mode, columns["state"].shape[1], columns["action"].shape[1])
        if mode == "identity":
            return normalizer
        for name, rows in columns.items():
            low, high = rows.amin(0), rows.amax(0)
            if mode == "min_max":
                offset, scale = (high + low) / 2, (high - low) / 2
            else:
                offset, scale = rows.mean(0), rows.std(0, correction=0)
            constant = high - low < CONSTANT_SPREAD
            offset = torch.where(constant, low, offset)
            getattr(normalizer, f"{name}_offset").copy_(offset)
            getattr(normalizer, f"{name}_scale").copy_(torch.where(constant, 0.0, scale))
        return normalizer

    def normalize(self, values: torch.Tensor, name: Literal["state", "action"]) -> torch.Tensor:
        """`values` (..., dim) in the robot's units, to the model's range; float32."""
        offset, scale = self._statistics(name)
        return to_network(values.float(), offset, scale)

    def unnormalize(self, values: torch.Tensor, name: Literal["state", "action"]) -> torch.Tensor:
        """The inverse of `normalize`: (..., dim) from the model's range to the robot's units; float32."""
        offset, scale = self._statistics(name)
        return to_robot(values.float(), offset, scale)

    def require_statistics(self) -> None:
        """Raises `UserError` when the normalizer was neither made by `from_data` nor loaded."""
        if not all(torch.isfinite(buffer).all() for buffer in self.buffers()):
            raise UserError("the normalizer has no statistics; make it with Normalizer.from_data(states, actions)")

    def _statistics(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return getattr(self, f"{name}_offset"), getattr(self, f"{name}_scale")

    def _apply(self, fn, recurse=True):
        # Follow `.to(device)` but not `.to(dtype)`.
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)


def _as_rows(values, name: str) -> torch.Tensor:
    rows = torch.as_tensor(np.asarray(values), dtype=torch.float64)
    if rows.ndim != 2 or len(rows) == 0:
        raise UserError(f"{name} statistics need rows (N, dim), N >= 1; got shape {tuple(rows.shape)}")
    if not torch.isfinite(rows).all():
        raise UserError(f"{name} statistics: row {int((~torch.isfinite(rows)).any(1).nonzero()[0])} is not finite")
    return rows
