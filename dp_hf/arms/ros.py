"""Between ROS's joints, in radians, and an arm's own numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dp_hf.arms.quantities import Quantities
from dp_hf.errors import UserError
from dp_hf.ranges import require_in_range

# Seconds within which every joint must have come.
GATHERING = 1.0


@dataclass(frozen=True)
class RosJoints:
    """An arm's joints as ROS has them: one for each of its n numbers, angles in radians.

    Args:
        quantities: the arm's numbers. Degrees are radians in ROS, 0..100 is the way of the gripper's joint from closed
            to open; other units are the same there.
        names: of the joints, in the order of the numbers.
        gripper_closed, gripper_open: position of the gripper's joint (radians, or metres where it slides) at 0 and at
            100; of each, where several numbers are 0..100.

    Raises:
        UserError: not a joint for each number, a gripper that does not move, or ends of one that there is not.
    """

    quantities: Quantities
    names: tuple[str, ...]
    gripper_closed: float = 0.0
    gripper_open: float = 0.0

    def __post_init__(self):
        if len(self.names) != len(self.quantities):
            raise UserError(f"ROS has {len(self.names)} joints ({', '.join(self.names)}) for {self.quantities}")
        if twice := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise UserError(f"ROS has one joint {twice[0]!r} for two numbers")
        require_in_range(self)
        moves = self.gripper_closed != self.gripper_open
        if "0..100" in self.quantities.units and not moves:
            raise UserError(f"the gripper's joint is at {self.gripper_open:g} radians when closed and when open")
        if "0..100" not in self.quantities.units and moves:
            raise UserError(
                "gripper_closed and gripper_open are of a gripper in 0..100, and no number is: leave them out"
            )

    def with_joint(self, number: int, name: str) -> "RosJoints":
        """The same, where one of the numbers is another joint's."""
        return replace(self, names=(*self.names[:number], name, *self.names[number + 1 :]))

    def state(self, names: Sequence[str], positions: Sequence[float]) -> np.ndarray:
        """The arm's state (n,) of a `sensor_msgs/JointState`'s fields.

        Raises:
            UserError: one of the joints is missing, named.
        """
        found = dict(zip(names, positions, strict=False))
        if missing := [name for name in self.names if name not in found]:
            raise UserError(f"joint states lack {', '.join(missing)}; they have {', '.join(names)}")
        state = np.array([found[name] for name in self.names], dtype=np.float64)
        for i, unit in enumerate(self.quantities.units):
            if unit == "degrees":
                state[i] = np.degrees(state[i])
            elif unit == "0..100":
                state[i] = self.gripper_from_radians(state[i])
        return state

    def positions(self, command: np.ndarray) -> np.ndarray:
        """Where the joints are to go, (n,), for a command (n,) in the arm's units."""
        positions = np.array(command, dtype=np.float64)
        for i, unit in enumerate(self.quantities.units):
            if unit == "degrees":
                positions[i] = np.radians(positions[i])
            elif unit == "0..100":
                positions[i] = self.gripper_to_radians(positions[i])
        return positions

    def gripper_from_radians(self, angle: float) -> float:
        """0 (closed) to 100 (open)."""
        return 100 * (1 - (angle - self.gripper_open) / (self.gripper_closed - self.gripper_open))

    def gripper_to_radians(self, value: float) -> float:
        """From 0 (closed) to 100 (open)."""
        return self.gripper_open + (self.gripper_closed - self.gripper_open) * (1 - value / 100)


@dataclass(frozen=True, kw_only=True)
class RosTopics:
    """Where an arm listens and speaks in ROS. A gripper with neither a topic nor an action is one of the arm's joints.

    Args:
        image_topic: camera (sensor_msgs/Image).
        joint_states_topic: measured joints (sensor_msgs/JointState).
        arm_topic: commands to the arm.
        arm_action: the same as goals (control_msgs/FollowJointTrajectory), for those who have no arm_topic.
        gripper_topic: commands to the gripper, where that has a controller of its own.
        gripper_action: the same as goals (control_msgs/GripperCommand).
        message: what is sent to both topics: a trajectory of one point (trajectory_msgs/JointTrajectory), or the
            positions alone, in the order of the numbers (std_msgs/Float64MultiArray).

    Raises:
        UserError: a value of another kind, or no way to command the arm.
    """

    image_topic: str
    joint_states_topic: str = "/joint_states"
    arm_topic: str | None = None
    arm_action: str | None = None
    gripper_topic: str | None = None
    gripper_action: str | None = None
    message: Literal["JointTrajectory", "Float64MultiArray"] = "JointTrajectory"

    def __post_init__(self):
        require_in_range(self)
        if not (self.arm_topic or self.arm_action):
            raise UserError("the arm cannot be commanded: name its arm_topic, or its arm_action")

    @property
    def has_gripper(self) -> bool:
        """Whether the gripper is commanded apart from the arm."""
        return bool(self.gripper_topic or self.gripper_action)


class GatheredJoints:
    """The newest position of each joint: arm and gripper may come in messages of their own.

    Args:
        joints: of the arm.
    """

    def __init__(self, joints: RosJoints):
        self._joints = joints
        self._positions: dict[str, float] = {}
        self._arrived: dict[str, float] = {}
        self._first_at: float | None = None

    def add(self, names: Sequence[str], positions: Sequence[float], now: float) -> tuple[np.ndarray, float] | None:
        """Takes a `sensor_msgs/JointState`'s fields, which arrived at the time `now` (s).

        Returns:
            the arm's state (n,), and when the oldest of its positions arrived; None while the first ones gather.

        Raises:
            UserError: a second after the first message one of the joints has not come, named.
        """
        self._first_at = now if self._first_at is None else self._first_at
        found = dict(zip(names, positions, strict=False))
        known = {name: float(found[name]) for name in self._joints.names if name in found}
        self._positions |= known
        self._arrived |= dict.fromkeys(known, now)
        if len(self._positions) < len(self._joints.names) and now - self._first_at < GATHERING:
            return None
        everything = found | self._positions
        return self._joints.state(list(everything), list(everything.values())), min(self._arrived.values())
