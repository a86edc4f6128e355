import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError

IMAGE = np.arange(8 * 10 * 3, dtype=np.uint8).reshape(8, 10, 3)
STATE = np.array([1.5, -95.18, 0.7, 24.78, -0.35, -37.44, 88], dtype=np.float32)


def test_writes_the_documented_layout(tmp_path):
    with EpisodeWriter(tmp_path) as writer:
        for step in range(3):
            writer.add_frame(IMAGE, STATE + step, action=STATE, timestamp=step / 10)
        assert list(tmp_path.glob("episode*")) == []
    frames = json.loads((writer.path / "states.json").read_text())
    assert [frame["image"] for frame in frames] == [f"frame_dir/image_0000{i}.png" for i in range(3)]
    assert frames[0]["angles"] == [1.5, -95.18, 0.7, 24.78, -0.35, -37.44]
    assert frames[0]["gripper_value"] == [88.0]
    assert frames[2]["timestamp"] == 0.2
    assert np.array_equal(np.asarray(Image.open(writer.path / frames[1]["image"])), IMAGE)
    assert [path.name for path in tmp_path.iterdir()] == [writer.path.name]


def test_named_cameras_have_folders_of_their_own(tmp_path):
    with EpisodeWriter(tmp_path, name="episode7") as writer:
        writer.add_frame({"wrist": IMAGE, "head": Image.fromarray(IMAGE)}, STATE)
    frame = json.loads((tmp_path / "episode7" / "states.json").read_text())[0]
    assert frame["images"] == {"wrist": "wrist_frames/image_00000.png", "head": "head_frames/image_00000.png"}
    assert all((writer.path / path).is_file() for path in frame["images"].values())


@pytest.mark.parametrize("how", ["exception", "fail", "no frame"])
def test_a_failed_recording_is_marked(tmp_path, how):
    def record():
        with EpisodeWriter(tmp_path, name="episode_20250102_030405_678") as writer:
            if how == "no frame":
                return
            writer.add_frame(IMAGE, STATE)
            if how == "exception":
                raise RuntimeError("camera unplugged")
            writer.fail("cube dropped")

    if how == "exception":
        with pytest.raises(RuntimeError):
            record()
    else:
        record()
    reason = {"exception": "camera unplugged", "fail": "cube dropped", "no frame": "no frame"}[how]
    assert reason in (tmp_path / "FAILED_EPISODE_20250102_030405_678.txt").read_text()
    assert json.loads((tmp_path / "episode_20250102_030405_678" / "states.json").read_text()) is not None


def test_a_killed_recording_stays_hidden_and_lacks_only_the_bracket(tmp_path):
    writer = EpisodeWriter(tmp_path).__enter__()
    writer.add_frame(IMAGE, STATE)
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith(".episode_")
    assert len(json.loads((partial / "states.json").read_text() + "]")) == 1


def test_two_recordings_at_once_get_two_names(tmp_path):
    with EpisodeWriter(tmp_path) as first, EpisodeWriter(tmp_path) as second:
        first.add_frame(IMAGE, STATE)
        second.add_frame(IMAGE, STATE)
    assert first.path != second.path
    assert len(list(tmp_path.iterdir())) == 2


def test_never_overwrites(tmp_path):
    (tmp_path / "episode1").mkdir()
    with pytest.raises(UserError, match="exists"), EpisodeWriter(tmp_path, name="episode1"):
        pass


@pytest.mark.parametrize("name", ["", "../episode1", "episode/1", ".episode1"])
def test_refuses_names_that_are_no_episode_folder(tmp_path, name):
    with pytest.raises(UserError, match="no name"):
        EpisodeWriter(tmp_path, name=name)


@pytest.mark.parametrize(
    "frame",
    [
        {"images": IMAGE.astype(np.float32), "state": STATE},
        {"images": IMAGE[..., 0], "state": STATE},
        {"images": IMAGE[:0], "state": STATE},
        {"images": b"PNG", "state": STATE},
        {"images": Image.new("F", (4, 4)), "state": STATE},
        {"images": {"../out": IMAGE}, "state": STATE},
        {"images": IMAGE, "state": STATE[:6]},
        {"images": IMAGE, "state": STATE * np.nan},
        {"images": IMAGE, "state": STATE, "timestamp": float("inf")},
        {"images": IMAGE, "state": STATE, "action": STATE},
        {"images": {"wrist": IMAGE}, "state": STATE},
    ],
)
def test_a_wrong_frame_is_refused_and_fails_the_episode(tmp_path, frame):
    def record():
        with EpisodeWriter(tmp_path, name="episode1") as writer:
            writer.add_frame(IMAGE, STATE)
            writer.add_frame(**frame)

    with pytest.raises(UserError, match=r"uint8|8-bit|camera names|finite numbers|timestamp|first frame"):
        record()
    assert (tmp_path / "FAILED_EPISODE_1.txt").is_file()
    assert len(json.loads((tmp_path / "episode1" / "states.json").read_text())) == 1


def test_a_writer_that_finishes_while_another_takes_its_name(tmp_path, monkeypatch):
    mkdir = Path.mkdir

    def after_another(path, *arguments, **options):
        if path.name == ".episode_1_partial":
            monkeypatch.undo()
            with EpisodeWriter(tmp_path, "episode_1") as other:
                other.add_frame(IMAGE, STATE)
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", after_another)
    with pytest.raises(UserError, match="exists"), EpisodeWriter(tmp_path, "episode_1") as writer:
        writer.add_frame(IMAGE, STATE)
    assert list(tmp_path.iterdir()) == [tmp_path / "episode_1"]
