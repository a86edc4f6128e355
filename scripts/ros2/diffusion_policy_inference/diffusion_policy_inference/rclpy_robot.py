"""An arm behind ROS 2 as a `dp_hf.control.robot.Robot`, through rclpy."""

import time
from dataclasses import replace

import numpy as np
from builtin_interfaces.msg import Duration
from control_msgs.action import FollowJointTrajectory, GripperCommand
from rclpy.action import ActionClient
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from diffusion_policy_inference.parameters import declare
from diffusion_policy_inference.topics import Listener
from dp_hf.arms.mycobot_280 import MYCOBOT_280, ROS_JOINTS
from dp_hf.arms.ros import GatheredJoints
from dp_hf.arms.ros_images import image_from_message
from dp_hf.control.robot import Stamped
from dp_hf.control.robots.sent_once import GRIPPER_STEP, MAX_EFFORT, SentOnce
from dp_hf.errors import UserError

ARM_TOPIC = "/arm_controller/joint_trajectory"
ARM_ACTION = "/arm_controller/follow_joint_trajectory"
GRIPPER_ACTION = "/gripper_action_controller/gripper_cmd"
ANSWER = 1.0  # seconds within which an action server accepts or rejects a goal


class RclpyRobot:
    """A myCobot 280, or an arm like it: listens to camera and joints; commands the joints by topic (or action) and the
    gripper by action.

    Declares the node's parameters `image_topic`, `joint_states_topic`, `arm_joint_names`, `gripper_joint_name`,
    `arm_interface` ("topic", or "action", where each new goal aborts the last) and `command_rate`.

    Args:
        node: spun by the caller, in another thread.

    Raises:
        UserError: a parameter is of another kind.
    """

    quantities = MYCOBOT_280.quantities

    def __init__(self, node: Node):
        self.node = node
        self.fault: str | None = None
        self.finished: str | None = None
        self.command_rate = declare(node, "command_rate", 50.0, "commands a second (Hz)")
        *arm_joints, gripper_joint = ROS_JOINTS.names
        self._arm_joints = declare(node, "arm_joint_names", arm_joints, "the arm's joints, from the base on")
        gripper_joint = declare(node, "gripper_joint_name", gripper_joint, "the gripper's joint")
        if len(self._arm_joints) != len(arm_joints):
            raise UserError(
                f"arm_joint_names has {len(self._arm_joints)} joints; {MYCOBOT_280.name} has {len(arm_joints)}"
            )
        self._joints = replace(ROS_JOINTS, names=(*self._arm_joints, gripper_joint))
        self._gathered = GatheredJoints(self._joints)
        interface = declare(node, "arm_interface", "topic", "how the arm is commanded: topic or action")
        image_topic = declare(node, "image_topic", "/camera_head/color/image_raw", "camera (sensor_msgs/Image)")
        joints_topic = declare(node, "joint_states_topic", "/joint_states", "measured joints (sensor_msgs/JointState)")
        if interface not in ("topic", "action"):
            raise UserError(f"arm_interface is topic or action, not {interface!r}")
        self._image: Stamped | None = None
        self._state: Stamped | None = None
        self._complaints: set[str] = set()
        self._gripper = SentOnce(GRIPPER_STEP)
        self._goals: dict[str, object] = {}
        self._asked: dict[str, float] = {}
        self._not_accepted: dict[str, object] = {}
        Listener(node, Image, image_topic, "image_topic", self._on_image, self._complain)
        Listener(node, JointState, joints_topic, "joint_states_topic", self._on_joint_state, self._complain)
        node.create_subscription(Bool, "/emergency_stop", self._on_emergency_stop, 10)
        self._arm_topic = node.create_publisher(JointTrajectory, ARM_TOPIC, 10) if interface == "topic" else None
        self._arm_action = ActionClient(node, FollowJointTrajectory, ARM_ACTION) if interface == "action" else None
        self._gripper_action = ActionClient(node, GripperCommand, GRIPPER_ACTION)

    @property
    def unheard(self) -> str | None:
        """Why a command would reach nobody now: a controller that is not there, or has another name."""
        if self._arm_topic is not None and not self._arm_topic.get_subscription_count():
            return f"nobody listens to {self._arm_topic.topic_name}: is the arm's controller running?"
        if self._arm_action is not None and not self._arm_action.server_is_ready():
            return f"there is no action server {ARM_ACTION}: is the arm's controller running?"
        if not self._gripper_action.server_is_ready():
            return f"there is no action server {GRIPPER_ACTION}: is the gripper's controller running?"
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
        self.fault = "/emergency_stop says so" if message.data else None

    def read_state(self) -> Stamped | None:
        return self._state

    def read_image(self) -> Stamped | None:
        return self._image

    def send_command(self, command: np.ndarray) -> None:
        seconds, nanoseconds = divmod(round(1e9 / self.command_rate), 10**9)
        due = Duration(sec=seconds, nanosec=nanoseconds)
        *positions, gripper_position = self._joints.positions(command).tolist()
        point = JointTrajectoryPoint(positions=positions, time_from_start=due)
        trajectory = JointTrajectory(joint_names=self._arm_joints, points=[point])
        if self._arm_topic is not None:
            self._arm_topic.publish(trajectory)
        else:
            self._send_goal(self._arm_action, ARM_ACTION, FollowJointTrajectory.Goal(trajectory=trajectory))
        self._send_gripper(command[-1], gripper_position)

    def _send_gripper(self, value: float, position: float) -> None:
        measured = None if self._state is None else self._state.value[-1]
        if not self._gripper.is_due(value, measured, time.monotonic(), GRIPPER_ACTION in self._not_accepted):
            return
        goal = GripperCommand.Goal()
        goal.command.position = position
        goal.command.max_effort = MAX_EFFORT
        self._send_goal(self._gripper_action, GRIPPER_ACTION, goal)

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
