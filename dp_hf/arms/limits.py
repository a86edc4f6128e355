"""What an arm may do: the limits of its numbers, described with the arm or read from a YAML file."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.arms.quantities import Quantities
from dp_hf.errors import UserError
from dp_hf.files import user_path
from dp_hf.yaml_files import read_yaml

_PER_NUMBER = ("velocity", "acceleration", "max_jump", "start_tolerance")
_SECONDS = ("max_image_age", "max_state_age", "max_frozen_age")


@dataclasses.dataclass(frozen=True, eq=False)
class SafetyLimits:
    """Limits of an arm's n numbers, each in its own unit. Lists become float64 arrays (n,) that cannot be written to;
    one number stands for all.

    Args:
        quantities: what the numbers are.
        positions: source of the limits -> a (lowest, highest) pair for each number; the intersection of all sources
            counts.
        velocity: highest speed of each number, per second.
        acceleration: highest change of that speed, per second squared.
        max_jump: how far a command may be from the measured state. An arm that is `start_tolerance` further away than
            this gets no commands until it is back.
        start_tolerance: how far from `start_pose`, or outside a position limit, an arm may be at the start.
        start_pose: where the arm must be then; None allows any legal pose.
        max_image_age: seconds without a camera frame after which the arm holds.
        max_state_age: seconds without a joint state after which the arm holds.
        max_frozen_age: seconds of identical camera frames after which the arm holds: a live sensor has noise. None
            for a camera without noise, a simulator's.

    Attributes:
        lowest, highest: (n,) the intersection of `positions`.

    Raises:
        UserError: a value that is no limit, named.
    """

    quantities: Quantities
    positions: Mapping[str, Any]
    velocity: Any
    acceleration: Any
    max_jump: Any
    start_tolerance: Any
    start_pose: Any = None
    max_image_age: float = 0.5
    max_state_age: float = 0.5
    max_frozen_age: float | None = 1.0
    lowest: np.ndarray = dataclasses.field(init=False)
    highest: np.ndarray = dataclasses.field(init=False)

    def __post_init__(self):
        n = len(self.quantities)
        for limit in _PER_NUMBER:
            if isinstance(one := getattr(self, limit), (int, float)):
                self._set(limit, [one] * n)
            self._set(limit, self._numbers(limit, getattr(self, limit), (n,)))
            self._refuse(f"{limit} must be above 0, got", getattr(self, limit) <= 0, getattr(self, limit))
        if self.start_pose is not None:
            self._set("start_pose", self._numbers("start_pose", self.start_pose, (n,)))
        for limit in _SECONDS:
            seconds = getattr(self, limit)
            if limit == "max_frozen_age" and seconds is None:
                continue
            if not isinstance(seconds, (int, float)) or not 0 < seconds < np.inf:
                raise UserError(f"{limit} must be a number above 0, got {seconds!r}")
        if not isinstance(self.positions, Mapping) or not self.positions:
            raise UserError("positions must map a source (urdf, vendor, ...) to [lowest, highest] of each number")
        pairs = np.array([self._numbers(f"positions.{name}", pair, (n, 2)) for name, pair in self.positions.items()])
        self._set("lowest", pairs[..., 0].max(axis=0))
        self._set("highest", pairs[..., 1].min(axis=0))
        ranges = np.stack([self.lowest, self.highest], axis=1)
        self._refuse("positions leave no room: lowest and highest are", self.lowest >= self.highest, ranges)

    def updated_from(self, path: str | Path) -> "SafetyLimits":
        """These limits, but for those that a YAML file names, such as the files of `configs/control/`.

        `names` and `units` in the file say what its numbers are of.

        Raises:
            UserError: the file cannot be read, its numbers are another arm's, or a value is no limit, named.
        """
        values = read_yaml(user_path(path)) or {}
        if not isinstance(values, dict):
            raise UserError(f"{path}: must be a mapping of limits")
        try:
            self._require_same("names", values.pop("names", None), self.quantities.names)
            self._require_same("units", values.pop("units", None), self.quantities.units)
            known = [field.name for field in dataclasses.fields(self) if field.init and field.name != "quantities"]
            if unknown := [str(name) for name in values if name not in known]:
                raise UserError(f"no limit is called {', '.join(unknown)}; there are {', '.join(known)}")
            return dataclasses.replace(self, **values)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    def _require_same(self, what: str, given: Any, own: tuple[str, ...]) -> None:
        if given is not None and given != list(own):
            raise UserError(f"these are another arm's limits: its {what} are {given}, this arm's {list(own)}")

    def _numbers(self, limit: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
        try:
            array = np.array(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"{limit} must be numbers, got {values!r}") from error
        if array.shape != shape:
            names = ", ".join(self.quantities.names)
            raise UserError(f"{limit} must be finite numbers of shape {shape}, for {names}; got {values!r}")
        self._refuse(
            f"{limit} must be finite numbers, got", np.any(~np.isfinite(array).reshape(shape[0], -1), axis=1), array
        )
        return array

    def _refuse(self, complaint: str, wrong: np.ndarray, values: np.ndarray) -> None:
        """Raises an error with the first number that is `wrong` (n,), and its value of `values` (n, ...)."""
        if wrong.any():
            first = int(np.argmax(wrong))
            raise UserError(f"{complaint} {values[first].tolist()} for {self.quantities.names[first]}")

    def _set(self, name: str, values: Any) -> None:
        if isinstance(values, np.ndarray):
            values.setflags(write=False)
        object.__setattr__(self, name, values)
