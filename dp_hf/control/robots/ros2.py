"""An arm behind ROS 2, spoken to on its own wire (DDS), with no ROS installed here."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from dp_hf.arms.arm import Arm
from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.arms.ros import GatheredJoints
from dp_hf.arms.ros_images import image_from_message
from dp_hf.control.robot import Frame, Guiding, Stamped
from dp_hf.control.robots.ros2_network import MAX_DOMAIN_ID
from dp_hf.control.robots.sent_once import GRIPPER_STEP, SentOnce
from dp_hf.errors import UserError
from dp_hf.ranges import Range

_TOPICS = ("image_topic", "joint_states_topic", "arm_topic", "gripper_topic", "gripper_action")


@dataclass(frozen=True)
class Ros2Config:
    """Where the arm listens and speaks."""

    domain_id: Annotated[int, Range(0, MAX_DOMAIN_ID)] | None = None
    """the arm's ROS_DOMAIN_ID; default that of the environment, or 0"""
    image_topic: str | None = None
    """camera (sensor_msgs/Image); default, as of all topics, the arm's: of a myCobot /camera_head/color/image_raw"""
    joint_states_topic: str | None = None
    """measured joints (sensor_msgs/JointState, radians), of a myCobot /joint_states"""
    arm_topic: str | None = None
    """commands to the arm (radians), of a myCobot /arm_controller/joint_trajectory (trajectory_msgs/JointTrajectory)"""
    gripper_topic: str | None = None
    """commands to the gripper, of a myCobot /gripper_controller/joint_trajectory (-0.5 closed .. 0.0 open)"""
    gripper_action: str | None = None
    """goals of the gripper where nobody listens to its topic (control_msgs/GripperCommand; a server with Fast DDS), of
    a myCobot /gripper_action_controller/gripper_cmd"""
    emergency_stop_topic: str = "/emergency_stop"
    """true stops the arm (std_msgs/Bool)"""
    record_topic: str = "/record_episode"
    """with record-demonstrations: true starts an episode, false finishes it (std_msgs/Bool)"""
    gripper_joint: str | None = None
    """name of the gripper's joint; default the arm's own"""
    command_rate: Annotated[float, Range(above=0, high=1000)] | None = None
    """commands per second (Hz); default the arm's, of a myCobot 50"""

    def of(self, arm: Arm) -> Arm:
        """The arm, with what is said here in place of its own.

        Raises:
            UserError: nothing is known of its joints or topics in ROS, or what is said does not fit it.
        """
        joints, topics = arm.in_ros()
        said = {name: value for name in _TOPICS if (value := getattr(self, name)) is not None}
        arm = replace(arm, topics=replace(topics, **said), command_rate=self.command_rate or arm.command_rate)
        if self.gripper_joint is None:
            return arm
        if arm.gripper is None:
            raise UserError(f"{arm.name} has no gripper: leave --ros2.gripper_joint out")
        return replace(arm, ros=joints.with_joint(arm.gripper, self.gripper_joint))


