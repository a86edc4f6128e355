"""Between ROS messages and ours: radians and degrees, the gripper's joint and 0..100, image encodings."""

from collections.abc import Sequence

import numpy as np

from dp_hf.arms.mycobot_280 import GRIPPER_CLOSED, GRIPPER_JOINT, JOINT_NAMES
from dp_hf.errors import UserError

# Channels in memory, and how to index red, green and blue.
_ENCODINGS: dict[str, tuple[int, slice | list[int]]] = {
    "rgb8": (3, slice(None)),
    "bgr8": (3, slice(None, None, -1)),
    "rgba8": (4, slice(3)),
    "bgra8": (4, slice(2, None, -1)),
    "mono8": (1, [0, 0, 0]),
}


def image_from_message(height: int, width: int, encoding: str, step: int, data) -> np.ndarray:
    """The RGB image, uint8 (height, width, 3), of a `sensor_msgs/Image`'s fields; `data` is any buffer of bytes.

    Raises:
        UserError: another encoding, or fewer bytes than the size asks for.
    """
    if encoding not in _ENCODINGS:
        raise UserError(f"camera images are encoded as {encoding!r}; supported are {', '.join(_ENCODINGS)}")
    channels, rgb = _ENCODINGS[encoding]
    pixels = np.frombuffer(data, np.uint8)
    if step < width * channels or len(pixels) < height * step or not height * width:
        raise UserError(f"a camera image of {width}x{height} {encoding} with step {step} has {len(pixels)} bytes")
    rows = pixels[: height * step].reshape(height, step)[:, : width * channels]
    return np.ascontiguousarray(rows.reshape(height, width, channels)[..., rgb])


def state_from_joints(
    names: Sequence[str],
    positions: Sequence[float],
    joint_names: Sequence[str] = JOINT_NAMES,
    gripper_joint: str = GRIPPER_JOINT,
) -> np.ndarray:
    """The state (7,) of a `sensor_msgs/JointState`'s fields.

    Raises:
        UserError: one of the seven joints is missing, named.
    """
    radians = dict(zip(names, positions, strict=False))
    if missing := [name for name in (*joint_names, gripper_joint) if name not in radians]:
        raise UserError(f"joint states lack {', '.join(missing)}; they have {', '.join(names)}")
    joints = np.degrees([radians[name] for name in joint_names])
    return np.append(joints, gripper_from_radians(radians[gripper_joint]))


def gripper_from_radians(angle: float) -> float:
    """0 (closed) to 100 (open)."""
    return 100 * (1 - angle / GRIPPER_CLOSED)


def gripper_to_radians(value: float) -> float:
    """From 0..100 to -0.5 (closed) .. 0.0 (open)."""
    return GRIPPER_CLOSED * (1 - value / 100)
