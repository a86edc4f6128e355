import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.parquet import ParquetShards, features_of
from dp_hf.episodes.units import Gripper
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError


def read(folder):
    """All rows of a dataset folder as columns, without `datasets`."""
    return pq.read_table(folder / "data").to_pydict()


def recorded(episode):
    """(frames, 7) of an episode's states file."""
    rows = json.loads((episode / "states.json").read_text())
    return np.array([[*row["angles"], *row["gripper_value"]] for row in rows], dtype=np.float32)


def edit(episode, change):
    rows = json.loads((episode / "states.json").read_text())
    change(rows)
    (episode / "states.json").write_text(json.dumps(rows))


def test_rows_are_what_was_recorded(tmp_path, record_episode):
    episodes = [record_episode(tmp_path / "in", f"episode{i}", num_frames=6 + i, seed=i) for i in range(3)]
    report = convert_episodes(tmp_path / "in", tmp_path / "out")
    rows = read(tmp_path / "out")
    states = [recorded(episode) for episode in episodes]
    assert np.array_equal(np.array(rows["state"], np.float32), np.concatenate(states))
    assert np.array_equal(
        np.array(rows["action"], np.float32), np.concatenate([s[[*range(1, len(s)), -1]] for s in states])
    )
    assert rows["episode_index"] == [0] * 6 + [1] * 7 + [2] * 8
    assert rows["frame_index"] == [*range(6), *range(7), *range(8)]
    assert np.allclose(rows["timestamp"][:6], np.arange(6) / 10)
    files = [path for episode in episodes for path in sorted(episode.glob("frame_dir/*"))]
    assert [image["bytes"] for image in rows["image"]] == [path.read_bytes() for path in files]
    assert report.meta.episodes == ["episode0", "episode1", "episode2"]
    assert np.allclose(report.meta.statistics["state"]["max"], np.concatenate(states).max(axis=0))
    assert report.meta.fps == 10
    assert report.image_sizes == [(42, 24)]
    for text in ("recorded in degrees", "episodes: 3, rows: 21", "assumed", "42x24", "the next row's state"):
        assert text in str(report)


STATE = st.tuples(*[st.floats(-180, 180, width=32)] * 6, st.floats(0, 100, width=32))


@settings(max_examples=15)
@given(
    st.lists(st.lists(STATE, min_size=5, max_size=8), min_size=1, max_size=3),
    st.sampled_from(["degrees", "radians"]),
    st.sampled_from(["high", "low"]),
    st.integers(1, 3),
    st.integers(0, 3),
    st.booleans(),
)
def test_any_recording_comes_back_within_float32(episodes, unit, open_end, skip, offset, with_actions):
    with tempfile.TemporaryDirectory() as parent:
        data_dir, out = Path(parent, "in"), Path(parent, "out")
        for states in episodes:
            with EpisodeWriter(data_dir) as writer:
                for state in np.array(states, dtype=np.float64):
                    raw = np.deg2rad(state) if unit == "radians" else state
                    raw = np.array([*raw[:6], state[6] if open_end == "high" else 100 - state[6]])
                    writer.add_frame(np.zeros((4, 4, 3), np.uint8), raw, action=raw if with_actions else None)
        gripper = Gripper(open_end)
        offset = 1 if with_actions else offset
        convert_episodes(
            data_dir, out, angle_unit=unit, frame_skip=skip, action_offset=offset, gripper=gripper, progress=False
        )
        rows = read(out)
        kept = [np.array(states)[::skip] for states in episodes]
        assert np.allclose(rows["state"], np.concatenate(kept), rtol=1e-5, atol=1e-5)
        if with_actions:
            expected = [
                np.array(states)[[min(i + skip, len(states)) - 1 for i in range(0, len(states), skip)]]
                for states in episodes
            ]
        else:
            expected = [k[[min(i + offset, len(k) - 1) for i in range(len(k))]] for k in kept]
        assert np.allclose(rows["action"], np.concatenate(expected), rtol=1e-5, atol=1e-5)


