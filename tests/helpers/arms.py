"""Arms that are no myCobot."""

from dp_hf.arms.arm import Arm
from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.quantities import Quantities
from dp_hf.arms.ros import RosJoints, RosTopics

# Five numbers: radians, metres, and a gripper that is not the last of them.
FIVE_NUMBERS = Quantities(
    ("pan", "lift", "jaw", "reach", "roll"), ("radians", "radians", "0..100", "metres", "degrees")
)
FIVE = Arm(
    name="five",
    limits=SafetyLimits(
        FIVE_NUMBERS,
        positions={"stops": [[-3, 3], [-1.5, 1.5], [0, 100], [0, 0.4], [-170, 170]]},
        velocity=[2, 2, 150, 0.3, 120],
        acceleration=[6, 6, 900, 1, 300],
        max_jump=[0.5, 0.5, 100, 0.1, 30],
        start_tolerance=[0.1, 0.1, 10, 0.02, 5],
    ),
    gripper=2,
    ros=RosJoints(FIVE_NUMBERS, ("j1", "j2", "jaw_joint", "slide", "j4"), gripper_closed=0.8, gripper_open=-0.1),
    topics=RosTopics(image_topic="/camera", arm_topic="/five/joint_trajectory", gripper_topic="/jaw/joint_trajectory"),
)

# Two arms of seven numbers, in radians.
FOURTEEN_NUMBERS = Quantities(
    tuple(
        f"{side}_{joint}"
        for side in ("left", "right")
        for joint in ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
    ),
    ("radians",) * 14,
)
