"""A robot of real rclpy, for a Python that has it (scripts/ros2/environment.sh): `real_ros2_robot.py WIDTH HEIGHT`.

Like `fake_ros2_robot.py` it publishes a camera (30 Hz) and joint states (50 Hz), goes where trajectories send it, and
obeys lines on standard input: `unplug`, `freeze`, `mute`, `heal`, `emergency_stop`, `release`, `quit`. Where there is
control_msgs, it goes where goals send it too. `count arm` prints how many
commands came. It asks other nodes, and prints the answer, at `trigger SERVICE`, `record SERVICE true|false`, `set NODE
PARAMETER VALUE` and `describe NODE PARAMETER`. At the end it prints what arrived, and when images
went out.
"""

import argparse
import json
import sys
import threading
import time

import numpy as np
import rclpy
from rclpy.action import ActionServer, GoalResponse
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

try:
    from control_msgs.action import FollowJointTrajectory, GripperCommand
except ImportError:
    GripperCommand = None

from dp_hf.arms.mycobot_280 import JOINT_NAMES, ROS_JOINTS

parser = argparse.ArgumentParser()
parser.add_argument("width", type=int)
parser.add_argument("height", type=int)
parser.add_argument("--reject", type=int, default=0, help="so many of the gripper's goals are rejected")
parser.add_argument("--reliable", action="store_true", help="images are sent reliably")
parser.add_argument("--no_arm", action="store_true", help="nobody listens to the arm's commands")
parser.add_argument("--no_gripper", action="store_true", help="nobody listens to the gripper's topic")
args, _ = parser.parse_known_args()


class FakeRobot(Node):
    def __init__(self):
        super().__init__("fake_robot")
        self.state = np.array([0, 0, 0, 0, 0, 0, 50], dtype=np.float64)
        self.camera_is = self.joints_are = "live"
        self.got = {"arm": [], "gripper": [], "arm_goals": [], "gripper_goals": [], "images": []}
        self.random = np.random.default_rng(0)
        reliability = ReliabilityPolicy.RELIABLE if args.reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=5, reliability=reliability)
        self.camera = self.create_publisher(Image, "/camera_head/color/image_raw", qos)
        self.joints = self.create_publisher(JointState, "/joint_states", 10)
        self.stop = self.create_publisher(Bool, "/emergency_stop", 10)
        if not args.no_arm:
            self.create_subscription(JointTrajectory, "/arm_controller/joint_trajectory", self.on_arm, 10)
        if not args.no_gripper:
            self.create_subscription(JointTrajectory, "/gripper_controller/joint_trajectory", self.on_gripper, 10)
        self.create_timer(1 / 30, self.publish_image)
        self.create_timer(1 / 50, self.publish_joints)

        if GripperCommand is not None:
            ActionServer(
                self,
                GripperCommand,
                "/gripper_action_controller/gripper_cmd",
                self.run_gripper,
                goal_callback=self.decide,
            )
            ActionServer(self, FollowJointTrajectory, "/arm_controller/follow_joint_trajectory", self.run_arm)

    def decide(self, goal):
        args.reject -= 1
        return GoalResponse.ACCEPT if args.reject < 0 else GoalResponse.REJECT

    def run_gripper(self, goal):
        command = goal.request.command
        self.state[6] = ROS_JOINTS.gripper_from_radians(command.position)
        self.got["gripper_goals"].append([time.monotonic(), command.position, command.max_effort])
        goal.succeed()
        return GripperCommand.Result(reached_goal=True)

    def run_arm(self, goal):
        self.state[:6] = np.degrees(goal.request.trajectory.points[0].positions)
        self.got["arm_goals"].append([time.monotonic(), *self.state[:6]])
        goal.succeed()
        return FollowJointTrajectory.Result()

    def on_arm(self, message):
        assert message.joint_names == list(JOINT_NAMES)
        (point,) = message.points
        assert point.time_from_start.nanosec == 20_000_000
        self.state[:6] = np.degrees(point.positions)
        self.got["arm"].append([time.monotonic(), *self.state[:6]])

    def on_gripper(self, message):
        self.state[6] = ROS_JOINTS.gripper_from_radians(message.points[0].positions[0])
        self.got["gripper"].append([time.monotonic(), self.state[6]])

    def publish_image(self):
        if self.camera_is == "off":
            return
        if self.camera_is == "live":
            self.picture = self.random.integers(0, 255, args.height * args.width * 3, dtype=np.uint8)
        message = Image(height=args.height, width=args.width, encoding="bgr8", step=3 * args.width)
        message.data.frombytes(self.picture.tobytes())
        self.got["images"].append(time.monotonic())
        self.camera.publish(message)

    def publish_joints(self):
        """Arm and gripper in messages of their own, as two broadcasters send them."""
        if self.joints_are == "live":
            self.joints.publish(JointState(name=list(JOINT_NAMES), position=np.radians(self.state[:6]).tolist()))
            gripper = float(ROS_JOINTS.gripper_to_radians(self.state[6]))
            self.joints.publish(JointState(name=[ROS_JOINTS.names[6]], position=[gripper]))

    def obey(self, order):
        match order.split():
            case ["unplug"]:
                self.camera_is = "off"
            case ["freeze"]:
                self.camera_is = "frozen"
            case ["mute"]:
                self.joints_are = "off"
            case ["heal"]:
                self.camera_is = self.joints_are = "live"
            case ["emergency_stop"]:
                self.stop.publish(Bool(data=True))
            case ["release"]:
                self.stop.publish(Bool(data=False))
            case ["count", what]:
                print(len(self.got[what]), flush=True)
            case ["trigger", service]:
                self.call(Trigger, service, Trigger.Request())
            case ["record", service, value]:
                self.call(SetBool, service, SetBool.Request(data=value == "true"))
            case ["set", node, name, value]:
                client = AsyncParameterClient(self, node)
                client.wait_for_services(10)
                self.answer(client.set_parameters([Parameter(name, value=json.loads(value))]))
            case ["describe", node, name]:
                client = AsyncParameterClient(self, node)
                client.wait_for_services(10)
                self.answer(client.describe_parameters([name]))

    def call(self, kind, service, request):
        client = self.create_client(kind, service)
        client.wait_for_service(10)
        self.answer(client.call_async(request))

    def answer(self, future):
        while not future.done():
            time.sleep(0.01)
        print(json.dumps(str(future.result())), flush=True)


rclpy.init()
robot = FakeRobot()
executor = SingleThreadedExecutor()
executor.add_node(robot)
spinner = threading.Thread(target=executor.spin)
spinner.start()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "quit":
        break
    robot.obey(line)
executor.shutdown()
spinner.join()
json.dump(robot.got, sys.stdout)
robot.destroy_node()
rclpy.shutdown()
