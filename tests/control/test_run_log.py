"""What a run is remembered by: the chunks that were followed, and the holds, in the time of the recorded frames."""

import json
from pathlib import Path

import numpy as np
import pytest
from control_fakes import HOME, FakeClock, FakeExecutor, FakeRobot, as_policy, at_time

from dp_hf.arms.mycobot_280 import MYCOBOT_280, QUANTITIES
from dp_hf.cli.run_policy import _recording
from dp_hf.control.controller import Controller
from dp_hf.control.run_log import RunLog
from dp_hf.episodes.find import find_episodes, find_failure
from dp_hf.episodes.recording import Recording
from dp_hf.episodes.run_file import Run
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import RunFailed


def test_chunks_and_holds_are_kept_and_read_back(tmp_path):
    clock = FakeClock()
    target = HOME + [20, -15, 10, 5, -20, 30, -40]
    steps = np.arange(1, 9)[:, None]
    policy = as_policy(lambda image, state: state + np.clip(target - state, -steps, steps))
    controller = Controller(
        FakeRobot(clock), policy, MYCOBOT_280.limits, n_action_steps=4, clock=clock, executor=FakeExecutor(clock, 0.03)
    )
    log = RunLog(controller)
    controller.observers = [log]
    start = clock.now()
    at_time(controller, {1.0: lambda: controller.emergency_stop("button"), 2.5: controller.reset})
    report = controller.run(duration=5)

    log.run(start).write(tmp_path)
    run = Run.read(tmp_path, 7)
    assert len(run.chunks) == report.chunks
    assert all(chunk.positions.shape == (len(chunk.times), 7) for chunk in run.chunks)
    assert run.chunks[-1].positions[-1] == pytest.approx(target, abs=1e-3)
    (hold,) = (hold for hold in run.holds if "button" in hold.reason)
    assert (hold.start, hold.end) == pytest.approx((1.0, 2.5), abs=0.05)
    assert not any(hold.start < chunk.times[1] - 0.05 < hold.end for chunk in run.chunks if chunk.times[1] > 1.5)


class Doubt:
    """Is told nothing, counts how often it was asked for scores of a new tenth of a second, and doubts from 1 s on."""

    def __init__(self, clock):
        self.clock, self.start, self.scores = clock, clock.now(), None

    @property
    def reason(self):
        step = int(10 * (self.clock.now() - self.start) + 1e-6)
        if self.scores is None or self.scores["time"][0] != step:
            self.scores = {"time": (float(step), 12.0), "picture": (np.nan if step == 3 else 1.0, None)}
        return "alarm: strange" if step >= 10 else None

    def reset(self):
        self.start = self.clock.now()


def test_an_alarm_and_its_scores_are_kept_and_read_back(tmp_path):
    clock = FakeClock()
    policy = as_policy(lambda image, state: np.tile(state, (8, 1)))
    controller = Controller(
        FakeRobot(clock),
        policy,
        MYCOBOT_280.limits,
        n_action_steps=4,
        clock=clock,
        executor=FakeExecutor(clock),
        doubt=Doubt(clock),
    )
    log = RunLog(controller)
    controller.observers = [log]
    start = clock.now()
    at_time(controller, {1.5: controller.reset})
    controller.run(duration=3)

    log.run(start).write(tmp_path)
    run = Run.read(tmp_path, 7)
    assert [alarm.reason for alarm in run.alarms] == ["alarm: strange"] * 2
    assert [alarm.time for alarm in run.alarms] == pytest.approx([1.0, 2.5], abs=0.05)
    time, picture = run.scores
    assert (time.name, time.limit, picture.name, picture.limit) == ("time", 12.0, "picture", None)
    np.testing.assert_array_equal(time.values[:15], np.arange(15))
    np.testing.assert_allclose(time.times[:15], np.arange(15) / 10, atol=0.021)
    assert len(picture.values) == len(time.values) - 2  # what is no number is not kept


def test_runs_from_before_there_were_alarms_are_read(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"chunks": [], "holds": []}))
    assert Run.read(tmp_path, 7) == Run()


def failing_after(calls: int) -> Controller:
    clock = FakeClock()
    count = iter(range(10_000))

    def policy(image, state):
        if next(count) >= calls:
            raise RuntimeError("out of memory")
        return np.tile(state, (8, 1))

    executor = FakeExecutor(clock, 0.03)
    return Controller(
        FakeRobot(clock), as_policy(policy), MYCOBOT_280.limits, n_action_steps=4, clock=clock, executor=executor
    )


def record(controller: Controller, folder: Path) -> None:
    with _recording(folder, Recording.of(QUANTITIES, 10.0), 10.0, controller) as observer:
        controller.observers.append(observer)
        controller.run(duration=5)


@pytest.mark.parametrize("calls", [0, 3])
def test_a_run_that_fails_keeps_its_report_beside_its_frames(tmp_path, calls, capsys):
    controller = failing_after(calls)
    with pytest.raises(RunFailed, match="out of memory"):
        record(controller, tmp_path)
    (episode,) = find_episodes(tmp_path)
    assert "out of memory" in find_failure(episode)
    report = json.loads((episode / "run_report.json").read_text())
    assert (report["chunks"], report["commands"] > 0) == (calls, True)
    assert len(report["borders"]) == calls
    assert len(Run.read(episode, 7).chunks) == calls
    assert f"recorded {episode}: " in capsys.readouterr().out


def test_an_episode_that_cannot_be_finished_is_not_made_of_a_report_alone(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(EpisodeWriter, "__exit__", full)
    controller = failing_after(3)
    with pytest.raises(OSError, match="disk is full"):
        record(controller, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
