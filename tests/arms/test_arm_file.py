"""Arms from YAML files: what comes with dp_hf, and that nothing in such a file is passed over."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import yaml

from dp_hf.arms.arm_file import read_arm
from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.cli.recipes import recipe_folder, recipe_names
from dp_hf.errors import UserError

ARM = """
names: [pan, lift, claw]
units: [radians, degrees, 0..100]
gripper: claw
limits:
  positions: {stops: [[-3, 3], [-90, 90], [0, 100]]}
  velocity: [2, 90, 100]
  acceleration: [6, 300, 900]
  max_jump: [0.5, 30, 100]
  start_tolerance: [0.1, 5, 10]
ros:
  joints: [j1, j2, jaw]
  gripper_closed: 0.8
  gripper_open: -0.1
  image_topic: /camera
  arm_topic: /arm/joint_trajectory
"""


def write(tmp_path, text=ARM):
    file = tmp_path / "desk.yaml"
    file.write_text(text)
    return file


def plain(value):
    """Dataclasses and arrays as what can be compared."""
    if is_dataclass(value):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value


def without_sources(arm):
    said = plain(arm)
    said["limits"].pop("positions")  # lists in a file, ints in code; `lowest` and `highest` are what counts
    return said


def test_the_mycobots_file_is_the_mycobot():
    assert without_sources(read_arm(recipe_folder("arms") / "mycobot_280.yaml")) == without_sources(MYCOBOT_280)


@pytest.mark.parametrize(
    ("name", "numbers", "units", "gripper"),
    [("so101", 6, {"degrees", "0..100"}, 5), ("panda", 7, {"radians"}, None), ("mycobot_280", 7, None, 6)],
)
def test_the_arms_that_come_with_dp_hf(name, numbers, units, gripper):
    arm = read_arm(recipe_folder("arms") / f"{name}.yaml")
    assert (arm.name, len(arm.quantities), arm.gripper) == (name, numbers, gripper)
    assert units is None or set(arm.quantities.units) == units
    middle = (arm.limits.lowest + arm.limits.highest) / 2
    np.testing.assert_allclose(arm.ros.state(arm.ros.names, arm.ros.positions(middle)), middle, atol=1e-9)


def test_every_arm_that_comes_with_dp_hf_is_tested():
    assert recipe_names("arms") == ["mycobot_280", "panda", "so101"]


def test_an_arm_of_a_file(tmp_path):
    arm = read_arm(write(tmp_path))
    assert arm.name == "desk"
    assert arm.command_rate == 50
    assert arm.quantities.labels == ("pan (radians)", "lift (degrees)", "claw (0..100)")
    assert arm.commanded_together == [0, 1, 2]  # the gripper has no controller of its own
    np.testing.assert_allclose(arm.ros.positions(np.array([1, 90, 0])), [1, np.pi / 2, 0.8])
    own = read_arm(write(tmp_path, f"{ARM}  gripper_topic: /jaw/commands\n  message: Float64MultiArray\n"))
    assert own.commanded_together == [0, 1]


def test_one_unit_and_one_number_stand_for_all(tmp_path):
    limits = "{positions: {a: [[-1, 1], [-1, 1]]}, velocity: 1, acceleration: 2, max_jump: 0.1, start_tolerance: 0.1}"
    arm = read_arm(write(tmp_path, f"names: [a, b]\nunits: radians\nlimits: {limits}\n"))
    assert arm.quantities.units == ("radians", "radians")
    assert arm.limits.velocity.tolist() == [1, 1]
    assert arm.ros is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("gripper: claw", "griper: claw", "no key griper; there are name, names, units, gripper"),
        ("gripper: claw", "gripper: jaw", r"gripper 'jaw' is none of the names \(pan, lift, claw\)"),
        ("gripper: claw", "gripper: pan", r"its gripper is pan \(radians\), which nobody takes for one"),
        ("0..100", "percent", "'percent' is no unit"),
        ("units: [radians, degrees, 0..100]", "units: [radians, degrees]", "3 names .* have 2 units"),
        ("names: [pan, lift, claw]", "names: [pan, lift, 3]", "names is a list of texts"),
        ("  velocity: [2, 90, 100]\n", "", "limits: velocity is missing"),
        (
            "  velocity: [2, 90, 100]\n",
            "  velocity: [2, 90, 100]\n  velocity: [9, 9, 9]\n",
            "'velocity' is there twice",
        ),
        ("max_jump", "max_jmup", "limits: no key 'max_jmup'; did you mean 'max_jump'"),
        ("max_jump: [0.5, 30, 100]", "max_jump: [0.5, .nan, 100]", "limits: max_jump must be finite numbers, .* lift"),
        ("joints: [j1, j2, jaw]", "joints: [j1, j2]", "ros: ROS has 2 joints"),
        ("joints: [j1, j2, jaw]", "joints: [j1, jaw, jaw]", "ros: ROS has one joint 'jaw' for two numbers"),
        ("  gripper_open: -0.1", "  gripper_open: 0.8", "ros: the gripper's joint is at 0.8 radians when closed"),
        ("0..100", "none", "which nobody takes for one|gripper_closed and gripper_open are of a gripper in 0..100"),
        ("  arm_topic: /arm/joint_trajectory", "", "ros: the arm cannot be commanded: name its arm_topic"),
        ("arm_topic", "arm_topics", "ros: no key 'arm_topics'; did you mean 'arm_topic'"),
        ("image_topic: /camera", "image_topic: 3", "ros: image_topic is"),
        (
            "image_topic: /camera",
            "message: String\n  image_topic: /camera",
            "ros: message is JointTrajectory or Float64",
        ),
        ("gripper: claw", "command_rate: 0", "command_rate is above 0"),
        ("ros:", "name: [x]\nros:", "name is"),
        ("names:", "names: [", "cannot be read as YAML"),
    ],
)
def test_what_a_file_says_wrong_is_one_sentence_with_its_name(tmp_path, old, new, said):
    assert old in ARM
    file = write(tmp_path, ARM.replace(old, new, 1))
    with pytest.raises(UserError, match=said) as error:
        read_arm(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


def test_a_gripper_with_a_controller_is_one_of_the_arms(tmp_path):
    said = yaml.safe_load(ARM) | {"gripper": None}
    said["ros"]["gripper_action"] = "/gripper_cmd"
    with pytest.raises(UserError, match="it has no gripper, and a gripper_topic or gripper_action: leave them out"):
        read_arm(write(tmp_path, yaml.safe_dump(said)))
