"""What there is to know of an arm: its numbers, their limits, and how ROS sees it."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.quantities import Quantities
from dp_hf.arms.ros import RosJoints, RosTopics
from dp_hf.errors import UserError
from dp_hf.ranges import Range, require_in_range


@dataclass(frozen=True)
class Arm:
    """An arm, described: in code, as `mycobot_280.py` is, or in a YAML file, see `arm_file.py`.

    Its state and its commands are the same numbers: positions, measured and wanted.

    Args:
        name: such as "mycobot_280".
        limits: what the numbers are, and what they may be.
        gripper: which of them is the gripper; None for an arm without one.
        command_rate: commands per second (Hz) that it takes.
        ros: its joints in ROS; None for an arm that ROS does not know.
        topics: its topics in ROS; None likewise.

    Raises:
        UserError: parts that are of different arms.
    """

    name: str
    limits: SafetyLimits
    gripper: int | None = None
    command_rate: Annotated[float, Range(above=0, high=1000)] = 50.0
    ros: RosJoints | None = None
    topics: RosTopics | None = None

    def __post_init__(self):
        require_in_range(self)
        if self.gripper is not None and not 0 <= self.gripper < len(self.quantities):
            raise UserError(f"{self.name}: its gripper is number {self.gripper} of {len(self.quantities)}")
        if self.gripper is not None and self.gripper not in self.quantities.grippers:
            raise UserError(
                f"{self.name}: its gripper is {self.quantities.labels[self.gripper]}, which nobody takes for one: give"
                " it in 0..100, or call it gripper"
            )
        if self.topics is not None and self.topics.has_gripper and self.gripper is None:
            raise UserError(f"{self.name}: it has no gripper, and a gripper_topic or gripper_action: leave them out")
        if self.ros is not None and (difference := self.quantities.difference(self.ros.quantities)):
            raise UserError(f"{self.name}: ROS {difference}")

    @property
    def quantities(self) -> Quantities:
        """Names and units of the state's and the command's numbers."""
        return self.limits.quantities

    def in_ros(self) -> tuple[RosJoints, RosTopics]:
        """Its joints and topics in ROS.

        Raises:
            UserError: nothing is known of them.
        """
        if self.ros is None or self.topics is None:
            raise UserError(f"{self.name}: its joints and topics in ROS are not known; its file has no ros:")
        return self.ros, self.topics

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

    @property
    def commanded_together(self) -> list[int]:
        """Which of the numbers ROS's controller of the arm takes: all, but a gripper with a controller of its own."""
        has_own = self.topics is not None and self.topics.has_gripper
        return self.joints if has_own else list(range(len(self.quantities)))
