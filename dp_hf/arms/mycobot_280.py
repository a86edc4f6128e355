"""The myCobot 280 with its adaptive gripper: six joint angles in degrees, the gripper from 0 (closed) to 100 (open)."""

from typing import Any

from dp_hf.arms.quantities import Quantities

JOINT_NAMES = (
    "link1_to_link2",
    "link2_to_link3",
    "link3_to_link4",
    "link4_to_link5",
    "link5_to_link6",
    "link6_to_link6_flange",
)
STATE_NAMES = (*JOINT_NAMES, "gripper")
STATE_DIM = len(STATE_NAMES)
QUANTITIES = Quantities(STATE_NAMES, (*["degrees"] * len(JOINT_NAMES), "0..100"))

# Lowest and highest values by source; the arm's manufacturer and its URDF differ.
POSITIONS = {
    "urdf": [[-165, 165]] * 5 + [[-174.8, 174.8], [0, 100]],
    "vendor": [[-168, 168], [-140, 140], [-150, 150], [-150, 150], [-155, 160], [-180, 180], [0, 100]],
}

# As a ROS driver names the gripper's joint, and what it is at in radians.
GRIPPER_JOINT = "gripper_controller"
GRIPPER_CLOSED = -0.5  # open is 0.0

# The simulated arm's servos are quicker than a myCobot's, and the demonstrations recorded there use that.
SIMULATED: dict[str, Any] = {
    "velocity": [400] * 6 + [2000],
    "acceleration": [5000] * 6 + [50000],
    "max_jump": [60] * 6 + [100],
    "max_frozen_age": None,
}