class Ros2Robot:
    """A `Robot` on the network. Time stamps are times of arrival, whatever clock the messages were stamped with.

    Args:
        config: where the arm listens and speaks.
        arm: which arm it is.

    Raises:
        UserError: the `ros2` extra is not installed, or nothing is known of the arm's joints in ROS.
    """

    def __init__(self, config: Ros2Config, arm: Arm = MYCOBOT_280):
        try:
            from dp_hf.control.robots import ros2_messages
            from dp_hf.control.robots.dds import Dds
            from dp_hf.control.robots.gripper_action import GripperAction
        except ImportError as error:
            raise UserError(f"ROS 2 needs Cyclone DDS: pip install 'dp_hf[ros2]' ({error})") from error
        self._arm = arm = config.of(arm)
        self._joints, self._topics = arm.in_ros()
        topics = self._topics
        if topics.arm_topic is None:
            raise UserError(
                f"{arm.name} takes commands as goals of {topics.arm_action}, which are not sent from here: name its"
                " controller's topic (--ros2.arm_topic), or drive it with the ROS 2 package"
            )
        self.quantities = arm.quantities
        self.command_rate = arm.command_rate
        self.fault: str | None = None
        self.finished: str | None = None
        self.person = Guiding("whoever else commands it")
        self._config = config
        self._gathered = GatheredJoints(self._joints)
        self._messages = ros2_messages
        self._image: Stamped[Frame] | None = None
        self._state: Stamped[np.ndarray] | None = None
        self._dds = Dds(config.domain_id)
        message = getattr(ros2_messages, topics.message)
        self._send_to_arm = self._dds.publisher(topics.arm_topic, message)
        self._send_to_gripper = self._dds.publisher(topics.gripper_topic, message) if topics.gripper_topic else None
        self._gripper_action = GripperAction(self._dds, topics.gripper_action) if topics.gripper_action else None
        self._gripper_goal = SentOnce(GRIPPER_STEP)
        self._dds.subscribe(topics.image_topic, ros2_messages.Image, self._on_image, option="--ros2.image_topic")
        self._dds.subscribe(
            topics.joint_states_topic,
            ros2_messages.JointState,
            self._on_joint_state,
            option="--ros2.joint_states_topic",
        )
        self._dds.subscribe(config.emergency_stop_topic, ros2_messages.Bool, self._on_emergency_stop, reliable=True)

    def _on_image(self, message: Any) -> None:
        image = image_from_message(message.height, message.width, message.encoding, message.step, message.data)
        self._image = Stamped(image, time.monotonic())

    def _on_joint_state(self, message: Any) -> None:
        if gathered := self._gathered.add(message.name, message.position, time.monotonic()):
            self._state = Stamped(*gathered)

    def _on_emergency_stop(self, message: Any) -> None:
        self.fault = f"{self._config.emergency_stop_topic} says so" if message.data else None

    @property
    def unheard(self) -> str | None:
        """Why a command would reach nobody now: a topic of another name, or controllers that are not running."""
        topics = self._topics
        if not self._send_to_arm.is_heard:
            return (
                f"nobody listens to {topics.arm_topic} (--ros2.arm_topic): is the controller running, the name right?"
            )
        ways = [way for way in (self._send_to_gripper, self._gripper_action) if way is not None]
        if not ways or any(way.is_heard for way in ways):
            return None
        nobody = [f"nobody listens to {topics.gripper_topic} (--ros2.gripper_topic)"] if topics.gripper_topic else []
        if topics.gripper_action:
            nobody.append(f"no server with Fast DDS to {topics.gripper_action} (--ros2.gripper_action)")
        return (
            f"{', and '.join(nobody)}: is the gripper's controller running, the name right? A server with another RMW"
            " is driven by the ROS 2 package"
        )

    def read_state(self) -> Stamped[np.ndarray] | None:
        return self._state

    def read_image(self) -> Stamped[Frame] | None:
        return self._image

    def send_command(self, command: np.ndarray) -> None:
        positions = self._joints.positions(command)
        self._send_to_arm(self._message(self._arm.commanded_together, positions))
        gripper = self._arm.gripper
        if gripper is None:
            return
        if self._send_to_gripper is not None and self._send_to_gripper.is_heard:
            self._send_to_gripper(self._message([gripper], positions))
        elif self._gripper_action is not None and self._gripper_action.is_heard:
            measured = None if self._state is None else self._state.value[gripper]
            if self._gripper_goal.is_due(command[gripper], measured, time.monotonic()):
                self._gripper_action.send(float(positions[gripper]))

    def _message(self, numbers: list[int], positions: np.ndarray) -> Any:
        """These joints' positions; of a trajectory one point, due in one command period, which begins on arrival."""
        msg = self._messages
        if self._topics.message == "Float64MultiArray":
            return msg.Float64MultiArray(msg.MultiArrayLayout([], 0), positions[numbers])
        due = msg.Duration(*divmod(round(1e9 / self.command_rate), 10**9))
        none = np.zeros(0)
        point = msg.JointTrajectoryPoint(positions[numbers], none, none, none, due)
        names = [self._joints.names[number] for number in numbers]
        return msg.JointTrajectory(msg.Header(msg.Time(), ""), names, [point])

    def on_record_topic(self, callback: Callable[[bool], None]) -> None:
        """Calls `callback` with what is said on `record_topic`."""
        self._dds.subscribe(self._config.record_topic, self._messages.Bool, lambda m: callback(m.data), reliable=True)

    def hold(self) -> None:
        """Nothing to send: the controller on the other side keeps the last point."""

    def close(self) -> None:
        self._dds.close()
