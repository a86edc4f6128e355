"""The myCobot 280 with its adaptive gripper: six joint angles in degrees, the gripper from 0 (closed) to 100 (open)."""

from dataclasses import replace

from dp_hf.arms.arm import Arm
from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.quantities import Quantities
from dp_hf.arms.ros import RosJoints, RosTopics

JOINT_NAMES = (
    "link1_to_link2",
    "link2_to_link3",
    "link3_to_link4",
    "link4_to_link5",
    "link5_to_link6",
    "link6_to_link6_flange",
)
QUANTITIES = Quantities((*JOINT_NAMES, "gripper"), (*["degrees"] * 6, "0..100"))
ROS_JOINTS = RosJoints(QUANTITIES, (*JOINT_NAMES, "gripper_controller"), gripper_closed=-0.5, gripper_open=0.0)
ROS_TOPICS = RosTopics(
    image_topic="/camera_head/color/image_raw",
    arm_topic="/arm_controller/joint_trajectory",
    arm_action="/arm_controller/follow_joint_trajectory",
    gripper_topic="/gripper_controller/joint_trajectory",
    gripper_action="/gripper_action_controller/gripper_cmd",
)

MYCOBOT_280 = Arm(
    name="mycobot_280",
    gripper=6,
    limits=SafetyLimits(
        QUANTITIES,
        # The arm's manufacturer and its URDF differ.
        positions={
            "urdf": [[-165, 165]] * 5 + [[-174.8, 174.8], [0, 100]],
            "vendor": [[-168, 168], [-140, 140], [-150, 150], [-150, 150], [-155, 160], [-180, 180], [0, 100]],
        },
        velocity=[160] * 6 + [200],
        acceleration=[286] * 6 + [1000],
        max_jump=[30] * 6 + [100],
        start_tolerance=10,
    ),
    ros=ROS_JOINTS,
    topics=ROS_TOPICS,
)

SIMULATED_MYCOBOT_280 = replace(
    MYCOBOT_280,
    name="simulated_mycobot_280",
    limits=replace(
        MYCOBOT_280.limits,
        # The scene's joints end where the simulator's XML says; a test compares.
        positions={
            **MYCOBOT_280.limits.positions,
            "scene": [[-168, 168], [-135, 135], [-150, 150], [-145, 145], [-165, 165], [-180, 180], [0, 100]],
        },
        # Its servos are quicker than a myCobot's, and the demonstrations recorded there use that.
        velocity=[400] * 6 + [2000],
        acceleration=[5000] * 6 + [50000],
        max_jump=[60] * 6 + [100],
        max_frozen_age=None,
    ),
)
