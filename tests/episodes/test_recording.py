"""Episodes of another arm than a myCobot, and the file beside them that says what their numbers are."""

import json

import numpy as np
import pytest
from arms import FIVE_NUMBERS

from dp_hf import open_data
from dp_hf.arms.quantities import Quantities
from dp_hf.cli.main import main
from dp_hf.episodes.checks import check_episodes
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.reader import read_episode
from dp_hf.episodes.recording import Recording, require_room
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError

RECORDING = Recording(FIVE_NUMBERS, 20.0)


def record(data_dir, name=None, recording=RECORDING, stamps=True, commands=True, seed=0):
    rng = np.random.default_rng(seed)
    scale = np.array([2, 1, 100, 0.4, 100])
    with EpisodeWriter(data_dir, name, recording) as writer:
        for index in range(8):
            state = (rng.uniform(0, 1, 5) * scale).astype(np.float32)
            image = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            moment = index / 20 if stamps else None
            writer.add_frame(image, state, state + 0.01 if commands else None, moment)
    return writer.path


def damage(data_dir, **changes):
    file = data_dir / "recording.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_is_recorded_is_what_is_read_and_converted(tmp_path):
    episode = record(tmp_path / "data", "episode1")
    assert json.loads((tmp_path / "data" / "recording.json").read_text()) == {
        "names": list(FIVE_NUMBERS.names),
        "units": list(FIVE_NUMBERS.units),
        "fps": 20.0,
    }
    frame = json.loads((episode / "states.json").read_text())[0]
    assert set(frame) == {"state", "action", "image", "timestamp"}
    read = read_episode(episode)
    np.testing.assert_allclose(read.actions, read.states + 0.01, atol=1e-5)
    dataset, meta = open_data(tmp_path / "data", report=lambda text: None)
    assert (meta.state, meta.action, meta.fps, meta.action_source) == (FIVE_NUMBERS, FIVE_NUMBERS, 20.0, "recorded")
    np.testing.assert_array_equal(np.array(dataset["state"]), read.states.astype(np.float32))


def test_the_copy_of_a_conversion_is_not_kept_when_the_file_changes(tmp_path):
    record(tmp_path / "data", "episode1")
    assert open_data(tmp_path / "data", report=lambda text: None)[1].state == FIVE_NUMBERS
    damage(tmp_path / "data", names=["a", "b", "c", "d", "longer_name"])
    assert open_data(tmp_path / "data", report=lambda text: None)[1].state.names == ("a", "b", "c", "d", "longer_name")


def test_one_episode_by_itself_is_known_by_the_file_beside_it(tmp_path):
    episode = record(tmp_path / "data", "episode1")
    assert open_data(episode, report=lambda text: None)[1].state == FIVE_NUMBERS


def test_without_timestamps_the_rate_is_the_files(tmp_path):
    record(tmp_path / "data", stamps=False)
    report = convert_episodes(tmp_path / "data", tmp_path / "dataset", progress=False)
    assert (report.meta.fps, report.fps_reason) == (20.0, "as recording.json says")


def test_nothing_is_said_of_units_that_are_known(tmp_path):
    record(tmp_path / "data")
    report = check_episodes(tmp_path / "data", progress=False)
    assert report.unit is None
    assert report.problems == []


@pytest.mark.parametrize("options", [{"angle_unit": "radians"}, {"gripper": "a range"}])
def test_two_words_on_the_units_are_one_too_many(tmp_path, options):
    record(tmp_path / "data")
    with pytest.raises(
        UserError, match=r"recording.json says that the numbers are pan, lift .*: leave out --angle_unit"
    ):
        convert_episodes(tmp_path / "data", tmp_path / "dataset", progress=False, **options)


def test_arms_are_not_mixed(tmp_path, record_episode):
    record(tmp_path / "five", "episode1")
    record_episode(tmp_path / "mycobot", "episode2")
    with pytest.raises(UserError, match=r"are of two arms: the second has 7 numbers"):
        convert_episodes(tmp_path, tmp_path / "dataset", progress=False)
    with pytest.raises(UserError, match="mycobot holds episodes of another arm: this one has 5 numbers"):
        record(tmp_path / "mycobot")
    with pytest.raises(UserError, match="five holds episodes of another arm: this one has 7 numbers"):
        require_room(tmp_path / "five", None)
    in_degrees = Recording(Quantities(FIVE_NUMBERS.names, ("degrees",) * 5), 20.0)
    with pytest.raises(UserError, match=r"this one has pan \(degrees\) where pan \(radians\) is expected"):
        require_room(tmp_path / "five", in_degrees)
    require_room(tmp_path / "absent", None)


def test_a_state_without_its_names_is_no_frame(tmp_path):
    episode = record(tmp_path / "data")
    (tmp_path / "data" / "recording.json").unlink()
    problem = read_episode(episode).problems[0]
    assert "has a state, and no recording.json beside the episode says what its numbers are" in problem.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": ["a"]}, "1 names"),
        ({"units": ["percent"] * 5}, "'percent' is no unit"),
        ({"units": "radians"}, "holds other than names, units and fps"),
        ({"fps": 0}, "holds other than names, units and fps"),
        ({"gripper": 3}, "holds other than names, units and fps"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, changes, said):
    episode = record(tmp_path / "data", "episode1")
    damage(tmp_path / "data", **changes)
    assert said in read_episode(episode).why_unusable.message
    with pytest.raises(UserError, match=said):
        convert_episodes(tmp_path / "data", tmp_path / "dataset", progress=False)


def test_a_state_of_another_width_is_refused_and_left_out(tmp_path):
    with (
        EpisodeWriter(tmp_path / "data", recording=RECORDING) as writer,
        pytest.raises(UserError, match="state is 5 finite numbers, not"),
    ):
        writer.add_frame(np.zeros((4, 4, 3), np.uint8), np.zeros(7))
    episode = record(tmp_path / "data", "episode1")
    rows = json.loads((episode / "states.json").read_text())
    rows[3]["state"] = [1, 2, 3]
    (episode / "states.json").write_text(json.dumps(rows))
    assert "state has 3 values, not 5" in str(read_episode(episode).problems[0])


def test_it_becomes_a_lerobot_dataset(tmp_path):
    record(tmp_path / "data")
    folders = ["--data_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "lerobot")]
    assert main(["convert-episodes", "to-lerobot", *folders, "--task", "pour"]) == 0
    features = json.loads((tmp_path / "lerobot" / "meta" / "info.json").read_text())["features"]
    assert features["observation.state"]["shape"] == features["action"]["shape"] == [5]
    assert features["action"]["names"] == list(FIVE_NUMBERS.names)
