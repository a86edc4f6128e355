"""A person takes the arm and gives it back: nothing jumps, and every frame says who acted."""

import json
from collections import deque
from functools import partial
from itertools import pairwise

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
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.cli.run_policy import _obey
from dp_hf.control.controller import Controller
from dp_hf.control.recorder import FrameRecorder
from dp_hf.control.robot import DryRun, RobotWrapper, Stamped
from dp_hf.control.takeover import SETTLE
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError

LIMITS = MYCOBOT_280.limits


class Person:
    """Commands towards `target`, or guides the arm there by hand."""

    def __init__(self, robot, guides, target):
        self.robot, self.guides, self.target = robot, guides, np.asarray(target, float)
        self.acts = False

    def take(self):
        assert not self.acts
        self.acts, self.robot.is_released = True, self.guides

    def give_back(self):
        assert self.acts
        self.acts = self.robot.is_released = False

    def read_command(self):
        assert not self.guides
        return Stamped(self.target.copy(), self.robot.clock.now() + 0.1)

    def move(self, by):
        if self.acts and self.guides:
            self.robot.state = self.robot.state + np.clip(self.target - self.robot.state, -by, by)


class GuidedRobot(FakeRobot):
    is_released = False

    def __init__(self, clock, guides, target, command_rate=50.0):
        super().__init__(clock, command_rate)
        self.person = Person(self, guides, target)
        self.released = []

    def send_command(self, command):
        assert not self.is_released, "a command was sent to an arm that is guided"
        super().send_command(command)


def drive(guides, events, target=HOME + [30, -20, 10, 0, 0, 40, -30], seconds=4.0, speed=20.0, latency=0.03):
    """Drives with a policy that goes on at `speed` a second; `events` are (time, called with the controller)."""
    clock = FakeClock()
    robot = GuidedRobot(clock, guides, target)
    policy = as_policy(lambda image, state: state + speed / 10 * np.arange(1, 9)[:, None])
    executor = FakeExecutor(clock, latency)
    controller = Controller(robot, policy, LIMITS, n_action_steps=4, clock=clock, executor=executor)
    ticks = []
    controller.observers.append(ticks.append)
    at_time(
        controller,
        [(at, partial(event, controller)) for at, event in events],
        meanwhile=lambda: robot.person.move(by=0.5),
    )
    controller.run(duration=seconds)
    return controller, ticks


def segments(robot):
    """Commands between stretches in which nothing was sent for longer than a few periods, and where each begins."""
    cuts = np.flatnonzero(np.diff(robot.times) > 0.1) + 1
    return np.split(np.array(robot.commands), cuts)


def actors(ticks):
    """Each actor's stretch, in order."""
    return [ticks[0].actor, *(b.actor for a, b in pairwise(ticks) if a.actor != b.actor)]


def test_a_person_who_commands_takes_the_arm_within_the_limits_and_gives_it_back():
    controller, ticks = drive(False, [(1.0, Controller.toggle_person), (3.0, Controller.toggle_person)])
    assert actors(ticks) == ["policy", "nobody", "person", "policy"]
    assert_legal(controller.robot.commands, LIMITS, controller.period)
    assert len(controller.robot.commands) >= 195  # at every tick, whoever acts
    last = [tick for tick in ticks if tick.actor == "person"][-1]
    np.testing.assert_allclose(last.command, controller.robot.person.target, atol=0.5)
    assert controller.report.takeovers == 1
    assert controller.report.holds == 0
    assert "1 times taken by a person" in str(controller.report)
    assert not controller.robot.person.acts
    assert controller.trouble is None


def test_nothing_is_sent_while_a_person_guides_and_the_arm_goes_on_from_where_it_was_brought():
    controller, ticks = drive(True, [(1.0, Controller.call_person), (2.5, Controller.dismiss_person)])
    assert actors(ticks) == ["policy", "nobody", "person", "nobody", "policy"]
    assert all((tick.command is None) == (tick.actor == "person") for tick in ticks if tick.actor != "nobody")
    before, after = segments(controller.robot)
    assert_legal(before, LIMITS, controller.period)
    np.testing.assert_array_equal(before[-1], before[-2])  # it stood
    begin = next(tick for tick in ticks if tick.time > 102.6 and tick.command is not None)
    assert_legal(after, LIMITS, controller.period, start=begin.state.value)
    left = [tick.time for tick in ticks if tick.actor == "nobody" and tick.command is None]
    assert left[-1] - left[0] >= SETTLE - 2 * controller.period
    assert controller.report.holds == 0


