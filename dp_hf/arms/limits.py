"""The limits of an arm, from a YAML file."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dp_hf.arms.mycobot_280 import POSITIONS, STATE_DIM
from dp_hf.errors import UserError


@dataclasses.dataclass
class SafetyLimits:
    """Limits of the seven commanded values: six joint angles in degrees, then the gripper, 0..100.

    The defaults are a myCobot 280's. Lists become float64 arrays (7,).

    Args:
        positions: source of the limits -> seven (lowest, highest) pairs; the intersection of all sources counts.
        velocity: highest speed of each value, per second.
        acceleration: highest change of that speed, per second squared.
        max_jump: how far a command may be from the measured state. An arm that is `start_tolerance` further away than
            this gets no commands until it is back.
        start_pose: where the arm must be at the start, within `start_tolerance`; None allows any legal pose.
        start_tolerance: degrees (and units of the gripper).
        max_image_age: seconds without a camera frame after which the arm holds.
        max_state_age: seconds without a joint state after which the arm holds.
        max_frozen_age: seconds of identical camera frames after which the arm holds: a live sensor has noise. None
            for a camera without noise, a simulator's.

    Attributes:
        lowest, highest: (7,) the intersection of `positions`.

    Raises:
        UserError: a value that is no limit, named.
    """

    positions: Mapping[str, Any] = dataclasses.field(default_factory=lambda: POSITIONS)
    velocity: Any = (160, 160, 160, 160, 160, 160, 200)
    acceleration: Any = (286, 286, 286, 286, 286, 286, 1000)
    max_jump: Any = (30, 30, 30, 30, 30, 30, 100)
    start_pose: Any = None
    start_tolerance: float = 10.0
    max_image_age: float = 0.5
    max_state_age: float = 0.5
    max_frozen_age: float | None = 1.0

    def __post_init__(self):
        for name in ("velocity", "acceleration", "max_jump"):
            setattr(self, name, _numbers(name, getattr(self, name), (STATE_DIM,)))
            if (getattr(self, name) <= 0).any():
                raise UserError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.start_pose is not None:
            self.start_pose = _numbers("start_pose", self.start_pose, (STATE_DIM,))
        for name in ("start_tolerance", "max_image_age", "max_state_age", "max_frozen_age"):
            value = getattr(self, name)
            if name == "max_frozen_age" and value is None:
                continue
            if not isinstance(value, (int, float)) or not 0 < value < np.inf:
                raise UserError(f"{name} must be a number above 0, got {value!r}")
        if not isinstance(self.positions, Mapping) or not self.positions:
            raise UserError("positions must map a source (urdf, vendor, ...) to seven [lowest, highest] pairs")
        pairs = [_numbers(f"positions.{source}", pairs, (STATE_DIM, 2)) for source, pairs in self.positions.items()]
        self.lowest = np.max([pair[:, 0] for pair in pairs], axis=0)
        self.highest = np.min([pair[:, 1] for pair in pairs], axis=0)
        if (self.lowest >= self.highest).any():
            raise UserError(f"positions leave no room: lowest {self.lowest}, highest {self.highest}")

    @classmethod
    def from_yaml(cls, path: str | Path) -> "SafetyLimits":
        """Reads a file of `configs/control/`; what it does not name keeps its default."""
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"{path}: cannot be read as YAML ({error})") from error
        if not isinstance(values, dict):
            raise UserError(f"{path}: must be a mapping of limits")
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := [str(name) for name in values if name not in known]:
            raise UserError(f"{path}: no limit is called {', '.join(unknown)}; there are {', '.join(known)}")
        try:
            return cls(**values)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error


def _numbers(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} must be numbers, got {values!r}") from error
    if array.shape != shape or not np.isfinite(array).all():
        raise UserError(f"{name} must be finite numbers of shape {shape}, got {values!r}")
    return array
