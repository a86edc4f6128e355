"""Bags of arms that are no myCobot, which a file describes."""

import json

import numpy as np
import pytest
import yaml
from arms import FIVE, FIVE_NUMBERS, FOURTEEN_NUMBERS
from bags import START, STORE, header, image, recording, write_bag

from dp_hf.arms.arm_file import read_arm
from dp_hf.cli.convert_episodes import main
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.errors import UserError
from dp_hf.interop.rosbag.importing import import_bags

JOINTS = [f"joint_{name}" for name in FOURTEEN_NUMBERS.names]


def bag_of(path, names, position_at):
    """A bag of two seconds; at time t the joints are at `position_at(t)`, among others in another order."""
    messages = [entry for entry in recording(image_of=image) if entry[0] != "/joint_states"]
    for step in range(101):
        time, empty = step / 50, np.zeros(0)
        values = [9.0, *np.asarray(position_at(time), dtype=np.float64)[::-1]]
        state = STORE.types["sensor_msgs/msg/JointState"](
            header(START + time), ["wheel", *names[::-1]], np.array(values), empty, empty
        )
        messages.append(("/joint_states", START + time + 0.02, state))
    return write_bag(path, messages)


@pytest.fixture
def fourteen(tmp_path) -> str:
    """File of an arm of fourteen joints in radians, without a gripper."""
    limits = {"velocity": 2, "acceleration": 10, "max_jump": 0.5, "start_tolerance": 0.1}
    said = {
        "names": list(FOURTEEN_NUMBERS.names),
        "units": "radians",
        "limits": {"positions": {"stops": [[-2, 2]] * 14}, **limits},
        "ros": {"joints": JOINTS, "image_topic": "/eye", "arm_topic": "/both_arms"},
    }
    (tmp_path / "fourteen.yaml").write_text(yaml.safe_dump(said))
    return str(tmp_path / "fourteen.yaml")


def test_from_a_bag_of_fourteen_joints_to_a_dataset(tmp_path, fourteen, capsys):
    bag_of(tmp_path / "bag", JOINTS, lambda time: 0.5 * time * np.linspace(-1, 1, 14))
    given = ["from-rosbag", "--data_dir", str(tmp_path / "bag"), "--output_dir", str(tmp_path / "out")]
    assert main([*given, "--arm", fourteen]) == 0
    frames = json.loads((tmp_path / "out" / "episode_bag" / "states.json").read_text())
    for index, frame in enumerate(frames):
        assert np.allclose(frame["state"], 0.5 * index / 10 * np.linspace(-1, 1, 14), atol=1e-6)
    assert main(["--data_dir", str(tmp_path / "out"), "--output_dir", str(tmp_path / "data")]) == 0
    meta = DatasetMeta.load(tmp_path / "data")
    assert (meta.state, meta.fps, meta.num_frames) == (FOURTEEN_NUMBERS, 10, 21)
    capsys.readouterr()
    assert main(given) == 2
    assert "out holds episodes of another arm" in capsys.readouterr().err


def test_each_number_is_in_the_arms_unit(tmp_path):
    """Radians, a gripper in the middle, metres, and degrees."""
    bag_of(tmp_path / "bag", FIVE.ros.names, lambda time: [time, 0.5, 0.8 - 0.45 * time, 0.1, time])
    (report,) = import_bags(tmp_path / "bag", tmp_path / "out", arm=FIVE)
    said = json.loads((tmp_path / "out" / "recording.json").read_text())
    assert (said["names"], said["units"]) == (list(FIVE_NUMBERS.names), list(FIVE_NUMBERS.units))
    for index, frame in enumerate(json.loads((report.episode / "states.json").read_text())):
        time = index / 10
        assert np.allclose(frame["state"], [time, 0.5, 50 * time, 0.1, np.degrees(time)], atol=1e-4)


def test_degrees_and_another_gripper(tmp_path):
    names = list(FIVE.ros.names)
    names[2] = "claw"
    bag_of(tmp_path / "bag", names, lambda time: [60 * time, 30, 10 * time, 0.1, 80 * time])
    options = {"gripper_joint": "claw", "gripper_open": "low", "gripper_range": (0.0, 20.0)}
    with pytest.raises(UserError, match=r"(pan|roll) would be at .* if the joint states were radians"):
        import_bags(tmp_path / "bag", tmp_path / "out", arm=FIVE, **options)
    (report,) = import_bags(tmp_path / "bag", tmp_path / "out", arm=FIVE, angle_unit="degrees", **options)
    last = json.loads((report.episode / "states.json").read_text())[-1]
    assert np.allclose(last["state"], [np.radians(120), np.radians(30), 0, 0.1, 160], atol=1e-4)


def test_what_does_not_fit_the_arm_is_a_sentence(tmp_path, fourteen):
    bag_of(tmp_path / "bag", JOINTS[1:], lambda time: np.zeros(13))
    arm = read_arm(fourteen)
    with pytest.raises(UserError, match="the joint states lack joint_left_waist; they have "):
        import_bags(tmp_path / "bag", tmp_path / "out", arm=arm)
    with pytest.raises(UserError, match="fourteen has no gripper: leave out what is said of one"):
        import_bags(tmp_path / "bag", tmp_path / "out", arm=arm, gripper_joint="claw")
    assert not (tmp_path / "out").exists()


def test_a_gripper_beyond_its_range_is_said_and_clipped(tmp_path):
    bag_of(tmp_path / "bag", FIVE.ros.names, lambda time: [time, 0, -0.3, 0.1, time])
    (report,) = import_bags(tmp_path / "bag", tmp_path / "out", arm=FIVE)
    assert "beyond -0.1..0.8 and are clipped; --gripper_range says another range" in str(report)
    assert json.loads((report.episode / "states.json").read_text())[0]["state"][2] == 100
