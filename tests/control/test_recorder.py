import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from control_fakes import HOME, FakeClock, FakeRobot

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.control.recorder import FrameRecorder, record_episodes
from dp_hf.control.robot import Stamped
from dp_hf.episodes.find import find_failure
from dp_hf.episodes.reader import read_episode
from dp_hf.episodes.writer import EpisodeWriter


class MovingRobot(FakeRobot):
    """Joint 1 is at 10 degrees a second; the camera takes `camera_fps` pictures a second, its top left pixel counts."""

    camera_fps = 30.0

    def __init__(self, clock):
        super().__init__(clock)
        self.began = clock.now()

    def angle_at(self, moment: float) -> float:
        return 10 * (moment - self.began)

    def read_state(self):
        if self.state_is_live:
            # A joint state every 20 ms.
            moment = self.began + np.floor((self.clock.now() - self.began) / 0.02 + 1e-6) * 0.02
            self._state = Stamped(HOME + self.angle_at(moment) * np.eye(7)[0], moment)
        return self._state

    def read_image(self):
        if self.camera == "live":
            number = np.floor((self.clock.now() - self.began) * self.camera_fps + 1e-6)
            image = np.full((4, 6, 3), number % 256, dtype=np.uint8)
            self._image = Stamped(image, self.began + number / self.camera_fps)
        return self._image


def record(tmp_path, orders, robot=None, fps=10.0):
    """Gives each order so many seconds after now, and returns what was recorded."""
    robot = robot or MovingRobot(FakeClock())
    start = robot.clock.now()
    due = sorted((start + after, order) for after, order in orders.items())

    def next_order():
        if due and robot.clock.now() >= due[0][0]:
            order = due.pop(0)[1]
            return order(robot) if callable(order) else order
        return None

    robot.clock.on_sleep = lambda moment: time.sleep(0.0003)  # the disk is a real one
    episodes = []
    record_episodes(robot, tmp_path, fps, next_order, MYCOBOT_280.limits, episodes.append, robot.clock)
    return episodes


def test_from_start_to_finish_at_a_steady_rate_with_the_state_of_each_image(tmp_path):
    (episode,) = record(tmp_path, {0.5: "start", 3.52: "finish", 4: "quit"})
    assert episode.failure is None
    assert (episode.num_frames, episode.num_dropped) == (31, 0)
    recorded = read_episode(episode.path)
    assert recorded.problems == []
    assert recorded.actions is None
    np.testing.assert_allclose(np.diff(recorded.timestamps), 0.1, atol=0.035)
    # The state is interpolated at the image's time, between joint states 20 ms apart.
    states = np.array([frame.state for frame in recorded.frames])
    times = np.array([frame.timestamp for frame in recorded.frames])
    np.testing.assert_allclose(states[:, 0] - 10 * times, states[0, 0] - 10 * times[0], atol=0.11)
    assert find_failure(episode.path) is None


@pytest.mark.parametrize(("speed", "said"), [(0.5, ""), (1.05, ""), (1.5, "link1_to_link2 by 50%")])
def test_what_was_shown_faster_than_an_arm_may_follow_is_named(tmp_path, speed, said):
    robot = MovingRobot(FakeClock())
    robot.angle_at = lambda moment: speed * MYCOBOT_280.limits.velocity[0] * (moment - robot.began)
    (episode,) = record(tmp_path, {0: "start", 1: "finish", 2: "quit"}, robot)
    assert episode.failure is None
    assert str(episode).partition("faster than the limits let a policy go: ")[2] == said


def test_a_camera_slower_than_the_recording_drops_frames_and_they_are_counted(tmp_path):
    robot = MovingRobot(FakeClock())
    robot.camera_fps = 4.0
    (episode,) = record(tmp_path, {0.0: "start", 10: "finish", 11: "quit"}, robot)
    assert episode.num_frames == pytest.approx(40, abs=2)
    assert episode.num_dropped == pytest.approx(60, abs=2)


def test_a_camera_as_fast_as_the_recording_drops_none(tmp_path):
    robot = MovingRobot(FakeClock())
    robot.camera_fps = 10.0
    (episode,) = record(tmp_path, {0.033: "start", 10: "finish", 11: "quit"}, robot)
    assert episode.num_dropped == 0


@pytest.mark.parametrize(
    ("orders", "failure"),
    [
        ({0: "start", 1: "discard", 2: "quit"}, "discarded"),
        ({0: "start", 1: "quit"}, "interrupted"),
        ({0: "start", 1: lambda robot: setattr(robot, "camera", "off"), 3: "quit"}, "camera frame"),
        ({0: "start", 1: lambda robot: setattr(robot, "state_is_live", False), 3: "quit"}, "joint state"),
        ({0: "start", 1: lambda robot: setattr(robot, "fault", "servo 3 is hot"), 3: "quit"}, "servo 3 is hot"),
    ],
)
def test_an_episode_that_was_cut_off_is_marked(tmp_path, orders, failure):
    (episode,) = record(tmp_path, orders)
    assert failure in episode.failure
    assert find_failure(episode.path) is not None
    assert len(json.loads((episode.path / "states.json").read_text())) == episode.num_frames >= 9


def test_several_episodes_in_one_session(tmp_path):
    orders = {0: "start", 1: "finish", 1.5: "finish", 2: "start", 3: "discard", 4: "start", 5: "finish", 6: "quit"}
    episodes = record(tmp_path, orders)
    assert [episode.failure for episode in episodes] == [None, "discarded", None]
    assert len({episode.path for episode in episodes}) == 3


def test_a_full_disk_fails_the_episode(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    def record_one():
        with EpisodeWriter(tmp_path) as writer, FrameRecorder(writer, 10) as recorder:
            monkeypatch.setattr(writer, "add_frame", full)
            recorder.offer(0.0, Stamped(np.zeros((4, 6, 3), np.uint8), 0.0), Stamped(HOME, 0.0))

    with pytest.raises(OSError, match="No space"):
        record_one()
    (episode,) = tmp_path.glob("episode_*")
    assert "No space" in find_failure(episode)


def test_commands_are_recorded_as_actions(tmp_path):
    with EpisodeWriter(tmp_path) as writer, FrameRecorder(writer, 10) as recorder:
        for tick in range(30):
            now = tick * 0.02
            image = np.full((4, 6, 3), tick, np.uint8)
            recorder.offer(now, Stamped(image, now), Stamped(HOME, now), HOME + tick)
    actions = read_episode(writer.path).actions
    np.testing.assert_allclose(actions, [HOME + tick for tick in range(0, 30, 5)], atol=1.01)
    assert len(set(actions[:, 0])) == 6


def test_a_killed_process_leaves_no_episode(tmp_path):
    program = f"""
import sys, time
sys.path.insert(0, {os.path.dirname(__file__)!r})
import numpy as np
from control_fakes import HOME
from dp_hf.control.recorder import FrameRecorder
from dp_hf.control.robot import Stamped
from dp_hf.episodes.writer import EpisodeWriter
with EpisodeWriter({str(tmp_path)!r}) as writer, FrameRecorder(writer, 50) as recorder:
    while True:
        now = time.monotonic()
        image = np.random.default_rng().integers(0, 255, (24, 42, 3), dtype=np.uint8)
        recorder.offer(now, Stamped(image, now), Stamped(HOME, now))
        if recorder.num_frames == 10:
            print("ready", flush=True)
        time.sleep(0.005)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
