"""An arm behind ROS 2, spoken to on its own wire (DDS), with no ROS installed here."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dp_hf.arms.mycobot_280 import GRIPPER_JOINT, JOINT_NAMES
from dp_hf.arms.ros import gripper_to_radians, image_from_message, state_from_joints
from dp_hf.control.robot import Frame, Stamped
from dp_hf.errors import UserError


@dataclass(frozen=True)
class Ros2Config:
    """Where the arm listens and speaks."""

    domain_id: int = 0
    """the arm's ROS_DOMAIN_ID"""
    image_topic: str = "/camera_head/color/image_raw"
    """camera (sensor_msgs/Image)"""
    joint_states_topic: str = "/joint_states"
    """measured joints (sensor_msgs/JointState, radians)"""
    arm_topic: str = "/arm_controller/joint_trajectory"
    """commands to the arm (trajectory_msgs/JointTrajectory, radians)"""
    gripper_topic: str = "/gripper_controller/joint_trajectory"
    """commands to the gripper (trajectory_msgs/JointTrajectory, -0.5 closed .. 0.0 open)"""
    emergency_stop_topic: str = "/emergency_stop"
    """true stops the arm (std_msgs/Bool)"""
    record_topic: str = "/record_episode"
    """with record-demonstrations: true starts an episode, false finishes it (std_msgs/Bool)"""
    gripper_joint: str = GRIPPER_JOINT
    """name of the gripper's joint"""
    command_rate: float = 50.0
    """commands per second (Hz)"""


class Ros2Robot:
    """A `Robot` on the network. Time stamps are times of arrival, whatever clock the messages were stamped with.

    Raises:
        UserError: the `ros2` extra is not installed.
    """

    def __init__(self, config: Ros2Config):
        try:
            from dp_hf.control.robots import ros2_messages
            from dp_hf.control.robots.dds import Dds
        except ImportError as error:
            raise UserError(f"ROS 2 needs Cyclone DDS: pip install 'dp_hf[ros2]' ({error})") from error
        self.command_rate = config.command_rate
        self.fault: str | None = None
        self.finished: str | None = None
        self._config = config
        self._messages = ros2_messages
        self._image: Stamped[Frame] | None = None
        self._state: Stamped[np.ndarray] | None = None
        self._dds = Dds(config.domain_id)
        self._send_to_arm = self._dds.publisher(config.arm_topic, ros2_messages.JointTrajectory)
        self._send_to_gripper = self._dds.publisher(config.gripper_topic, ros2_messages.JointTrajectory)
        self._dds.subscribe(config.image_topic, ros2_messages.Image, self._on_image)
        self._dds.subscribe(config.joint_states_topic, ros2_messages.JointState, self._on_joint_state)
        self._dds.subscribe(config.emergency_stop_topic, ros2_messages.Bool, self._on_emergency_stop, reliable=True)

    def _on_image(self, message: Any) -> None:
        image = image_from_message(message.height, message.width, message.encoding, message.step, message.data)
        self._image = Stamped(image, time.monotonic())

    def _on_joint_state(self, message: Any) -> None:
        state = state_from_joints(message.name, message.position, gripper_joint=self._config.gripper_joint)
        self._state = Stamped(state, time.monotonic())

    def _on_emergency_stop(self, message: Any) -> None:
        self.fault = f"{self._config.emergency_stop_topic} says so" if message.data else None

    def read_state(self) -> Stamped[np.ndarray] | None:
        return self._state

    def read_image(self) -> Stamped[Frame] | None:
        return self._image

    def send_command(self, command: np.ndarray) -> None:
        self._send_to_arm(self._trajectory(JOINT_NAMES, np.radians(command[:6])))
        gripper = gripper_to_radians(float(command[6]))
        self._send_to_gripper(self._trajectory([self._config.gripper_joint], np.array([gripper])))

    def _trajectory(self, names: Any, positions: np.ndarray) -> Any:
        """One point, due in one command period; a zero time stamp starts it on arrival."""
        msg = self._messages
        due = msg.Duration(0, round(1e9 / self.command_rate))
        none = np.zeros(0)
        point = msg.JointTrajectoryPoint(positions, none, none, none, due)
        return msg.JointTrajectory(msg.Header(msg.Time(), ""), list(names), [point])

    def on_record_topic(self, callback: Callable[[bool], None]) -> None:
        """Calls `callback` with what is said on `record_topic`."""
        self._dds.subscribe(self._config.record_topic, self._messages.Bool, lambda m: callback(m.data), reliable=True)

    def hold(self) -> None:
        """Nothing to send: the controller on the other side keeps the last point."""

    def close(self) -> None:
        self._dds.close()