def test_several_cameras_become_columns(tmp_path, record_episode):
    record_episode(tmp_path / "in", cameras=["head", "wrist"])
    report = convert_episodes(tmp_path / "in", tmp_path / "out")
    assert report.meta.camera_names == ["head", "wrist"]
    assert {"head", "wrist"} <= read(tmp_path / "out").keys()
    report = convert_episodes(tmp_path / "in", tmp_path / "out", cameras=["wrist"])
    assert report.meta.camera_names == ["image"]
    with pytest.raises(UserError, match="no image of camera 'left'"):
        convert_episodes(tmp_path / "in", tmp_path / "out", cameras=["left"])


def test_a_camera_cannot_take_the_name_of_another_column(tmp_path, record_episode):
    record_episode(tmp_path / "in", cameras=["action", "wrist"])
    with pytest.raises(UserError, match=r"'action'.*--camera_names"):
        convert_episodes(tmp_path / "in", tmp_path / "out")


def test_bad_episodes_and_frames_are_left_out_and_listed(tmp_path, record_episode):
    data_dir = tmp_path / "in"
    for number in range(4):
        record_episode(data_dir, f"episode{number}", seed=number)
    (data_dir / "FAILED_EPISODE_0.txt").write_text("fell over")
    edit(data_dir / "episode1", lambda rows: rows[2].update(failed=True))
    (data_dir / "episode1/frame_dir/image_00004.png").write_bytes(b"")
    for index in range(4):
        (data_dir / f"episode2/frame_dir/image_0000{index}.png").write_bytes(b"")

    report = convert_episodes(data_dir, tmp_path / "out")
    assert report.meta.episodes == ["episode1", "episode3"]
    assert [name for name, _ in report.skipped] == ["episode0", "episode2"]
    assert [(name, problem.frame) for name, problem in report.left_out] == [("episode1", 2), ("episode1", 4)]
    rows = read(tmp_path / "out")
    assert rows["episode_index"] == [0] * 6 + [1] * 8
    assert np.array_equal(np.array(rows["state"][:6], np.float32), recorded(data_dir / "episode1")[[0, 1, 3, 5, 6, 7]])
    assert np.allclose(rows["timestamp"][:6], np.array([0, 1, 3, 5, 6, 7]) / 10)
    assert rows["image"][2]["bytes"] == (data_dir / "episode1/frame_dir/image_00003.png").read_bytes()
    for text in ("2 episodes skipped", "fell over", "2 frames left out", "frame 4"):
        assert text in str(report)


