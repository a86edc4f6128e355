"""An arm behind ROS 2 as a `dp_hf.control.robot.Robot`, through rclpy."""

import time
from dataclasses import replace

import numpy as np
from builtin_interfaces.msg import Duration
from control_msgs.action import FollowJointTrajectory, GripperCommand
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.mycobot_280 import MYCOBOT_280, ROS_JOINTS
from dp_hf.arms.ros import GatheredJoints, image_from_message
from dp_hf.control.robot import Stamped
from dp_hf.control.robots.sent_once import SentOnce
from dp_hf.errors import UserError

ARM_TOPIC = "/arm_controller/joint_trajectory"
ARM_ACTION = "/arm_controller/follow_joint_trajectory"
GRIPPER_ACTION = "/gripper_action_controller/gripper_cmd"
MAX_EFFORT = 5.0
GRIPPER_STEP = 1.0  # of 0..100: smaller changes start no new goal


def declare_number(node: Node, name: str, default: float) -> float:
    """The value of a parameter that takes whole numbers too, which rclpy would refuse for a default of 10.0."""
    value = node.declare_parameter(name, default, ParameterDescriptor(dynamic_typing=True)).value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(f"{name} is a number; got {value!r}")
    return float(value)


def declare_limits(node: Node) -> SafetyLimits:
    """The safety limits that the node's parameters `robot_name`, `limits_file` and `camera_has_noise` describe."""
    robot_name = node.declare_parameter("robot_name", MYCOBOT_280.name).value
    limits_file = node.declare_parameter("limits_file", "").value
    camera_has_noise = node.declare_parameter("camera_has_noise", True).value
    if limits_file:
        return MYCOBOT_280.limits.updated_from(limits_file)
    if robot_name != MYCOBOT_280.name:
        raise UserError(f"no limits are known for {robot_name}: give limits_file, see configs/control")
    return MYCOBOT_280.limits if camera_has_noise else replace(MYCOBOT_280.limits, max_frozen_age=None)


class RclpyRobot:
    """A myCobot 280, or an arm like it: listens to camera and joints; commands the joints by topic (or action) and the
    gripper by action.

    Declares the node's parameters `image_topic`, `joint_states_topic`, `arm_joint_names`, `gripper_joint_name`,
    `arm_interface` ("topic", or "action", where each new goal aborts the last) and `command_rate`.

    Args:
        node: spun by the caller, in another thread.
    """

    quantities = MYCOBOT_280.quantities

    def __init__(self, node: Node):
        self.node = node
        self.fault: str | None = None
        self.finished: str | None = None
        self.command_rate = declare_number(node, "command_rate", 50.0)
        *arm_joints, gripper_joint = ROS_JOINTS.names
        self._arm_joints = list(node.declare_parameter("arm_joint_names", arm_joints).value)
        gripper_joint = node.declare_parameter("gripper_joint_name", gripper_joint).value
        self._joints = replace(ROS_JOINTS, names=(*self._arm_joints, gripper_joint))
        self._gathered = GatheredJoints(self._joints)
        self._arm_interface = node.declare_parameter("arm_interface", "topic").value
        image_topic = node.declare_parameter("image_topic", "/camera_head/color/image_raw").value
        joint_states_topic = node.declare_parameter("joint_states_topic", "/joint_states").value
        if self._arm_interface not in ("topic", "action"):
            raise UserError(f"arm_interface is topic or action, not {self._arm_interface!r}")
        self._image: Stamped | None = None
        self._state: Stamped | None = None
        self._complaints: set[str] = set()
        self._gripper = SentOnce(GRIPPER_STEP)
        self._goals: dict[str, object] = {}
        node.create_subscription(Image, image_topic, self._on_image, qos_profile_sensor_data)
        node.create_subscription(JointState, joint_states_topic, self._on_joint_state, qos_profile_sensor_data)
        node.create_subscription(Bool, "/emergency_stop", self._on_emergency_stop, 10)
        self._arm_topic = node.create_publisher(JointTrajectory, ARM_TOPIC, 10)
        self._arm_action = ActionClient(node, FollowJointTrajectory, ARM_ACTION)
        self._gripper_action = ActionClient(node, GripperCommand, GRIPPER_ACTION)

    def wait_for_controllers(self, timeout: float = 10.0) -> None:
        """Waits for the action servers that commands go to.

        Raises:
            UserError: one has not come within `timeout` seconds.
        """
        wanted = {GRIPPER_ACTION: self._gripper_action}
        if self._arm_interface == "action":
            wanted[ARM_ACTION] = self._arm_action
        for name, client in wanted.items():
            if not client.wait_for_server(timeout_sec=timeout):
                raise UserError(f"no action server {name} within {timeout:g} s: are the controllers running?")

    def _on_image(self, message: Image) -> None:
        try:
            image = image_from_message(message.height, message.width, message.encoding, message.step, message.data)
        except UserError as error:
            self._complain(error)
            return
        self._image = Stamped(image, time.monotonic())

    def _on_joint_state(self, message: JointState) -> None:
        try:
            gathered = self._gathered.add(message.name, message.position, time.monotonic())
        except UserError as error:
            self._complain(error)
            return
        if gathered is not None:
            self._state = Stamped(*gathered)

    def _complain(self, error: UserError) -> None:
        if str(error) not in self._complaints:
            self._complaints.add(str(error))
            self.node.get_logger().warning(str(error))

    def _on_emergency_stop(self, message: Bool) -> None:
        self.fault = "/emergency_stop says so" if message.data else None

    def read_state(self) -> Stamped | None:
        return self._state

    def read_image(self) -> Stamped | None:
        return self._image

    def send_command(self, command: np.ndarray) -> None:
        due = Duration(sec=0, nanosec=round(1e9 / self.command_rate))
        *positions, gripper_position = self._joints.positions(command).tolist()
        point = JointTrajectoryPoint(positions=positions, time_from_start=due)
        trajectory = JointTrajectory(joint_names=self._arm_joints, points=[point])
        if self._arm_interface == "topic":
            self._arm_topic.publish(trajectory)
        else:
            self._send_goal(self._arm_action, ARM_ACTION, FollowJointTrajectory.Goal(trajectory=trajectory))
        self._send_gripper(command[-1], gripper_position)

    def _send_gripper(self, value: float, position: float) -> None:
        measured = None if self._state is None else self._state.value[-1]
        if not self._gripper.is_due(value, measured, time.monotonic()):
            return
        goal = GripperCommand.Goal()
        goal.command.position = position
        goal.command.max_effort = MAX_EFFORT
        self._send_goal(self._gripper_action, GRIPPER_ACTION, goal)

    def _send_goal(self, client: ActionClient, name: str, goal: object) -> None:
        """Sends a goal without waiting, and keeps its handle once it is accepted, to cancel it."""

        def on_accepted(future) -> None:
            self._goals[name] = future.result()

        client.send_goal_async(goal).add_done_callback(on_accepted)

    def hold(self) -> None:
        """Cancels the goals under way; the controllers then hold where they are."""
        for goal in list(self._goals.values()):
            if goal.accepted:
                goal.cancel_goal_async()

    def close(self) -> None:
        self._arm_action.destroy()
        self._gripper_action.destroy()
