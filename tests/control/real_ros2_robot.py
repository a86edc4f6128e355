"""A robot of real rclpy, for a Python that has it (scripts/ros2/environment.sh): `real_ros2_robot.py WIDTH HEIGHT`.

Like `fake_ros2_robot.py` it publishes a camera (30 Hz) and joint states (50 Hz), goes where trajectories send it, and
obeys lines on standard input: `unplug`, `freeze`, `mute`, `heal`, `emergency_stop`, `release`, `quit`. At the end it
prints what arrived.
"""

import argparse
import json
import sys
import threading
import time

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

from dp_hf.arms.mycobot_280 import JOINT_NAMES, ROS_JOINTS

parser = argparse.ArgumentParser()
parser.add_argument("width", type=int)
parser.add_argument("height", type=int)
args, _ = parser.parse_known_args()


class FakeRobot(Node):
    def __init__(self):
        super().__init__("fake_robot")
        self.state = np.array([0, 0, 0, 0, 0, 0, 50], dtype=np.float64)
        self.camera_is = self.joints_are = "live"
        self.got = {"arm": [], "gripper": []}
        self.random = np.random.default_rng(0)
        best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.camera = self.create_publisher(Image, "/camera_head/color/image_raw", best_effort)
        self.joints = self.create_publisher(JointState, "/joint_states", 10)
        self.stop = self.create_publisher(Bool, "/emergency_stop", 10)
        self.create_subscription(JointTrajectory, "/arm_controller/joint_trajectory", self.on_arm, 10)
        self.create_subscription(JointTrajectory, "/gripper_controller/joint_trajectory", self.on_gripper, 10)
        self.create_timer(1 / 30, self.publish_image)
        self.create_timer(1 / 50, self.publish_joints)

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
        self.camera.publish(message)

    def publish_joints(self):
        """Arm and gripper in messages of their own, as two broadcasters send them."""
        if self.joints_are == "live":
            self.joints.publish(JointState(name=list(JOINT_NAMES), position=np.radians(self.state[:6]).tolist()))
            gripper = float(ROS_JOINTS.gripper_to_radians(self.state[6]))
            self.joints.publish(JointState(name=[ROS_JOINTS.names[6]], position=[gripper]))

    def obey(self, order):
        match order:
            case "unplug":
                self.camera_is = "off"
            case "freeze":
                self.camera_is = "frozen"
            case "mute":
                self.joints_are = "off"
            case "heal":
                self.camera_is = self.joints_are = "live"
            case "emergency_stop":
                self.stop.publish(Bool(data=True))
            case "release":
                self.stop.publish(Bool(data=False))


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
    robot.obey(line.strip())
executor.shutdown()
spinner.join()
json.dump(robot.got, sys.stdout)
robot.destroy_node()
rclpy.shutdown()
