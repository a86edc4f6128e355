"""An arm from a YAML file in real rclpy, for a Python that has it: `real_ros2_arm.py ARM.yaml STATE...`.

Its joints begin at STATE (the arm's numbers) and go where commands send them. The line `count` on standard input has it
print how many commands came, `quit` ends it; then it prints their positions, with the names of the joints, if the
message has them.
"""

import json
import sys
import threading

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from dp_hf.arms.arm_file import read_arm

arm = read_arm(sys.argv[1])
positions = arm.ros.positions(np.array(sys.argv[2:], dtype=np.float64))
came = []


def on_trajectory(message):
    (point,) = message.points
    for name, position in zip(message.joint_names, point.positions, strict=True):
        positions[arm.ros.names.index(name)] = position
    came.append([list(message.joint_names), list(point.positions)])


def on_positions(message):
    positions[arm.commanded_together] = message.data
    came.append([None, list(message.data)])


rclpy.init()
node = Node("arm")
camera = node.create_publisher(Image, arm.topics.image_topic, 5)
joints = node.create_publisher(JointState, arm.topics.joint_states_topic, 10)
if arm.topics.message == "Float64MultiArray":
    node.create_subscription(Float64MultiArray, arm.topics.arm_topic, on_positions, 10)
else:
    node.create_subscription(JointTrajectory, arm.topics.arm_topic, on_trajectory, 10)
random = np.random.default_rng(0)


def publish():
    joints.publish(JointState(name=list(arm.ros.names), position=positions.tolist()))
    picture = random.integers(0, 255, 24 * 42 * 3, dtype=np.uint8)
    camera.publish(Image(height=24, width=42, encoding="rgb8", step=42 * 3, data=picture.tobytes()))


node.create_timer(1 / 50, publish)
executor = SingleThreadedExecutor()
executor.add_node(node)
ending = threading.Event()


def spin():
    while not ending.is_set():
        executor.spin_once(timeout_sec=0.1)


thread = threading.Thread(target=spin)
thread.start()
print("ready", flush=True)
while sys.stdin.readline().strip() == "count":
    print(len(came), flush=True)
ending.set()
thread.join()
print(json.dumps(came), flush=True)
node.destroy_node()
rclpy.shutdown()
