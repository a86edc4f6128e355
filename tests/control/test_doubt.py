"""A policy that does not know what it does is held, until somebody trusts it again or a person has had the arm."""

import json
import time
from functools import partial

import numpy as np
import pytest
from control_fakes import HOME, FakeClock, FakeExecutor, FakeRobot, as_policy, assert_legal, at_time
from helpers.alarms import limits_for
from test_takeover import GuidedRobot, actors

from dp_hf import DiffusionPolicyPipeline
from dp_hf.alarm.watch import StepsSince, Watch, WatchedPolicy
from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.cli.run_policy import RunPolicy
from dp_hf.cli.run_policy import main as run_policy
from dp_hf.control.controller import Controller
from dp_hf.control.robot import Guiding
from dp_hf.errors import UserError
from dp_hf.pipelines.weights import digest_weights

LIMITS = MYCOBOT_280.limits


class Doubt:
    """Doubts from a moment on, until it is told to trust."""

    def __init__(self, clock, start):
        self.clock, self.start = clock, start

    @property
    def reason(self):
        return "alarm: strange" if self.clock.now() >= self.start else None

    def reset(self):
        self.start = np.inf


def drive(events=(), robot_class=FakeRobot, seconds=3.0, **robot):
    clock = FakeClock()
    arm = robot_class(clock, **robot)
    policy = as_policy(lambda image, state: state + 2 * np.arange(1, 9)[:, None])
    executor = FakeExecutor(clock)
    doubt = Doubt(clock, clock.now() + 1.0)
    controller = Controller(arm, policy, LIMITS, n_action_steps=4, clock=clock, executor=executor, doubt=doubt)
    ticks = []
    controller.observers.append(ticks.append)
    at_time(controller, [(at, partial(event, controller)) for at, event in events])
    controller.run(duration=seconds)
    return controller, ticks


def test_the_arm_is_held_within_the_limits_and_the_run_ends_in_trouble():
    controller, ticks = drive()
    assert controller.trouble == "alarm: strange"
    assert controller.report.holds == 1
    held = [tick for tick in ticks if tick.hold_reason]
    assert held[0].time == pytest.approx(ticks[0].time + 1.0, abs=0.05)
    assert ticks[-1] is held[-1]
    assert_legal(controller.robot.commands, LIMITS, controller.period)
    np.testing.assert_array_equal(held[-1].command, held[-20].command)  # it stands


def test_whoever_resets_it_trusts_the_policy_again():
    controller, ticks = drive([(2.0, Controller.reset)])
    assert controller.trouble is None
    assert np.abs(ticks[-1].command - HOME).max() > np.abs(ticks[90].command - HOME).max() + 5
    assert_legal(controller.robot.commands, LIMITS, controller.period)


def test_a_person_takes_the_arm_that_is_held_and_gives_it_back_to_a_policy_that_is_trusted():
    events = [(1.5, Controller.toggle_person), (2.2, Controller.toggle_person)]
    target = HOME + [30, -20, 10, 0, 0, 40, -30]
    controller, ticks = drive(events, GuidedRobot, guides=False, target=target)
    assert actors(ticks) == ["policy", "nobody", "person", "policy"]
    assert controller.trouble is None
    assert_legal(controller.robot.commands, LIMITS, controller.period)


def test_steps_are_those_of_the_clock_but_for_pauses(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    steps = StepsSince(rate=10.0, n_action_steps=2)
    found = []
    for pause in (0.2, 0.26, 0.01, 0.8, 5.0):
        now[0] += pause
        found.append(steps())
    assert found == [2, 3, 1, 8, 2]


@pytest.fixture
def calibrated(make_pipeline, tmp_path):
    """A pipeline whose runs are late after half a second."""
    folder = tmp_path / "pipeline"
    make_pipeline(horizon=4, n_action_steps=2, use_proprioception=True).save_pretrained(folder)
    config = DiffusionPolicyPipeline.from_pretrained(folder).policy.config
    limits_for(config, digest_weights(folder), time=5.0).write(folder)
    return folder


def test_a_pipeline_watches_itself_whatever_is_asked_of_it(calibrated):
    pipeline = DiffusionPolicyPipeline.from_pretrained(calibrated)
    watch = Watch.of(pipeline.alarm, pipeline.policy.config)
    watched = WatchedPolicy(pipeline, watch, lambda: 2)
    frame, states = np.zeros((24, 42, 3), np.uint8), np.zeros((1, 1, 7))
    for _ in range(5):
        output = watched([[frame]], state=states, num_inference_steps=2, generator=0)
    np.testing.assert_array_equal(
        output.actions, pipeline([[frame]], state=states, num_inference_steps=2, generator=0).actions
    )
    assert [seen.step for seen in watch.seen] == [0, 2, 4, 6, 8]
    assert watch.reason.startswith("alarm: it takes longer than the runs that succeeded")
    watch.reset()
    watched([[frame]], state=states, num_inference_steps=2)
    assert watch.reason is None
    assert [seen.step for seen in watch.seen] == [0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said", "code"),
    [
        (["--on_alarm", "end", "--duration", "20"], "alarm: on, then the run ends", 1),
        (["--on_alarm", "off", "--duration", "1"], "alarm: off, as asked for", None),
        (["--n_action_steps", "1", "--duration", "1"], "alarm: off, the alarm's limits were measured with", None),
    ],
)
def test_run_policy_says_whether_it_is_watched_and_does_what_was_asked(
    calibrated, tmp_path, capsys, options, said, code
):
    found = run_policy(["--pipeline", str(calibrated), "--robot", "sim", "--record", str(tmp_path / "runs"), *options])
    printed = capsys.readouterr()
    assert said in printed.out
    if code is not None:
        assert found == code
        assert "trouble: alarm: it takes longer than the runs that succeeded" in printed.err
        (run,) = (tmp_path / "runs").glob("episode_*/run.json")
        assert "alarm: it takes longer" in json.loads(run.read_text())["holds"][-1]["reason"]


@pytest.mark.parametrize(
    ("person", "said"),
    [
        (None, "nobody can take this arm"),
        (
            Guiding("you, by hand: hold it first"),
            "the arm is handed to you, by hand: hold it first; give --on_alarm hold",
        ),
    ],
)
def test_nobody_who_has_to_hold_the_arm_first_is_called_unasked(person, said):
    arguments = RunPolicy(on_alarm="person")
    with pytest.raises(UserError, match=said):
        arguments.require_callable(person)
    RunPolicy(on_alarm="hold").require_callable(person)
