"""An arm behind ROS 2 as a `dp_hf.control.robot.Robot`, through rclpy."""

import time
from dataclasses import replace

import numpy as np
from builtin_interfaces.msg import Duration
from control_msgs.action import FollowJointTrajectory, GripperCommand
from rclpy.action import ActionClient
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from diffusion_policy_inference.parameters import declare
from diffusion_policy_inference.topics import Listener
from dp_hf.arms.arm import Arm
from dp_hf.arms.ros import GatheredJoints, RosJoints
from dp_hf.arms.ros_images import image_from_message
from dp_hf.control.robot import Stamped
from dp_hf.control.robots.ros2 import Ros2Config
from dp_hf.control.robots.sent_once import GRIPPER_STEP, MAX_EFFORT, SentOnce
from dp_hf.errors import UserError

MESSAGES = {"JointTrajectory": JointTrajectory, "Float64MultiArray": Float64MultiArray}
ANSWER = 1.0  # seconds within which an action server accepts or rejects a goal


class RclpyRobot:
    """An arm: listens to camera and joints; commands the joints by topic (or action), and the gripper by action, by
    topic or as one of the joints.

    Declares the node's parameters `image_topic`, `joint_states_topic`, `arm_joint_names`, `gripper_joint_name`,
    `arm_interface` ("topic", or "action", where each new goal aborts the last) and `command_rate`, each by default as
    the arm has it.

    Args:
        node: spun by the caller, in another thread.
        arm: which arm it is.

    Raises:
        UserError: nothing is known of the arm's joints and topics in ROS, or a parameter does not fit it.
    """

    def __init__(self, node: Node, arm: Arm):
        _, self._topics = arm.in_ros()
        topics = self._topics
        self.node = node
        self.quantities = arm.quantities
        self.fault: str | None = None
        self.finished: str | None = None
        rate = declare(node, "command_rate", float(arm.command_rate), "commands a second (Hz)")
        self._arm = arm = replace(arm, command_rate=rate)
        self.command_rate = arm.command_rate
        self._joints = _declare_joints(node, arm)
        self._gathered = GatheredJoints(self._joints)
        ways = {"topic": topics.arm_topic, "action": topics.arm_action}
        usual = "topic" if topics.arm_topic else "action"
        interface = declare(node, "arm_interface", usual, "how the arm is commanded: topic or action")
        image_topic = declare(node, "image_topic", topics.image_topic, "camera (sensor_msgs/Image)")
        joints_topic = declare(
            node, "joint_states_topic", topics.joint_states_topic, "measured joints (sensor_msgs/JointState)"
        )
        if interface not in ways:
            raise UserError(f"arm_interface is topic or action, not {interface!r}")
        if not ways[interface]:
            raise UserError(f"arm_interface is {interface}, and {arm.name} has no arm_{interface} in its ros:")
        self._image: Stamped | None = None
        self._state: Stamped | None = None
        self._complaints: set[str] = set()
        self._gripper = SentOnce(GRIPPER_STEP)
        self._goals: dict[str, object] = {}
        self._asked: dict[str, float] = {}
        self._not_accepted: dict[str, object] = {}
        Listener(node, Image, image_topic, "image_topic", self._on_image, self._complain)
        Listener(node, JointState, joints_topic, "joint_states_topic", self._on_joint_state, self._complain)
        node.create_subscription(Bool, Ros2Config.emergency_stop_topic, self._on_emergency_stop, 10)
        message = MESSAGES[topics.message]
        self._arm_topic = self._arm_action = self._gripper_topic = self._gripper_action = None
        if interface == "topic":
            self._arm_topic = node.create_publisher(message, topics.arm_topic, 10)
        else:
            self._arm_action = ActionClient(node, FollowJointTrajectory, topics.arm_action)
        if topics.gripper_action:
            self._gripper_action = ActionClient(node, GripperCommand, topics.gripper_action)
        elif topics.gripper_topic:
            self._gripper_topic = node.create_publisher(message, topics.gripper_topic, 10)

    @property
    def unheard(self) -> str | None:
        """Why a command would reach nobody now: a controller that is not there, or has another name."""
        for what, topic in (("arm", self._arm_topic), ("gripper", self._gripper_topic)):
            if topic is not None and not topic.get_subscription_count():
                return f"nobody listens to {topic.topic_name}: is the {what}'s controller running?"
        actions = (
            ("arm", self._topics.arm_action, self._arm_action),
            ("gripper", self._topics.gripper_action, self._gripper_action),
        )
        for what, name, action in actions:
            if action is not None and not action.server_is_ready():
                return f"there is no action server {name}: is the {what}'s controller running?"
        return None

    def _on_image(self, message: Image) -> None:
        try:
            image = image_from_message(message.height, message.width, message.encoding, message.step, message.data)
        except UserError as error:
            self._complain(str(error))
            return
        self._image = Stamped(image, time.monotonic())

    def _on_joint_state(self, message: JointState) -> None:
        try:
            gathered = self._gathered.add(message.name, message.position, time.monotonic())
        except UserError as error:
            self._complain(str(error))
            return
        if gathered is not None:
            self._state = Stamped(*gathered)

    def _complain(self, text: str) -> None:
        if text not in self._complaints:
            self._complaints.add(text)
            self.node.get_logger().warning(text)

    def _on_emergency_stop(self, message: Bool) -> None:
        self.fault = f"{Ros2Config.emergency_stop_topic} says so" if message.data else None

    def read_state(self) -> Stamped | None:
        return self._state

    def read_image(self) -> Stamped | None:
        return self._image

    def send_command(self, command: np.ndarray) -> None:
        positions = self._joints.positions(command)
        together = self._arm.commanded_together
        if self._arm_topic is not None:
            self._arm_topic.publish(self._message(together, positions))
        else:
            goal = FollowJointTrajectory.Goal(trajectory=self._trajectory(together, positions))
            self._send_goal(self._arm_action, self._topics.arm_action, goal)
        gripper = self._arm.gripper
        if self._gripper_topic is not None:
            self._gripper_topic.publish(self._message([gripper], positions))
        elif self._gripper_action is not None:
            self._send_gripper(command[gripper], float(positions[gripper]))

    def _message(self, numbers: list[int], positions: np.ndarray) -> JointTrajectory | Float64MultiArray:
        if self._topics.message == "Float64MultiArray":
            return Float64MultiArray(data=positions[numbers].tolist())
        return self._trajectory(numbers, positions)

    def _trajectory(self, numbers: list[int], positions: np.ndarray) -> JointTrajectory:
        """One point of these joints, due in one command period."""
        seconds, nanoseconds = divmod(round(1e9 / self.command_rate), 10**9)
        due = Duration(sec=seconds, nanosec=nanoseconds)
        point = JointTrajectoryPoint(positions=positions[numbers].tolist(), time_from_start=due)
        return JointTrajectory(joint_names=[self._joints.names[number] for number in numbers], points=[point])

    def _send_gripper(self, value: float, position: float) -> None:
        measured = None if self._state is None else self._state.value[self._arm.gripper]
        name = self._topics.gripper_action
        if not self._gripper.is_due(value, measured, time.monotonic(), name in self._not_accepted):
            return
        goal = GripperCommand.Goal()
        goal.command.position = position
        goal.command.max_effort = MAX_EFFORT
        self._send_goal(self._gripper_action, name, goal)

    def _send_goal(self, client: ActionClient, name: str, goal: object) -> None:
        """Sends a goal without waiting, and keeps its handle once it is accepted, to cancel it."""

        def on_answer(future) -> None:
            self._asked.pop(name, None)
            self._goals[name] = future.result()
            if not future.result().accepted:
                self._complain(f"{name} rejects goals")
            elif self._not_accepted.get(name) is goal:
                del self._not_accepted[name]

        self._not_accepted[name] = goal
        asked_at = self._asked.setdefault(name, time.monotonic())
        if time.monotonic() - asked_at > ANSWER:
            self._complain(
                f"{name} does not answer goals: does its controller run, with the same RMW_IMPLEMENTATION as this node?"
            )

        def ask() -> None:
            client.send_goal_async(goal).add_done_callback(on_answer)

        # In the thread that takes the answers: rclpy drops one that comes before it has noted the question.
        self.node.executor.create_task(ask)

    def hold(self) -> None:
        """Cancels the goals under way; the controllers then hold where they are."""
        for goal in list(self._goals.values()):
            if goal.accepted:
                goal.cancel_goal_async()

    def close(self) -> None:
        """Nothing: what belongs to the node goes with it, once it is not spun any more."""


def _declare_joints(node: Node, arm: Arm) -> RosJoints:
    """The arm's joints in ROS, by the parameters `arm_joint_names` and `gripper_joint_name`."""
    own = [arm.ros.names[number] for number in arm.joints]
    names = declare(node, "arm_joint_names", own, "the arm's joints, from the base on")
    if len(names) != len(own):
        raise UserError(f"arm_joint_names has {len(names)} joints; {arm.name} has {len(own)}")
    names = list(names)
    if arm.gripper is not None:
        own_gripper = arm.ros.names[arm.gripper]
        names.insert(arm.gripper, declare(node, "gripper_joint_name", own_gripper, "the gripper's joint"))
    return replace(arm.ros, names=tuple(names))
