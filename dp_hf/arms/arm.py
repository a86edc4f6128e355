"""What there is to know of an arm: its numbers, their limits, and how ROS sees it."""

from dataclasses import dataclass

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.quantities import Quantities
from dp_hf.arms.ros import RosJoints
from dp_hf.errors import UserError


@dataclass(frozen=True)
class Arm:
    """An arm, described; `mycobot_280.py` is an example.

    Its state and its commands are the same numbers: positions, measured and wanted.

    Args:
        name: such as "mycobot_280".
        limits: what the numbers are, and what they may be.
        gripper: which of them is the gripper; None for an arm without one.
        ros: its joints in ROS; None for an arm that ROS does not know.

    Raises:
        UserError: parts that are of different arms.
    """

    name: str
    limits: SafetyLimits
    gripper: int | None = None
    ros: RosJoints | None = None

    def __post_init__(self):
        if self.gripper is not None and not 0 <= self.gripper < len(self.quantities):
            raise UserError(f"{self.name}: its gripper is number {self.gripper} of {len(self.quantities)}")
        if self.ros is not None and (difference := self.quantities.difference(self.ros.quantities)):
            raise UserError(f"{self.name}: ROS {difference}")

    @property
    def quantities(self) -> Quantities:
        """Names and units of the state's and the command's numbers."""
        return self.limits.quantities

    def doubt_of_radians(self, states: np.ndarray) -> str | None:
        """Why the angles of messages from ROS are hardly radians, as ROS has them; None where they may be.

        No arm is beyond its limits by more than an arm may be at the start. Degrees are, as soon as it moves.

        Args:
            states: (states, n) as `ros` makes them of messages.
        """
        angles = np.array([unit in ("degrees", "radians") for unit in self.quantities.units])
        beyond = np.maximum(self.limits.lowest - states, states - self.limits.highest) - self.limits.start_tolerance
        beyond = np.where(angles & np.isfinite(states), beyond, -np.inf)
        if not (beyond > 0).any():
            return None
        which, number = np.unravel_index(np.argmax(beyond), beyond.shape)
        value, unit = states[which, number], self.quantities.units[number]
        return (
            f"{self.quantities.names[number]} would be at {value:.6g} {unit} if the joint states were radians, as in"
            f" ROS; {self.name} reaches {self.limits.lowest[number]:g} to {self.limits.highest[number]:g}"
        )

    @property
    def joints(self) -> list[int]:
        """Which of the numbers are not the gripper."""
        return [number for number in range(len(self.quantities)) if number != self.gripper]
