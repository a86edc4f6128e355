"""A policy that does not know what it does is held, until somebody trusts it again or a person has had the arm."""

import json
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from control_fakes import (
    HAPPENINGS,
    HOME,
    FakeClock,
    FakeExecutor,
    FakeRobot,
    as_policy,
    assert_each_part_legal,
    assert_legal,
    at_time,
    happenings,
)
from helpers.alarms import limits_for
from hypothesis import given, settings
from hypothesis import strategies as st
from test_takeover import GuidedRobot, actors

from dp_hf import DiffusionPolicyPipeline
from dp_hf.alarm.watch import StepsSince, Watch, WatchedPolicy
from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.cli.run_policy import main as run_policy
from dp_hf.control.controller import Controller
from dp_hf.control.on_alarm import RETRIES, OnAlarm
from dp_hf.control.robot import Guiding
from dp_hf.errors import UserError
from dp_hf.pipelines.weights import digest_weights

LIMITS = MYCOBOT_280.limits


class Doubt:
    """Doubts from a moment on, until it is told to trust; then again `every` so many seconds after that."""

    scores = None

    def __init__(self, clock, start, every=np.inf):
        self.clock, self.start, self.every = clock, start, every

    @property
    def reason(self):
        return "alarm: strange" if self.clock.now() >= self.start else None

    def reset(self):
        self.start = self.clock.now() + self.every


def drive(events=(), robot_class=FakeRobot, seconds=3.0, retries=0, every=np.inf, speed=2, **robot):
    clock = FakeClock()
    arm = robot_class(clock, **robot)
    policy = as_policy(lambda image, state: state + speed * np.arange(1, 9)[:, None])
    executor = FakeExecutor(clock)
    doubt = Doubt(clock, clock.now() + 1.0, every)
    controller = Controller(
        arm, policy, LIMITS, n_action_steps=4, clock=clock, executor=executor, doubt=doubt, retries=retries
    )
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


def test_it_goes_back_to_where_the_run_began_lets_go_first_and_tries_again():
    controller, ticks = drive(seconds=6.0, retries=3)
    commands = np.array([tick.command for tick in ticks])
    doubted = [index for index, tick in enumerate(ticks) if tick.hold_reason == "alarm: strange"]
    assert [tick.actor for tick in ticks[doubted[0] : doubted[-1] + 1]] == ["nobody"] * len(doubted)
    np.testing.assert_allclose(commands[doubted[-1]], HOME, atol=1e-6)
    # The joints stand as long as the gripper is not where it was.
    moving = [index for index in doubted if np.abs(commands[index + 1, :6] - commands[index, :6]).max() > 1e-9]
    began = next(index for index in moving if (commands[index + 1, :6] < commands[index, :6] - 1e-9).any())
    assert commands[began, 6] == pytest.approx(HOME[6], abs=1.0)
    assert np.abs(commands[-1] - HOME).max() > 10  # it tried again
    assert controller.trouble is None
    assert controller.report.retries == 1
    assert "1 times back to the start" in str(controller.report)
    assert_legal(commands, LIMITS, controller.period)


def test_it_tries_again_so_often_and_then_holds(caplog):
    controller, ticks = drive(seconds=25.0, retries=2, every=1.0)
    assert controller.report.retries == 2
    assert controller.trouble == "alarm: strange"
    assert "to try again: 2 of 2" in caplog.text
    np.testing.assert_array_equal(ticks[-1].command, ticks[-100].command)
    assert np.abs(ticks[-1].command - HOME).max() > 10


def test_a_stop_on_the_way_back_is_no_further_try():
    events = [
        (1.5, lambda controller: controller.emergency_stop("test")),
        (2.5, lambda c: setattr(c, "emergency", None)),
    ]
    controller, ticks = drive(events, seconds=8.0, retries=1, speed=6)
    stood = [tick.command for tick in ticks if tick.hold_reason == "emergency stop: test"][-1]
    assert np.abs(stood[:6] - HOME[:6]).max() > 1
    assert controller.report.retries == 1
    assert controller.trouble is None
    assert_legal([tick.command for tick in ticks], LIMITS, controller.period)


@settings(max_examples=40)
@given(happenings(7.5, 6), st.booleans(), st.floats(-20, 20), st.floats(0.2, 2.0))
def test_whatever_happens_on_the_way_back_no_command_breaks_a_limit(events, guides, speed, every):
    target = HOME + [30, -20, 10, 0, 0, 40, -30]
    happens = [(at, HAPPENINGS[name]) for at, name in events]
    robot = {"robot_class": GuidedRobot, "guides": guides, "target": target}
    controller, ticks = drive(happens, seconds=8.0, retries=3, every=every, speed=speed, **robot)
    assert controller.report.retries <= 3
    assert_each_part_legal(ticks, LIMITS, controller.period)


def test_answers_are_those_of_one_rule():
    with pytest.raises(UserError, match="on_alarm is one of hold, retry, person, end, off, not 'shout'"):
        OnAlarm("shout")
    assert [OnAlarm(answer).retries for answer in ("retry", "hold")] == [RETRIES, 0]


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


def test_a_late_answer_is_no_change_of_plans(calibrated, monkeypatch):
    """The motion goes on evenly from when the first chunk is there; chunks say so, whatever they take."""
    now, latencies = [10.0], iter([0.37, 0.16, 0.1, 0.19, 0.13, 0.18])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pipeline = DiffusionPolicyPipeline.from_pretrained(calibrated)
    watch, began, rate = Watch.of(pipeline.alarm, pipeline.policy.config), [], 10.0

    def policy(image, state=None):
        pictured = (now[0] - began[0]) * rate if began else 0.0
        now[0] += next(latencies)
        began.append(now[0])
        actions = np.tile((pictured + np.arange(4.0))[None, :, None], (1, 1, 7))
        return SimpleNamespace(
            actions=actions, image_features=np.zeros((1, 1, watch.limits.reference.features.shape[1]))
        )

    watched = WatchedPolicy(policy, watch, StepsSince(rate, n_action_steps=2))
    for _ in range(6):
        called = now[0]
        watched(None, np.zeros((1, 1, 7)))
        now[0] = (called if len(began) > 1 else now[0]) + 0.2
    assert [seen.step for seen in watch.seen] == [0, 2, 4, 6, 8, 10]
    np.testing.assert_allclose([seen.scores["plan"] for seen in watch.seen], 0, atol=1e-6)


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
    with pytest.raises(UserError, match=said):
        OnAlarm("person").require_possible(person)
    OnAlarm("retry").require_possible(person)
