from pathlib import Path

import numpy as np
import pytest
import yaml
from arms import FIVE

from dp_hf.arms.mycobot_280 import MYCOBOT_280, SIMULATED_MYCOBOT_280
from dp_hf.errors import UserError

CONFIGS = Path(__file__).parents[2] / "configs" / "control"


def test_the_limits_are_the_intersection_of_urdf_and_vendor():
    limits = MYCOBOT_280.limits
    np.testing.assert_array_equal(limits.lowest, [-165, -140, -150, -150, -155, -174.8, 0])
    np.testing.assert_array_equal(limits.highest, [165, 140, 150, 150, 160, 174.8, 100])


def test_the_files_of_the_repository_are_read_and_are_the_defaults():
    default, simulated = MYCOBOT_280.limits, SIMULATED_MYCOBOT_280.limits
    for file, built_in in [("mycobot_280.yaml", default), ("simulated.yaml", simulated)]:
        read = built_in.updated_from(CONFIGS / file)
        for name, value in vars(built_in).items():
            if name != "positions":
                np.testing.assert_array_equal(getattr(read, name), value, err_msg=name)
    slow = default.updated_from(CONFIGS / "mycobot_280_slow.yaml")
    assert (slow.velocity < default.velocity).all()
    assert (slow.highest <= default.highest).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("velocty: [1, 1, 1, 1, 1, 1, 1]", "no limit is called velocty"),
        ("velocity: [1, 1, 1, 1, 1, 1]", r"velocity must be finite numbers of shape \(7,\)"),
        ("velocity: [1, 1, 1, 1, 1, 1, 0]", "velocity must be above 0"),
        ("acceleration: [1, 1, .nan, 1, 1, 1, 1]", "acceleration must be finite"),
        ("max_jump: fast", "max_jump must be numbers"),
        ("start_pose: [0, 0]", "start_pose"),
        ("max_image_age: -1", "max_image_age must be a number above 0"),
        ("max_image_age: soon", "max_image_age must be a number above 0"),
        ("positions: {}", "positions must map a source"),
        (yaml.dump({"positions": {"a": [[0, 10]] * 7, "b": [[20, 30]] * 7}}), "positions leave no room"),
        ("velocity: [1, 1, 1, 1, 1, 1, 0]", r"got 0\.0 for gripper"),
        ("max_jump: [1, .inf, 1, 1, 1, 1, 1]", "got inf for link2_to_link3"),
        (
            yaml.dump({"positions": {"a": [[0, 10]] * 6 + [[5, 5]]}}),
            r"lowest and highest are \[5\.0, 5\.0\] for gripper",
        ),
        ("start_tolerance: 0", "start_tolerance must be above 0"),
        ("start_tolerance: [1, 2]", r"start_tolerance must be finite numbers of shape \(7,\), for link1_to_link2"),
        ("names: [pan, lift]", r"another arm's limits: its names are \['pan', 'lift'\], this arm's \['link1_to_link2'"),
        (
            "units: [radians, radians, radians, radians, radians, radians, 0..100]",
            "another arm's limits: its units are",
        ),
        ("names: 7", "another arm's limits: its names are 7"),
        ("quantities: [a]", "no limit is called quantities"),
        ("lowest: [0, 0, 0, 0, 0, 0, 0]", "no limit is called lowest"),
        ("- 1", "must be a mapping"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_wrong_file_is_named_with_its_fault(tmp_path, text, message):
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        MYCOBOT_280.limits.updated_from(path)
    assert str(path) in str(error.value)


def test_a_file_changes_only_what_it_names(tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text("names: [pan, lift, jaw, reach, roll]\nvelocity: [1, 1, 50, 0.1, 60]\nstart_tolerance: 0.5\n")
    limits = FIVE.limits.updated_from(path)
    np.testing.assert_array_equal(limits.velocity, [1, 1, 50, 0.1, 60])
    np.testing.assert_array_equal(limits.start_tolerance, [0.5] * 5)
    np.testing.assert_array_equal(limits.acceleration, FIVE.limits.acceleration)
    np.testing.assert_array_equal(limits.highest, FIVE.limits.highest)
    path.write_text("")
    assert SIMULATED_MYCOBOT_280.limits.updated_from(path).max_frozen_age is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.yaml"):
        MYCOBOT_280.limits.updated_from(tmp_path / "nothing.yaml")
