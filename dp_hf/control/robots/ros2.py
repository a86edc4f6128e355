"""An arm behind ROS 2, spoken to on its own wire (DDS), with no ROS installed here."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from dp_hf.arms.arm import Arm
from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.arms.ros import GatheredJoints
from dp_hf.arms.ros_images import image_from_message
from dp_hf.control.robot import Frame, Stamped
from dp_hf.control.robots.ros2_network import MAX_DOMAIN_ID
from dp_hf.control.robots.sent_once import GRIPPER_STEP, SentOnce
from dp_hf.errors import UserError
from dp_hf.ranges import Range


@dataclass(frozen=True)
class Ros2Config:
    """Where the arm listens and speaks."""

    domain_id: Annotated[int, Range(0, MAX_DOMAIN_ID)] | None = None
    """the arm's ROS_DOMAIN_ID; default that of the environment, or 0"""
    image_topic: str = "/camera_head/color/image_raw"
    """camera (sensor_msgs/Image)"""
    joint_states_topic: str = "/joint_states"
    """measured joints (sensor_msgs/JointState, radians)"""
    arm_topic: str = "/arm_controller/joint_trajectory"
    """commands to the arm (trajectory_msgs/JointTrajectory, radians)"""
    gripper_topic: str = "/gripper_controller/joint_trajectory"
    """commands to the gripper (trajectory_msgs/JointTrajectory, -0.5 closed .. 0.0 open)"""
    gripper_action: str = "/gripper_action_controller/gripper_cmd"
    """goals of the gripper where nobody listens to its topic (control_msgs/GripperCommand; a server with Fast DDS)"""
    emergency_stop_topic: str = "/emergency_stop"
    """true stops the arm (std_msgs/Bool)"""
    record_topic: str = "/record_episode"
    """with record-demonstrations: true starts an episode, false finishes it (std_msgs/Bool)"""
    gripper_joint: str | None = None
    """name of the gripper's joint; default the arm's own"""
    command_rate: Annotated[float, Range(above=0, high=1000)] = 50.0
    """commands per second (Hz)"""


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
        if arm.ros is None:
            raise UserError(f"how ROS names the joints of {arm.name} is not known")
        self.quantities = arm.quantities
        self.command_rate = config.command_rate
        self.fault: str | None = None
        self.finished: str | None = None
        self._config = config
        self._arm = arm
        self._joints = arm.ros.with_gripper_joint(config.gripper_joint) if config.gripper_joint else arm.ros
        self._gathered = GatheredJoints(self._joints)
        self._messages = ros2_messages
        self._image: Stamped[Frame] | None = None
        self._state: Stamped[np.ndarray] | None = None
        self._dds = Dds(config.domain_id)
        self._send_to_arm = self._dds.publisher(config.arm_topic, ros2_messages.JointTrajectory)
        self._send_to_gripper = self._dds.publisher(config.gripper_topic, ros2_messages.JointTrajectory)
        self._gripper_action = GripperAction(self._dds, config.gripper_action)
        self._gripper_goal = SentOnce(GRIPPER_STEP)
        self._dds.subscribe(config.image_topic, ros2_messages.Image, self._on_image, option="--ros2.image_topic")
        self._dds.subscribe(
            config.joint_states_topic,
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
        config = self._config
        if not self._send_to_arm.is_heard:
            return (
                f"nobody listens to {config.arm_topic} (--ros2.arm_topic): is the controller running, the name right?"
            )
        if self._arm.gripper is None or self._send_to_gripper.is_heard or self._gripper_action.is_heard:
            return None
        return (
            f"nobody listens to {config.gripper_topic} (--ros2.gripper_topic), and no server with Fast DDS to"
            f" {config.gripper_action} (--ros2.gripper_action): is the gripper's controller running, the name right? A"
            " server with another RMW is driven by the ROS 2 package"
        )

    def read_state(self) -> Stamped[np.ndarray] | None:
        return self._state

    def read_image(self) -> Stamped[Frame] | None:
        return self._image

    def send_command(self, command: np.ndarray) -> None:
        positions = self._joints.positions(command)
        self._send_to_arm(self._trajectory(self._arm.joints, positions))
        gripper = self._arm.gripper
        if gripper is not None and self._send_to_gripper.is_heard:
            self._send_to_gripper(self._trajectory([gripper], positions))
        elif gripper is not None and self._gripper_action.is_heard:
            measured = None if self._state is None else self._state.value[gripper]
            if self._gripper_goal.is_due(command[gripper], measured, time.monotonic()):
                self._gripper_action.send(float(positions[gripper]))

    def _trajectory(self, numbers: list[int], positions: np.ndarray) -> Any:
        """One point of these joints, due in one command period; a zero time stamp starts it on arrival."""
        msg = self._messages
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
