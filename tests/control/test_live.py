"""`run-policy --robot none`: a camera, no arm."""

import os
import re
import signal
import time

import numpy as np
import pytest
from control_fakes import HOME, FakeClock, as_policy
from test_remote import SETTINGS

from dp_hf.arms.mycobot_280 import QUANTITIES
from dp_hf.cli.main import main
from dp_hf.control import live
from dp_hf.control.live import predict_live
from dp_hf.control.robot import Stamped
from dp_hf.control.robots.camera_only import CameraOnly
from dp_hf.errors import UserError


class FakeCamera:
    """Thirty pictures a second, until it stops; picture i is of grey i."""

    def __init__(self, clock):
        self.clock, self.stops_at, self.start = clock, np.inf, clock.now()

    def read(self):
        moment = min(self.clock.now(), self.stops_at)
        number = int((moment - self.start) * 30)
        return Stamped(np.full((4, 6, 3), number % 256, np.uint8), self.start + number / 30)

    def close(self):
        self.stops_at = -np.inf


def test_a_prediction_for_every_moment_with_the_latest_picture(monkeypatch, caplog):
    clock = FakeClock()
    monkeypatch.setattr(time, "monotonic", clock.now)
    camera = FakeCamera(clock)
    camera.stops_at = clock.now() + 2
    robot = CameraOnly(camera, QUANTITIES, HOME)
    came = []
    policy = as_policy(lambda image, state: np.tile(state + image[0, 0, 0], (8, 1)))

    def on_actions(seconds, actions):
        came.append((seconds, *actions[0, [0, 6]]))

    report = predict_live(robot, policy, SETTINGS, 10.0, on_actions, lambda: False, 3.95, clock)
    seconds, angles, grippers = np.array(came).T
    np.testing.assert_allclose(np.diff(seconds), 0.1)
    assert len(came) == report.predictions == 26  # the last picture is half a second old then
    assert report.without == 14
    np.testing.assert_allclose(angles[:21], np.floor(seconds[:21] * 30 + 1e-6), atol=1)
    np.testing.assert_allclose(grippers - angles, 50)
    assert caplog.text.count("the camera has given no new picture for 0.5 s") == 1
    assert "26 predictions (6.50 Hz, 0 late, 14 without a new picture)" in str(report)


def test_a_state_of_another_width_is_refused():
    with pytest.raises(UserError, match="--state has 3 numbers, and the policy sees 7: link1_to_link2"):
        CameraOnly(None, QUANTITIES, [1, 2, 3])


@pytest.fixture
def pipeline(make_pipeline, tmp_path) -> str:
    make_pipeline(horizon=4).save_pretrained(tmp_path / "pipeline")
    return str(tmp_path / "pipeline")


def rows_of(text):
    return [line.split() for line in text.splitlines() if re.match(r" +\d+\.\d\d +-?\d", line)]


def test_actions_are_printed_until_ctrl_c_with_the_rate(pipeline, tmp_path, capsys, monkeypatch):
    cv2 = pytest.importorskip("cv2")
    video = cv2.VideoWriter(str(tmp_path / "video.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 30, (424, 240))
    for number in range(60):
        video.write(np.full((240, 424, 3), number, np.uint8))
    video.release()
    arguments = ["run-policy", "--pipeline", pipeline, "--robot", "none"]
    camera = ["--camera.source", str(tmp_path / "video.avi")]
    predict, calls = live.predict_chunk, []

    def predict_and_interrupt(*arguments):
        calls.append(1)
        if len(calls) == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return predict(*arguments)

    monkeypatch.setattr(live, "predict_chunk", predict_and_interrupt)
    assert main([*arguments, *camera, "--rate", "20", "--duration", "60"]) == 0
    output = capsys.readouterr().out
    assert "link1_to_link2" in output
    rows = rows_of(output)
    assert len(rows) == 10
    assert all(len(row) == 8 for row in rows)
    assert re.search(rf"{len(rows)} predictions \([\d.]+ Hz, ", output.splitlines()[-1])


def test_an_episodes_pictures_end_it(make_pipeline, tmp_path, record_episode, capsys):
    make_pipeline(horizon=4, use_proprioception=True).save_pretrained(tmp_path / "pipeline")
    episode = record_episode(tmp_path / "data", fps=10)
    arguments = ["run-policy", "--pipeline", str(tmp_path / "pipeline"), "--robot", "none"]
    state = ["--state", *map(str, HOME)]
    assert main([*arguments, *state, "--images_from", str(episode)]) == 0
    assert 1 <= len(rows_of(capsys.readouterr().out)) <= 10


@pytest.mark.parametrize(
    ("config", "options", "said"),
    [
        ({}, ["--execute"], "--execute: there is no arm with --robot none"),
        ({}, ["--record", "runs"], "--record: there is no arm"),
        ({}, ["--ros2.arm_topic", "/arm"], "--ros2.arm_topic is of --robot ros2; with --robot none nobody looks at it"),
        ({}, ["--images_from", "x", "--camera.source", "0"], "--camera.source: --images_from has the pictures"),
        ({}, ["--camera.source", "nothing"], "camera nothing cannot be opened"),
        ({}, ["--state", "1"], "this policy sees no state: leave --state out"),
        ({"use_proprioception": True}, [], "this policy sees the arm's state, and there is none: give --state, link1"),
        ({"camera_names": ["left", "right"]}, [], "this policy sees 2 cameras (left, right), and --camera is one"),
    ],
)
def test_what_does_not_go_together_is_refused(make_pipeline, tmp_path, config, options, said, capsys):
    pytest.importorskip("cv2")
    make_pipeline(**config).save_pretrained(tmp_path / "pipeline")
    assert main(["run-policy", "--pipeline", str(tmp_path / "pipeline"), "--robot", "none", *options]) == 2
    assert said in capsys.readouterr().err