def test_an_arm_that_is_still_moved_is_not_commanded():
    def keep_moving(controller):
        controller.clock.on_sleep = partial(moved, controller, controller.clock.on_sleep)

    def moved(controller, other, now):
        other(now)
        if now < 104:
            controller.robot.state = controller.robot.state + 0.4

    _, ticks = drive(
        True, [(1.0, Controller.call_person), (2.0, Controller.dismiss_person), (2.0, keep_moving)], speed=0
    )
    assert all(tick.command is None for tick in ticks if 102.1 < tick.time < 103.9)


def test_an_emergency_stop_dismisses_the_person_and_holds_where_the_arm_was_brought():
    controller, ticks = drive(True, [(1.0, Controller.call_person), (2.5, lambda c: c.emergency_stop("test"))])
    assert not controller.robot.person.acts
    _, after = segments(controller.robot)
    np.testing.assert_array_equal(after, np.broadcast_to(after[0], after.shape))
    np.testing.assert_allclose(after[0], controller.robot.state)
    assert ticks[-1].hold_reason == "emergency stop: test"
    assert ticks[-1].actor == "nobody"


def test_a_run_that_ends_takes_the_arm_from_the_person():
    controller, ticks = drive(True, [(1.0, Controller.call_person)], seconds=2)
    assert ticks[-1].actor == "person"
    assert not controller.robot.person.acts
    assert controller.robot.held


def test_where_nobody_can_take_the_arm_it_is_said(caplog):
    clock = FakeClock()
    robot = GuidedRobot(clock, True, HOME)
    controller = Controller(DryRun(robot), as_policy(lambda image, state: state[None]), LIMITS, clock=clock)
    controller.toggle_person()
    assert "nobody can take this arm" in caplog.text
    with pytest.raises(UserError, match="no `person`, or this is a dry run"):
        controller.call_person()


@settings(max_examples=60)
@given(
    events=happenings(3.8, 7),
    guides=st.booleans(),
    target=st.lists(st.floats(-60, 60), min_size=7, max_size=7),
    speed=st.floats(-200, 200),
    latency=st.sampled_from([0.0, 0.03, 0.2]),
)
def test_whenever_the_arm_changes_hands_no_command_breaks_a_limit(events, guides, target, speed, latency):
    happens = [(at, HAPPENINGS[name]) for at, name in events]
    controller, ticks = drive(guides, happens, HOME + target, speed=speed, latency=latency)
    robot = controller.robot
    if not guides:
        assert_legal(robot.commands, LIMITS, controller.period, times=robot.times)
        return
    sent = [tick for tick in ticks if tick.command is not None]
    for command, state in ((tick.command, tick.state) for tick in sent if tick.state is not None):
        assert (np.abs(command - state.value) <= LIMITS.max_jump + LIMITS.start_tolerance).all()
    assert_each_part_legal(ticks, LIMITS, controller.period)


def test_a_recorded_frame_says_who_acted_and_a_guided_one_what_was_measured_next(tmp_path):
    with EpisodeWriter(tmp_path) as writer, FrameRecorder(writer, 8) as recorder:
        for tick, actor in enumerate(["policy", "person", "person", "nobody"]):
            now = tick / 8
            image = np.full((4, 6, 3), tick, np.uint8)
            command = None if actor == "person" else HOME - 1
            recorder.offer(now, Stamped(image, now), Stamped(HOME + tick, now), command, actor)
    rows = json.loads((writer.path / "states.json").read_text())
    assert [row["actor"] for row in rows] == ["policy", "person", "person", "nobody"]
    assert [row["action"][0] for row in rows] == [-1, 2, 3, -1]


def test_the_last_guided_frame_keeps_its_own_state(tmp_path):
    with EpisodeWriter(tmp_path) as writer, FrameRecorder(writer, 8) as recorder:
        for tick in range(2):
            image = Stamped(np.full((4, 6, 3), tick, np.uint8), tick / 8)
            recorder.offer(tick / 8, image, Stamped(HOME + tick, tick / 8), None, "person")
    rows = json.loads((writer.path / "states.json").read_text())
    assert [row["action"][0] for row in rows] == [1, 1]


def test_a_key_calls_the_person_and_dismisses_them():
    clock = FakeClock()
    robot = GuidedRobot(clock, True, HOME)
    controller = Controller(RobotWrapper(robot), as_policy(lambda image, state: state[None]), LIMITS, clock=clock)
    assert controller.takeover.person is robot.person  # a wrapper passes it on
    called, others = [], deque()
    for key in ("t", None, "w", "t", "t"):
        _obey(key, controller, others)
        called.append(controller.takeover.is_called)
    assert called == [True, True, True, False, True]
    assert [*others] == ["w"]  # for the person
