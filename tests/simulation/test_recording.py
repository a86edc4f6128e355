import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.episodes.find import find_episodes
from dp_hf.episodes.reader import read_episode
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError
from dp_hf.simulation.recording import ORIGIN_FILE, Origin, RecordingReport, record_demonstrations
from dp_hf.simulation.replay import replay_episodes
from dp_hf.workers.workers import Workers

SMALL = {"cameras": ["front"], "image_size": [24, 42]}


def record(data_dir, num_episodes, **arguments):
    return record_demonstrations(data_dir, num_episodes, **{"noise": 0.5, "environment": SMALL, **arguments})


def test_recorded_episodes_read_back_and_replay(tmp_path):
    assert record(tmp_path, 3) == RecordingReport(num_episodes=3, num_recorded=3, num_failed=0)
    for path in find_episodes(tmp_path):
        episode = read_episode(path)
        assert not episode.problems
        assert len(episode.frames) > 20
        np.testing.assert_allclose(np.diff(episode.timestamps), 0.1)
        # The gripper opens again at the end; commands are what the arm reaches a moment later.
        assert episode.states[0, 6] == 100
        assert episode.actions[:, 6].min() == 0
        assert np.abs(episode.states[1:, :6] - episode.actions[:-1, :6]).mean() < 3
        assert Image.open(path / "frame_dir" / "image_00000.png").size == (42, 24)
    assert all(result.success for result in replay_episodes(tmp_path))


def test_recording_goes_on_with_unused_seeds(tmp_path):
    record(tmp_path, 1, first_seed=4)
    assert record(tmp_path, 3, first_seed=4, workers=Workers(2)).num_recorded == 2
    assert record(tmp_path, 3, first_seed=4).num_recorded == 0
    assert sorted(Origin.read(path).seed for path in find_episodes(tmp_path)) == [4, 5, 6]


def test_the_same_seed_records_the_same(tmp_path):
    for name in ("one", "other"):
        record(tmp_path / name, 1)
    one, other = (next((tmp_path / name).glob("episode_*")) for name in ("one", "other"))
    assert (one / "states.json").read_bytes() == (other / "states.json").read_bytes()
    assert (one / "frame_dir/image_00009.png").read_bytes() == (other / "frame_dir/image_00009.png").read_bytes()


def test_failures_are_marked_and_not_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("dp_hf.simulation.recording.MAX_FAILURES", 1)
    with pytest.raises(UserError, match="less --noise"):
        record(tmp_path, 2, noise=40.0)
    failed = list(tmp_path.glob("FAILED_EPISODE_*"))
    assert len(failed) == 2
    assert "not stacked after 150 steps" in failed[0].read_text()
    with pytest.raises(UserError, match="no episode to replay"):
        replay_episodes(tmp_path)


def test_other_settings_and_other_recordings_are_refused(tmp_path, record_episode):
    record(tmp_path / "sim", 1)
    with pytest.raises(UserError, match="another --output_dir"):
        record(tmp_path / "sim", 2, noise=0.0)
    record_episode(tmp_path / "real")
    with pytest.raises(UserError, match="not recorded in the simulator"):
        record(tmp_path / "real", 2)
    with pytest.raises(UserError, match="smaller --layout_seed"):
        record(tmp_path / "new", 2, first_seed=2**20 - 1)


def test_limits_of_the_expert_are_those_of_a_folder(tmp_path):
    slow = replace(MYCOBOT_280.limits, velocity=40, acceleration=100)
    record(tmp_path / "data", 1, noise=0.0, limits=slow)
    assert record(tmp_path / "data", 2, noise=0.0, limits=slow).num_recorded == 1
    for path in find_episodes(tmp_path / "data"):
        assert np.abs(np.diff(read_episode(path).states[:, :6], axis=0)).max() < 4.5  # 4 degrees a step
        assert Origin.read(path).settings.limits["velocity"] == [40.0] * 7
    with pytest.raises(UserError, match="give the same arguments"):
        record(tmp_path / "data", 3, noise=0.0)


def test_a_damaged_origin_is_named(tmp_path):
    record(tmp_path, 1)
    path = next(tmp_path.glob("episode_*")) / ORIGIN_FILE
    for content in ("{", json.dumps({"seed": "x", "settings": {}}), "[]"):
        path.write_text(content)
        with pytest.raises(UserError, match=ORIGIN_FILE):
            record(tmp_path, 2)


def test_several_cameras(tmp_path):
    record(tmp_path, 1, environment={"cameras": ["front", "wrist"], "image_size": [24, 42]})
    assert read_episode(next(tmp_path.glob("episode_*"))).camera_names == ("front", "wrist")


def test_a_folder_has_one_recorder_and_nothing_of_one_that_was_killed(tmp_path):
    arguments = f"{str(tmp_path)!r}, 9, 0, 0.5, 'all', {SMALL}"
    code = f"from dp_hf.simulation.recording import *; record_demonstrations({arguments})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        while not list(tmp_path.glob(".episode_*_partial/frame_dir")):
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(UserError, match="another run writes into it"):
            record(tmp_path, 9)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    other = tmp_path / ".episode_of_somebody_partial"
    (other / "frame_dir").mkdir(parents=True)
    (tmp_path / ".episode_without_a_frame_partial").mkdir()
    done = len(find_episodes(tmp_path))
    record(tmp_path, done + 1)
    assert sorted(Origin.read(path).seed for path in find_episodes(tmp_path)) == list(range(done + 1))
    assert list(tmp_path.glob(".*")) == [other]


def test_an_interrupted_layout_is_recorded_anew(tmp_path, monkeypatch):
    record(tmp_path / "whole", 2)

    class Interrupted(EpisodeWriter):
        def add_frame(self, *arguments, **options):
            super().add_frame(*arguments, **options)
            if len(find_episodes(tmp_path / "data")) == 1 and self.num_frames == 5:
                raise KeyboardInterrupt

    monkeypatch.setattr("dp_hf.episodes.writer.EpisodeWriter", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(tmp_path / "data", 2)
    monkeypatch.undo()
    assert [path.name[:8] for path in (tmp_path / "data").iterdir()] == ["episode_"]
    record(tmp_path / "data", 2)
    one, other = (find_episodes(tmp_path / name) for name in ("whole", "data"))
    assert [(path / "states.json").read_bytes() for path in one] == [
        (path / "states.json").read_bytes() for path in other
    ]
