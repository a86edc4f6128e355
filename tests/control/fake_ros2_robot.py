"""A robot on the ROS 2 wire, run as a process of its own: `fake_ros2_robot.py WIDTH HEIGHT`.

It publishes a camera (30 Hz) and joint states (100 Hz), goes where trajectories send it, and obeys lines on standard
input: `unplug`, `freeze`, `mute`, `heal`, `emergency_stop`, `release`, `quit`. At the end it prints all commands as
they arrived, with the time.
"""

import json
import sys
import threading
import time

import numpy as np

from dp_hf.arms.mycobot_280 import JOINT_NAMES, ROS_JOINTS, ROS_TOPICS
from dp_hf.control.robots.dds import Dds
from dp_hf.control.robots.ros2 import Ros2Config
from dp_hf.control.robots.ros2_messages import Bool, Header, Image, JointState, JointTrajectory, Time

config = Ros2Config()
width, height = map(int, sys.argv[1:])
dds = Dds()
camera = dds.publisher(ROS_TOPICS.image_topic, Image)
joints = dds.publisher(ROS_TOPICS.joint_states_topic, JointState)
emergency = dds.publisher(config.emergency_stop_topic, Bool)

state = np.array([0, 0, 0, 0, 0, 0, 50], dtype=np.float64)
commands: dict[str, list[list[float]]] = {"arm": [], "gripper": []}
mode = {"camera": "live", "joints": "live"}


def on_arm(message):
    assert message.joint_names == list(JOINT_NAMES)
    (point,) = message.points
    assert point.time_from_start.nanosec == 20_000_000
    state[:6] = np.degrees(point.positions)
    commands["arm"].append([time.monotonic(), *state[:6]])


def on_gripper(message):
    state[6] = ROS_JOINTS.gripper_from_radians(message.points[0].positions[0])
    commands["gripper"].append([time.monotonic(), state[6]])


dds.subscribe(ROS_TOPICS.arm_topic, JointTrajectory, on_arm, reliable=True)
dds.subscribe(ROS_TOPICS.gripper_topic, JointTrajectory, on_gripper, reliable=True)
running = True


def publish():
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (height, width, 3), dtype=np.uint8).ravel() for _ in range(5)]
    next_tick, tick = time.monotonic(), 0
    while running:
        header = Header(Time(int(time.time()), 0), "camera")
        if mode["joints"] == "live":
            positions = np.array([*np.radians(state[:6]), ROS_JOINTS.gripper_to_radians(state[6])])
            none = np.zeros(0)
            joints(JointState(header, [*JOINT_NAMES, "gripper_controller"], positions, none, none))
        if tick % 3 == 0 and mode["camera"] != "off":
            picture = pictures[tick // 3 % len(pictures) if mode["camera"] == "live" else 0]
            camera(Image(header, height, width, "bgr8", 0, 3 * width, picture))
        tick += 1
        next_tick += 0.01
        time.sleep(max(0.0, next_tick - time.monotonic()))


publisher = threading.Thread(target=publish)
publisher.start()
print("ready", flush=True)
for line in sys.stdin:
    match line.strip():
        case "unplug":
            mode["camera"] = "off"
        case "freeze":
            mode["camera"] = "frozen"
        case "mute":
            mode["joints"] = "off"
        case "heal":
            mode.update(camera="live", joints="live")
        case "emergency_stop":
            emergency(Bool(True))
        case "release":
            emergency(Bool(False))
        case "count arm":
            print(len(commands["arm"]), flush=True)
        case "quit":
            break
running = False
publisher.join()
dds.close()
json.dump(commands, sys.stdout)
