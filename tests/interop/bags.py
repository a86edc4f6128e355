"""Bags as ROS records them: a camera at 30 Hz, and an arm that moves at 50 Hz."""

import io

import numpy as np
import pytest
from PIL import Image

from dp_hf.arms.mycobot_280 import JOINT_NAMES

rosbag2 = pytest.importorskip("rosbags.rosbag2")
typesys = pytest.importorskip("rosbags.typesys")
STORE = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
PLUGINS = {"sqlite3": rosbag2.StoragePlugin.SQLITE3, "mcap": rosbag2.StoragePlugin.MCAP}
START = 1_700_000_000.0  # seconds
NAMES = (*JOINT_NAMES, "gripper_controller", "left_finger")


def header(seconds):
    nanoseconds = round(seconds * 1e9)
    time = STORE.types["builtin_interfaces/msg/Time"](nanoseconds // 10**9, nanoseconds % 10**9)
    return STORE.types["std_msgs/msg/Header"](time, "camera")


def picture(step, encoding="rgb8"):
    """Image `step` in red; rows are padded, as cameras may do."""
    height, width, channels = 24, 32, len(encoding) - 1
    rows = np.zeros((height, width * channels + 4), np.uint8)
    rows[:, encoding.index("r") : width * channels : channels] = step
    return height, width, encoding, rows.shape[1], rows.ravel()


def image(seconds, step, encoding="rgb8"):
    height, width, encoding, stride, data = picture(step, encoding)
    return STORE.types["sensor_msgs/msg/Image"](header(seconds), height, width, encoding, 0, stride, data)


def compressed(seconds, step):
    encoded = io.BytesIO()
    Image.new("RGB", (32, 24), (step, 0, 0)).save(encoded, "PNG")
    data = np.frombuffer(encoded.getvalue(), np.uint8)
    return STORE.types["sensor_msgs/msg/CompressedImage"](header(seconds), "png", data)


def joints(seconds, angles, gripper, names=NAMES[::-1]):
    values = dict(zip(NAMES, [*angles, gripper, 9.0], strict=True))
    positions = np.array([values[name] for name in names])
    empty = np.zeros(0)
    return STORE.types["sensor_msgs/msg/JointState"](header(seconds), list(names), positions, empty, empty)


def write_bag(path, messages, plugin="sqlite3", *, as_given=False, also=lambda writer: None):
    """A bag of (topic, seconds received, message)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rosbag2.Writer(path, version=9, storage_plugin=PLUGINS[plugin]) as writer:
        also(writer)
        connections = {}
        for topic, seconds, message in messages if as_given else sorted(messages, key=lambda entry: entry[1]):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], round(seconds * 1e9), STORE.serialize_cdr(message, kind))
    return path


def recording(seconds=2.0, image_of=image, camera="/camera_head/color/image_raw", lost=()):
    """Images at 30 Hz, joints at 50 Hz, received 20 ms late; at time t the arm is at t rad, the gripper at -t / 4."""
    messages = []
    for step in range(int(30 * seconds) + 1):
        time = step / 30
        if not any(start <= time < end for start, end in lost):
            messages.append((camera, START + time + 0.02, image_of(START + time, step)))
    for step in range(int(50 * seconds) + 1):
        time = step / 50
        arm = joints(START + time, np.full(6, time), -time / 4)
        messages.append(("/joint_states", START + time + 0.02, arm))
    return messages