@pytest.mark.parametrize("damage", ["marker", "frame", "image"])
def test_strict_makes_them_errors_and_writes_nothing(tmp_path, record_episode, damage):
    episode = record_episode(tmp_path / "in", "episode1", fps=10)
    if damage == "marker":
        (tmp_path / "in/FAILED_EPISODE_1.txt").touch()
    elif damage == "frame":
        edit(episode, lambda rows: rows[3].pop("angles"))
    else:
        (episode / "frame_dir/image_00003.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"episode1: (frame 3|marked as failed).*; .*without --strict"):
        convert_episodes(tmp_path / "in", tmp_path / "out", strict=True)
    assert {path.name for path in tmp_path.iterdir()} - {"dp_hf_cache"} == {"in"}


def test_linked_episodes_are_named(tmp_path, record_episode):
    elsewhere = record_episode(tmp_path / "elsewhere", "episode2", seed=2)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/episode2").symlink_to(elsewhere)
    with pytest.raises(UserError, match=r"no episodes, but episode2 is a link, and not followed; copy"):
        convert_episodes(tmp_path / "in", tmp_path / "out")
    record_episode(tmp_path / "in", "episode1", fps=10)
    report = convert_episodes(tmp_path / "in", tmp_path / "out")
    assert report.meta.episodes == ["episode1"]
    assert "warning: episode2: is a link, and not followed" in str(report)
    with pytest.raises(UserError, match=r"episode2: is a link.*without --strict"):
        convert_episodes(tmp_path / "in", tmp_path / "strict", strict=True)


def test_nothing_usable_is_an_error(tmp_path, record_episode):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no episodes"):
        convert_episodes(tmp_path / "empty", tmp_path / "out")
    record_episode(tmp_path / "short", "episode1", num_frames=3)
    with pytest.raises(UserError, match="episode1: has 3 usable frames"):
        convert_episodes(tmp_path / "short", tmp_path / "out")
    images = record_episode(tmp_path / "no_images", "episode1").glob("frame_dir/*")
    for image in images:
        image.write_bytes(b"")
    with pytest.raises(UserError, match="episode1: has 0 usable frames"):
        convert_episodes(tmp_path / "no_images", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mixed_units_are_an_error_that_names_the_episodes(tmp_path, record_episode):
    record_episode(tmp_path / "in", "episode1")
    edit(
        record_episode(tmp_path / "in", "episode2"),
        lambda rows: [row.update(angles=np.deg2rad(row["angles"]).tolist()) for row in rows],
    )
    with pytest.raises(UserError, match=r"episode1 reach .*episode2 stay.*--angle_unit"):
        convert_episodes(tmp_path / "in", tmp_path / "out")


def test_a_doubtful_unit_and_gripper_are_warned_of(tmp_path, record_episode):
    edit(
        record_episode(tmp_path / "in"),
        lambda rows: [row.update(angles=[0.7] * 6, gripper_value=[0.5]) for row in rows],
    )
    text = str(convert_episodes(tmp_path / "in", tmp_path / "out"))
    assert "warning: the angle unit is doubtful" in text
    assert "--gripper_range" in text


@pytest.mark.parametrize(
    ("recorded_fps", "stated", "fps", "reason", "times"),
    [
        (None, None, 10, "assumed", [0, 0.1, 0.2]),
        (None, 25, 25, "--fps", [0, 0.04, 0.08]),
        (20, None, 20, "timestamps", [0, 0.05, 0.1]),
        (20, 5, 5, "--fps", [0, 0.2, 0.4]),
    ],
)
def test_rate(tmp_path, record_episode, recorded_fps, stated, fps, reason, times):
    record_episode(tmp_path / "in", fps=recorded_fps)
    report = convert_episodes(tmp_path / "in", tmp_path / "out", fps=stated)
    assert report.meta.fps == fps
    assert reason in report.fps_reason
    assert np.allclose(read(tmp_path / "out")["timestamp"][:3], times)
    assert convert_episodes(tmp_path / "in", tmp_path / "out", fps=stated, frame_skip=2).meta.fps == fps / 2


def test_timestamps_without_a_plausible_unit_are_refused(tmp_path, record_episode):
    record_episode(tmp_path / "in", fps=0.3)
    with pytest.raises(UserError, match="are they seconds"):
        convert_episodes(tmp_path / "in", tmp_path / "out")


def test_recorded_actions_are_taken_when_every_frame_has_one(tmp_path, record_episode):
    record_episode(tmp_path / "in", "episode1", with_actions=True, seed=1)
    convert = {"data_dir": tmp_path / "in", "output_dir": tmp_path / "out"}
    assert convert_episodes(**convert).meta.action_source == "recorded"
    rows = read(tmp_path / "out")
    assert np.allclose(np.array(rows["action"])[:, :6], np.array(rows["state"])[:, :6] + 1, atol=1e-4)
    assert convert_episodes(**convert, action_source="state").meta.action_source == "state"
    record_episode(tmp_path / "in", "episode2", seed=2)
    assert convert_episodes(**convert).meta.action_source == "state"
    with pytest.raises(UserError, match=r"episode2.*--action_source state"):
        convert_episodes(**convert, action_source="recorded")


@pytest.mark.parametrize("wrong", [{"frame_skip": 0}, {"action_offset": -1}, {"fps": 0}, {"fps": float("nan")}])
def test_wrong_arguments(tmp_path, record_episode, wrong):
    record_episode(tmp_path / "in")
    with pytest.raises(UserError, match="--"):
        convert_episodes(tmp_path / "in", tmp_path / "out", **wrong)


def test_an_earlier_dataset_is_replaced_only_when_the_new_one_is_complete(tmp_path, record_episode):
    episode = record_episode(tmp_path / "in", "episode1")
    convert_episodes(tmp_path / "in", tmp_path / "out")
    before = read(tmp_path / "out")
    edit(episode, lambda rows: rows[0].update(angles=[90.0] * 6))
    for index in range(8):
        (episode / f"frame_dir/image_0000{index}.png").rename(episode / f"{index}.png")
    with pytest.raises(UserError):
        convert_episodes(tmp_path / "in", tmp_path / "out")
    assert read(tmp_path / "out") == before
    for index in range(8):
        (episode / f"{index}.png").rename(episode / f"frame_dir/image_0000{index}.png")
    convert_episodes(tmp_path / "in", tmp_path / "out")
    assert read(tmp_path / "out")["state"][0][:6] == [90.0] * 6
    assert {path.name for path in tmp_path.iterdir()} - {"dp_hf_cache"} == {"in", "out"}


@pytest.mark.parametrize("name", ["in", "file", "notes", "converted and more"])
def test_other_folders_are_never_replaced(tmp_path, record_episode, name):
    record_episode(tmp_path / "in")
    (tmp_path / "file").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").touch()
    convert_episodes(tmp_path / "in", tmp_path / "converted and more")
    (tmp_path / "converted and more" / "thesis.tex").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"new folder|folder for the dataset"):
        convert_episodes(tmp_path / "in", tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_large_datasets_are_spread_over_files(tmp_path):
    image = {"bytes": bytes(range(256)) * 40, "path": None}
    with ParquetShards(tmp_path / "data", features_of(["image"]), max_shard_bytes=60_000) as shards:
        for episode in range(3):
            shards.write(
                {
                    "image": [image] * 4,
                    "state": [[float(episode)] * 7] * 4,
                    "action": [[0.0] * 7] * 4,
                    "episode_index": [episode] * 4,
                    "frame_index": range(4),
                    "timestamp": [0.0] * 4,
                }
            )
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        f"train-0000{index}-of-00003.parquet" for index in range(3)
    ]
    assert read(tmp_path)["episode_index"] == [0] * 4 + [1] * 4 + [2] * 4


def test_the_real_recording(tmp_path, real_data):
    report = convert_episodes(real_data / "real_mycobot", tmp_path / "out", fps=10, strict=True)
    rows = json.loads((real_data / "real_mycobot/episode95/state.json").read_text())
    converted = read(tmp_path / "out")
    assert np.allclose(converted["state"], [[*row["angles"], *row["gripper_value"]] for row in rows], rtol=1e-6)
    assert report.unit.unit == "degrees"
    assert not report.unit.doubtful
    assert report.image_sizes == [(640, 480)]
    first = real_data / "real_mycobot/episode95" / rows[0]["image"]
    assert converted["image"][0]["bytes"] == first.read_bytes()


WRITE = """
import sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from dp_hf.episodes.parquet import ParquetShards, features_of
rows = {"image": [{"bytes": bytes(10_000), "path": None}] * 2000}
rows |= {"state": [np.zeros(7, np.float32)] * 2000, "action": [np.zeros(7, np.float32)] * 2000}
rows |= {"episode_index": [0] * 2000, "frame_index": range(2000), "timestamp": np.arange(2000, dtype=np.float32)}
with ParquetShards(Path(sys.argv[1]), features_of(["image"])) as shards:
    shards.write(rows)
print(pa.default_memory_pool().max_memory())
"""


def test_an_episode_is_not_copied_whole_for_writing(tmp_path):
    """Of 20 MB of images arrow has those of 100 rows at a time."""
    command = [sys.executable, "-c", WRITE, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8_000_000
    (file,) = (tmp_path / "data").iterdir()
    assert pq.read_table(file, columns=["frame_index"])["frame_index"].to_pylist() == list(range(2000))
