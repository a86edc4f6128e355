import json
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from control_fakes import HOME, FakeClock, FakeExecutor, FakeRobot, as_policy, assert_legal, at_time
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.control.controller import Controller
from dp_hf.control.robot import DryRun, RobotWrapper, Stamped
from dp_hf.errors import RunFailed, UserError

LIMITS = MYCOBOT_280.limits


def make(function, latency=0.03, robot=None, limits=LIMITS, **kwargs) -> Controller:
    clock = robot.clock if robot else FakeClock()
    robot = robot or FakeRobot(clock)
    executor = FakeExecutor(clock, latency)
    return Controller(robot, as_policy(function), limits, clock=clock, executor=executor, **kwargs)


def towards(target, horizon=1, speed=2.0):
    """A policy that moves each value towards `target`, at most `speed` a step."""

    def function(image, state):
        steps = np.arange(1, horizon + 1)[:, None]
        return state + np.clip(target - state, -speed * steps, speed * steps)

    return function


TARGET = HOME + [20, -15, 10, 5, -20, 30, -40]


@pytest.mark.parametrize(("horizon", "n_action_steps"), [(1, 1), (16, 8)])
def test_it_reaches_what_the_policy_wants_smoothly(horizon, n_action_steps):
    controller = make(towards(TARGET, horizon), n_action_steps=n_action_steps)
    report = controller.run(duration=6)
    robot = controller.robot
    np.testing.assert_allclose(robot.state, TARGET, atol=1e-3)
    assert_legal(robot.commands, LIMITS, controller.period)
    assert robot.held
    assert report.commands == pytest.approx(300, abs=2)
    assert report.chunks == pytest.approx(60 / n_action_steps, abs=2)
    assert report.misses == report.starved == report.overruns == report.holds == 0
    # The image is taken at a tick; its chunk is there at the second tick after, with a latency of 30 ms.
    assert report.image_to_command.percentile(99) == pytest.approx(0.04, abs=1e-6)


def test_the_command_of_a_tick_waits_for_a_quick_policy():
    controller = make(towards(TARGET, 16), latency=0, n_action_steps=8)
    report = controller.run(duration=6)
    np.testing.assert_allclose(controller.robot.state, TARGET, atol=1e-3)
    assert_legal(controller.robot.commands, LIMITS, controller.period)
    assert report.misses == report.starved == report.overruns == report.holds == 0
    # All but the first: nobody knew that it would be quick, and the next tick is 20 ms later.
    assert report.image_to_command.percentile(80) == pytest.approx(0, abs=1e-6)


def test_borders_between_chunks_are_kept_with_the_jump_that_each_asked_for():
    flip = iter(range(1000))
    controller = make(lambda image, state: np.tile(HOME + 10 * (-1) ** next(flip), (8, 1)), n_action_steps=4)
    report = controller.run(duration=3)
    assert len(report.borders) == report.chunks > 5
    times = [border.time for border in report.borders]
    assert times[0] == pytest.approx(0.04)
    np.testing.assert_allclose(np.diff(times), 0.4)
    # To the other end in the 0.08 s that are left of a step, beginning smoothly; 160 degrees a second are the most.
    assert 0.5 < report.borders[-1].jump < 1
    kept = json.loads(json.dumps(report.to_dict()))
    assert [border["time"] for border in kept["borders"]] == times
    assert kept["chunks"] == report.chunks
    assert kept["rejected"] == {}
    assert kept["inference"]["p99"] == pytest.approx(0.04)
    still = make(lambda image, state: np.tile(HOME, (8, 1)), n_action_steps=4).run(duration=1)
    assert {border.jump for border in still.borders} == {0.0}


def test_what_will_have_been_sent_is_told_to_a_policy_that_goes_on_from_it():
    told = []

    def policy(image, state, prefix=None):
        told.append(prefix)
        chunk = HOME + np.arange(16)[:, None] * np.linspace(0, 0.6, 7)
        if prefix is not None:
            chunk = np.vstack([prefix, prefix[-1] + np.arange(1, 17 - len(prefix))[:, None] * np.linspace(0, 0.6, 7)])
        return SimpleNamespace(actions=chunk[None])

    controller = make(None, latency=0.25, n_action_steps=4, max_prefix=6)
    controller.planner.policy = policy
    report = controller.run(duration=4)
    robot = controller.robot
    assert told[0] is None
    # An inference is seen at the tick after 0.25 s; the action that is due less than half a step later is skipped.
    assert {border.prefix for border in list(report.borders)[1:]} == {4}
    assert report.borders[0].predicted is None
    np.testing.assert_allclose([border.predicted for border in list(report.borders)[1:]], 0.26)
    np.testing.assert_allclose([border.latency for border in report.borders], 0.26)
    start = robot.times[0]
    for index, prefix in enumerate(told[2:-1], start=2):
        sent = [
            np.interp(start + 0.4 * index + 0.1 * step, robot.times, np.array(robot.commands)[:, 6])
            for step in range(3)
        ]
        np.testing.assert_allclose(prefix[:3, 6], sent, atol=0.15)
    assert max(border.jump for border in list(report.borders)[1:]) < 0.005
    assert "latency off by p99 0.0 ms" in str(report)


def test_a_policy_slower_than_its_prefixes_is_told_as_many_as_it_learned():
    told = []

    def policy(image, state, prefix=None):
        told.append(prefix)
        return SimpleNamespace(actions=np.tile(HOME, (1, 16, 1)))

    controller = make(None, latency=0.6, n_action_steps=4, max_prefix=2)
    controller.planner.policy = policy
    controller.run(duration=4)
    assert {len(prefix) for prefix in told[1:]} == {2}


class OldPictures(FakeRobot):
    """Ten pictures a second, each stamped `age` seconds before it can be read."""

    age = 0.0

    def read_image(self):
        taken = 100 + 0.1 * np.floor((self.clock.now() - 100 - self.age) / 0.1 + 1e-6)
        if taken >= 100 and (self._image is None or taken > self._image.timestamp + 1e-6):
            self._image = Stamped(self.random.integers(0, 255, (4, 6, 3), dtype=np.uint8), taken)
        return self._image


@settings(max_examples=10, deadline=None)
@given(st.floats(0.01, 0.2), st.floats(0.0, 0.35), st.integers(1, 4), st.sampled_from([None, 0.01]))
def test_what_was_sent_before_the_policy_is_asked_is_told_as_it_was_sent(latency, age, n_action_steps, ensemble):
    told = []
    robot = OldPictures(FakeClock())
    robot.age = age

    def policy(image, state, prefix=None):
        told.append((robot.clock.now(), robot.read_image().timestamp, prefix))
        due = robot.read_image().timestamp + 0.1 * np.arange(16)
        chunk = HOME + np.outer(np.sin(1.5 * (due - 100)), [20, -10, 5, 5, 0, 0, -10])
        if prefix is not None:
            chunk[: len(prefix)] = prefix
        return SimpleNamespace(actions=chunk[None])

    n_action_steps = n_action_steps if ensemble is None else 1
    controller = make(None, latency, robot, n_action_steps=n_action_steps, temporal_ensemble=ensemble, max_prefix=7)
    controller.planner.policy = policy
    controller.run(duration=3)
    commands = np.array(robot.commands)
    checked = 0
    for asked_at, taken_at, prefix in told:
        due = taken_at + 0.1 * np.arange(0 if prefix is None else len(prefix))
        for action, moment in zip(prefix if len(due) else (), due, strict=True):
            if robot.times[0] <= moment <= asked_at - controller.period:
                sent = [np.interp(moment, robot.times, numbers) for numbers in commands.T]
                np.testing.assert_allclose(action, sent, atol=1e-9)
                checked += 1
    assert checked > 3 or age < controller.period


@pytest.mark.parametrize("max_prefix", [0, 7])
def test_an_arm_that_has_run_out_of_actions_is_told_none_beyond_them(max_prefix):
    told = []

    def policy(image, state, prefix=None):
        told.append(prefix)
        before, known = (state[0, -1], 0) if prefix is None else (prefix[-1], len(prefix))
        chunk = before + 3 * np.arange(1, 17 - known)[:, None] * np.eye(7)[0]
        return SimpleNamespace(actions=(chunk if prefix is None else np.vstack([prefix, chunk]))[None])

    robot = FakeRobot(FakeClock())
    robot.reach_time = 0.1
    controller = make(None, 0.3, robot, n_action_steps=16, max_prefix=max_prefix)
    controller.planner.policy = policy
    report = controller.run(duration=6)
    assert report.starved > 0
    for prefix in told:
        if prefix is not None:
            np.testing.assert_allclose(np.diff(prefix[:, 0]), 3, err_msg="no action twice", atol=0.01)
    assert robot.state[0] == pytest.approx(165, abs=1), "it stands no longer than without a prefix"


@pytest.mark.parametrize("reach_time", [0.0, 0.1])
def test_actions_are_due_when_the_robot_says_that_they_are_reached(reach_time):
    robot = FakeRobot(FakeClock())
    robot.reach_time = reach_time
    wrapped = RobotWrapper(robot)
    wrapped.clock = robot.clock
    chunk = HOME + np.arange(16)[:, None] * np.ones(7)
    controller = make(lambda image, state: chunk, robot=wrapped, n_action_steps=16)
    report = controller.run(duration=1)
    sent = np.array(robot.commands)[:, 0] - HOME[0]
    # The arm stands until the chunk is there, so that this begins then.
    due = np.array(robot.times) - robot.times[0] - report.borders[0].time - reach_time
    moving = (due >= 0.2) & (np.arange(len(due)) < 45)  # from rest it has come to speed, and then it brakes
    np.testing.assert_allclose(sent[moving], 10 * due[moving], atol=1e-6)


def test_an_arm_at_rest_begins_with_the_first_action_however_late_it_is():
    chunk = HOME + np.linspace(0, 8, 9)[1:, None] * np.ones(7)
    controller = make(lambda image, state: chunk, latency=0.5, n_action_steps=8)
    began = []
    controller.observers = [lambda tick: began.append((tick.time, controller.planner.trajectory))]
    controller.run(duration=0.8)
    time, trajectory = next((time, trajectory) for time, trajectory in began if trajectory is not None)
    np.testing.assert_allclose(trajectory.positions[1], chunk[1], err_msg="action 0 is due at once, as in its picture")
    assert trajectory.times[1] - time == pytest.approx(0.1)


@pytest.mark.parametrize("horizon", [1, 8])
def test_a_nervous_policy_is_not_overshot_by_much(horizon):
    rng = np.random.default_rng(0)
    controller = make(lambda image, state: HOME + rng.uniform(-10, 10, (horizon, 7)), n_action_steps=horizon // 2 or 1)
    controller.run(duration=20)
    away = np.abs(np.array(controller.robot.commands) - HOME)
    assert away.max() <= 15  # the actions, and a quarter of the largest step between them
    assert away.max() > 5


def test_an_ensemble_calms_a_nervous_policy():
    spreads = []
    for temporal_ensemble in (None, 0.01):
        rng = np.random.default_rng(0)
        controller = make(
            lambda image, state, rng=rng: HOME + rng.uniform(-10, 10, (8, 7)), temporal_ensemble=temporal_ensemble
        )
        assert controller.run(duration=20).chunks > 190
        assert_legal(controller.robot.commands, LIMITS, controller.period)
        spreads.append(np.std(np.array(controller.robot.commands) - HOME))
    assert spreads[1] < spreads[0] / 1.5


@pytest.mark.parametrize("latency", [0.03, 0.08])
def test_single_actions_make_a_steady_motion(latency):
    controller = make(towards(HOME + 60, horizon=1, speed=3.0), latency=latency)
    controller.run(duration=1.5)
    speed = np.diff(np.array(controller.robot.commands)[:, 0])[30:70] / controller.period
    assert speed.min() > 0.6 * speed.max()


def test_a_slow_policy_is_counted_and_its_chunks_bridge_the_gap():
    controller = make(towards(TARGET, horizon=16), latency=0.45, n_action_steps=2)
    report = controller.run(duration=6)
    assert report.misses > 20
    assert report.starved == 0
    assert_legal(controller.robot.commands, LIMITS, controller.period)


def test_a_slow_policy_of_one_action_starves_the_arm():
    report = make(towards(TARGET), latency=0.45).run(duration=6)
    assert report.starved >= 10


def test_observations_come_oldest_first_one_step_apart():
    seen = []

    def policy(image, state):
        seen.append((len(image[0]), state[0, :, 0].copy()))
        return as_policy(towards(TARGET, 8))(image, state)

    controller = make(None, n_obs_steps=3)
    controller.planner.policy = policy
    controller.run(duration=2)
    assert seen[0][0] == 3
    np.testing.assert_array_equal(seen[0][1], [0, 0, 0])
    assert (np.diff(seen[-1][1]) >= 0).all()
    assert seen[5][1][1] == pytest.approx(seen[4][1][2])


faults = ["unplug", "freeze", "mute", "stop", "reset", "heal", "drift"]


@settings(max_examples=60)
@given(
    outputs=st.lists(
        st.one_of(
            st.sampled_from([np.nan, np.inf, -np.inf, 1e9, -1e9]),
            st.floats(-40, 40),
            st.lists(st.floats(-400, 400), min_size=7, max_size=7),
        ),
        min_size=1,
        max_size=20,
    ),
    events=st.lists(st.tuples(st.floats(0, 6), st.sampled_from(faults)), max_size=8),
    horizon=st.sampled_from([1, 4]),
    latency=st.sampled_from([0.0, 0.03, 0.3]),
)
def test_whatever_the_policy_says_and_whatever_fails_no_command_breaks_a_limit(outputs, events, horizon, latency):
    calls = iter(range(10**9))

    def function(image, state):
        output = np.asarray(outputs[next(calls) % len(outputs)], dtype=np.float64)
        return state + output if output.ndim == 0 else np.repeat(output[None], horizon, axis=0)

    controller = make(lambda image, state: np.atleast_2d(function(image, state)), latency)
    robot = controller.robot

    def cause(event):
        if event == "unplug":
            robot.camera = "off"
        elif event == "freeze":
            robot.camera = "frozen"
        elif event == "mute":
            robot.state_is_live = False
        elif event == "stop":
            controller.emergency_stop("test")
        elif event == "reset":
            controller.reset()
        elif event == "drift":
            robot.follows = not robot.follows
        else:
            robot.camera, robot.state_is_live = "live", True

    at_time(controller, {after + i * 1e-6: lambda event=event: cause(event) for i, (after, event) in enumerate(events)})
    controller.run(duration=6)
    assert_legal(robot.commands, LIMITS, controller.period)
    np.testing.assert_array_equal(robot.commands[-1], controller.robot.commands[-1])


@pytest.mark.parametrize("output", [np.nan, np.inf, 1e9, -1e9])
def test_the_arm_stays_put_under_a_policy_gone_mad(output):
    controller = make(lambda image, state: np.full((4, 7), output))
    report = controller.run(duration=3)
    assert report.chunks == 0
    assert sum(report.rejected.values()) > 20
    np.testing.assert_array_equal(controller.robot.commands, np.tile(HOME, (len(controller.robot.commands), 1)))


def test_a_chunk_far_from_the_arm_is_refused():
    far = HOME + [40, 0, 0, 0, 0, 0, 0]
    report = make(lambda image, state: np.tile(far, (8, 1))).run(duration=1)
    assert report.rejected["begins too far from the arm"] > 5
    assert report.chunks == 0


def test_commands_do_not_run_away_from_an_arm_that_is_stuck():
    controller = make(lambda image, state: (controller.robot.commands or [HOME])[-1] + np.arange(1, 9)[:, None] * 3.0)
    controller.robot.follows = False
    controller.run(duration=5)
    away = np.abs(np.array(controller.robot.commands) - HOME)[:, :6]
    assert away.max() <= 30 + 1e-9
    assert away.max() > 25


def test_an_arm_that_was_pushed_far_away_gets_no_commands_until_it_is_back():
    controller = make(towards(TARGET, 8, speed=0.5), n_action_steps=4)
    robot = controller.robot

    def push():
        robot.follows = False
        robot.state = robot.state + [45, 0, 0, 0, 0, 0, 0]

    def release():
        robot.follows = True
        robot.state = robot.commands[-1].copy()

    at_time(controller, {1.0: push, 3.0: release})
    report = controller.run(duration=12)
    gaps = np.diff(robot.times)
    assert gaps.max() == pytest.approx(2.0, abs=0.1)
    assert report.holds == 1
    np.testing.assert_allclose(robot.state, TARGET, atol=1e-3)
    before = int(np.argmax(gaps)) + 1
    assert_legal(robot.commands[before:], LIMITS, controller.period, start=robot.commands[before - 1])


@pytest.mark.parametrize(
    ("fail", "heal", "reason"),
    [
        (lambda robot: setattr(robot, "camera", "off"), lambda robot: setattr(robot, "camera", "live"), "frame is"),
        (lambda robot: setattr(robot, "camera", "frozen"), lambda robot: setattr(robot, "camera", "live"), "same"),
        (
            lambda robot: setattr(robot, "state_is_live", False),
            lambda robot: setattr(robot, "state_is_live", True),
            "joint state",
        ),
        (lambda robot: setattr(robot, "unheard", "nobody listens"), lambda robot: delattr(robot, "unheard"), "nobody"),
    ],
)
def test_it_holds_without_measurements_and_goes_on_with_fresh_ones(fail, heal, reason, caplog):
    controller = make(towards(TARGET, 8, speed=1.0), n_action_steps=4)
    robot = controller.robot
    ticks = []
    controller.observers = [ticks.append]
    at_time(controller, {0.6: lambda: fail(robot), 4.0: lambda: heal(robot)})
    report = controller.run(duration=10)
    assert report.holds == 1
    assert reason in caplog.text
    start = robot.times[0]
    held = [tick.command for tick in ticks if 2.5 < tick.time - start < 4.0]
    assert all(tick.hold_reason for tick in ticks if 2.5 < tick.time - start < 3.9)
    assert np.ptp(held, axis=0).max() == 0
    assert np.abs(held[0] - TARGET).max() > 5
    np.testing.assert_allclose(robot.state, TARGET, atol=1e-3)
    assert_legal(robot.commands, LIMITS, controller.period)


def test_a_chunk_from_before_a_hold_is_never_executed():
    executed = []
    controller = make(towards(TARGET, 8), latency=0.8)
    at_time(controller, {0.5: lambda: controller.emergency_stop("test"), 0.6: controller.reset})
    controller.observers = [lambda tick: executed.append((tick.time, controller.planner.trajectory))]
    controller.run(duration=3)
    start = executed[0][0]
    # The first chunk, submitted at 0 s, would be there at 0.8 s; the next is submitted then, and there at 1.6 s.
    first = min(time for time, trajectory in executed if trajectory is not None)
    assert first - start == pytest.approx(1.62, abs=0.05)


def test_an_emergency_stop_latches_until_reset():
    controller = make(towards(TARGET, 8), n_action_steps=4)
    ticks = []
    controller.observers = [ticks.append]
    at_time(controller, {0.5: lambda: controller.emergency_stop("button"), 4.0: controller.reset})
    controller.run(duration=8)
    start = ticks[0].time
    stopped = [tick.command for tick in ticks if 1.2 < tick.time - start < 3.9]
    assert np.ptp(stopped, axis=0).max() == 0
    assert np.abs(stopped[0] - TARGET).max() > 5
    np.testing.assert_allclose(controller.robot.state, TARGET, atol=1e-3)
    assert_legal(controller.robot.commands, LIMITS, controller.period)


def test_a_fault_of_the_robot_is_an_emergency_stop():
    controller = make(towards(TARGET))
    at_time(controller, {0.5: lambda: setattr(controller.robot, "fault", "servo 3 is hot")})
    ticks = []
    controller.observers = [ticks.append]
    controller.run(duration=2)
    assert ticks[-1].hold_reason == "emergency stop: servo 3 is hot"


@pytest.mark.parametrize("how", ["stop", "policy", "observer"])
def test_however_a_run_ends_the_arm_brakes_first(how):
    function = towards(HOME + 60, horizon=16, speed=8.0)
    controller = make(function, n_action_steps=4)
    end = controller.clock.now() + 0.5

    def failing(image, state):
        if how == "policy" and controller.clock.now() > end:
            raise RuntimeError("out of memory")
        return function(image, state)

    def observer(tick):
        if how == "observer" and tick.time > end:
            raise RuntimeError("disk full")

    controller.planner.policy = as_policy(failing)
    controller.observers = [observer]
    if how == "stop":
        at_time(controller, {0.5: lambda: controller.stop("Ctrl-C")})
        controller.run()
    else:
        with pytest.raises(RuntimeError):
            controller.run()
    commands = np.array(controller.robot.commands)
    at_the_end = round(0.5 / controller.period)
    assert np.abs(np.diff(commands, axis=0))[at_the_end - 2].max() / controller.period > 40  # it was moving fast
    assert len(commands) > at_the_end + 10
    assert controller.robot.held
    assert_legal([*commands, commands[-1]], LIMITS, controller.period)


def test_a_policy_that_cannot_be_reached_is_tried_again():
    controller = make(None)
    down_until = controller.clock.now() + 2

    def function(image, state):
        if controller.clock.now() < down_until:
            raise ConnectionError("refused")
        return towards(TARGET)(image, state)

    controller.planner.policy = as_policy(function)
    report = controller.run(duration=8)
    assert report.rejected["ConnectionError: refused"] >= 15
    np.testing.assert_allclose(controller.robot.state, TARGET, atol=1e-3)


def test_after_a_stall_of_the_computer_it_neither_catches_up_nor_jumps():
    controller = make(towards(HOME + 60, horizon=16, speed=8.0), n_action_steps=4)
    at_time(controller, {0.5: lambda: setattr(controller.clock, "time", controller.clock.time + 0.4)})
    report = controller.run(duration=3)
    times, commands = np.array(controller.robot.times), np.array(controller.robot.commands)
    assert report.overruns == 1
    assert np.diff(times).min() > controller.period - 1e-9
    after = int(np.argmax(np.diff(times))) + 1
    assert np.abs(commands[after - 1] - commands[after - 2]).max() / controller.period > 40  # it was moving fast
    first_step = np.abs(commands[after] - commands[after - 1])
    assert (first_step <= LIMITS.acceleration * controller.period**2 + 1e-9).all()


def test_it_starts_only_where_it_may():
    limits = replace(LIMITS, start_pose=HOME + [30, 0, 0, 0, 0, 0, 0])
    with pytest.raises(UserError, match=r"link1_to_link2 is at 0\.0, more than 10 from 30\.0"):
        make(towards(TARGET), limits=limits).run(duration=1)
    robot = FakeRobot(FakeClock(), state=[0, 0, 161, 0, 0, 0, 50])
    controller = make(towards(TARGET), robot=robot)
    with pytest.raises(UserError, match="link3_to_link4"):
        controller.run(duration=1)
    assert robot.commands == []


def test_it_does_not_start_blind():
    controller = make(towards(TARGET))
    controller.robot.camera = "off"
    with pytest.raises(UserError, match="no camera frame"):
        controller.run(duration=1)
    assert controller.robot.commands == []


def test_it_does_not_start_where_nobody_hears_it():
    controller = make(towards(TARGET))
    controller.robot.unheard = "nobody listens to /arm"
    with pytest.raises(UserError, match=r"cannot start, nobody listens to /arm \(waited 10 s\)"):
        controller.run(duration=1)
    assert controller.robot.commands == []
    watched = FakeRobot(FakeClock())
    watched.unheard = "nobody listens to /arm"
    dry = RobotWrapper(DryRun(watched))
    dry.clock = watched.clock
    assert make(towards(TARGET), robot=dry).run(duration=1).chunks > 5
    assert watched.commands == []


def test_a_rate_beyond_the_robots_is_refused():
    with pytest.raises(UserError, match="50 Hz"):
        make(towards(TARGET), rate=60)


def test_a_policy_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match=r"\(1, 1, 6\)"):
        make(lambda image, state: np.zeros((1, 6))).run(duration=1)


@pytest.mark.parametrize(("command_rate", "seconds"), [(50, 0.02), (50, 0.1), (50, 0.6), (20, 0.05), (20, 0.6)])
def test_a_wrong_joint_state_makes_the_arm_brake_and_never_leap(command_rate, seconds):
    robot = FakeRobot(FakeClock(), command_rate=command_rate)
    controller = make(towards(HOME + [140, 0, 0, 0, 0, 0, 0], horizon=8, speed=14.0), robot=robot)
    honest, wrong = robot.read_state, np.array([0, 0, 60, 0, 0, 0, 0])
    begin, began = robot.clock.now(), []

    def read_state():
        state = honest()
        is_wrong = 0.8 - 1e-6 <= robot.clock.now() - begin < 0.8 + seconds - 1e-6
        began.extend([len(robot.commands)] * is_wrong)
        return Stamped(state.value + wrong, state.timestamp) if is_wrong else state

    robot.read_state = read_state
    controller.run(duration=2.5)
    commands = np.array(robot.commands)
    assert_legal(commands, LIMITS, controller.period)
    speed = np.abs(np.diff(commands[:, 0])) * command_rate
    assert speed[began[0] - 3] > 80  # it was moving fast
    if seconds > 0.5:
        assert np.diff(robot.times).max() > 1.5 * controller.period  # once it had braked, nothing was sent
    assert np.abs(robot.state[0] - 140) < 30


@pytest.mark.parametrize("moves", [True, False])
def test_from_outside_a_limit_it_comes_in_slowly_or_stays(moves):
    outside = HOME.copy()
    outside[2] = LIMITS.highest[2] + 9
    robot = FakeRobot(FakeClock(), state=outside)
    controller = make(towards(HOME if moves else outside + 5, horizon=4), robot=robot)
    controller.run(duration=3)
    assert_legal(robot.commands, LIMITS, controller.period, start=outside)
    np.testing.assert_array_equal(robot.commands[0], outside)
    assert robot.commands[-1][2] <= LIMITS.highest[2]


def test_a_policy_that_is_late_beyond_its_chunk_is_a_hold_with_a_reason(caplog):
    controller = make(towards(TARGET, 4), latency=2.0, n_action_steps=4)
    ticks = []
    controller.observers = [ticks.append]
    report = controller.run(duration=7)
    assert "holding: the policy has given no actions for 0.5 s" in caplog.text
    start = ticks[0].time
    held = [tick for tick in ticks if tick.hold_reason]
    # The first chunk is there after 2 s and lasts for its four steps. The second is there after 4 s, and lasts for one:
    # the arm has moved since its picture.
    assert {round(tick.time - start, 1) for tick in held} >= {0.6, 1.9, 3.0, 3.9, 4.7}
    assert not any(tick.hold_reason for tick in ticks if 2.1 < tick.time - start < 2.7)
    assert report.chunks == 3
    assert report.holds == 4
    assert_legal(controller.robot.commands, LIMITS, controller.period)


def test_a_policy_that_hangs_ends_the_run(caplog):
    controller = make(towards(TARGET, 4), latency=1e9)
    with pytest.raises(RunFailed, match="the policy has not answered for 10 s"):
        controller.run()
    assert "holding: the policy" in caplog.text
    assert controller.report.seconds == pytest.approx(10, abs=0.1)
    assert controller.robot.held


def test_a_policy_that_hangs_keeps_no_thread_that_must_end(monkeypatch):
    monkeypatch.setattr("dp_hf.control.controller.INFERENCE_TIMEOUT", 0.3)
    monkeypatch.setattr("dp_hf.control.controller.LAST_INFERENCE", 0.1)
    clock = FakeClock()
    clock.now, clock.sleep_until = time.monotonic, lambda moment: time.sleep(max(0.0, moment - time.monotonic()))
    released, others = threading.Event(), {*threading.enumerate()}
    controller = Controller(FakeRobot(clock), lambda image, state: released.wait(30), LIMITS, clock=clock)
    start = time.monotonic()
    with pytest.raises(RunFailed, match="has not answered"):
        controller.run()
    assert time.monotonic() - start < 5
    (thread,) = [thread for thread in {*threading.enumerate()} - others if thread.name == "policy"]
    assert thread.daemon
    released.set()
    thread.join(5)


def test_a_port_that_fails_ends_the_run_in_one_sentence_and_no_command_leaps():
    controller = make(towards(HOME + 60, horizon=16, speed=8.0), n_action_steps=4)
    robot = controller.robot
    send = robot.send_command

    def fail_once(command):
        robot.send_command = send
        raise OSError("write failed")

    at_time(controller, {0.5: lambda: setattr(robot, "send_command", fail_once)})
    with pytest.raises(RunFailed, match="the run failed: OSError: write failed"):
        controller.run()
    assert_legal([*robot.commands, robot.commands[-1]], LIMITS, controller.period)
    assert robot.held


def test_a_duration_that_is_none_is_refused():
    for duration in (0, -1, np.nan):
        with pytest.raises(UserError, match="duration is seconds above 0"):
            make(towards(TARGET)).run(duration)


def test_a_joint_that_does_not_do_what_it_is_told_is_a_reason_to_hold(caplog):
    robot = FakeRobot(FakeClock())
    controller = make(lambda image, state: np.tile(HOME + [20, 0, 0, 0, 0, 0, 0], (4, 1)), robot=robot)
    robot.follows = False
    report = controller.run(duration=5)
    assert report.holds == 1
    assert "link1_to_link2 was told to move by 20.00 degrees and has stood still for 2 s" in caplog.text
    assert_legal(robot.commands, LIMITS, controller.period)


def test_a_gripper_that_stands_away_from_its_command_is_said_once_and_does_not_stop_the_arm(caplog):
    robot = FakeRobot(FakeClock())
    controller = make(lambda image, state: [[*(state[:6] + 0.5), 0]] * 4, robot=robot)
    send = robot.send_command

    def with_something_in_the_gripper(command):
        send(command)
        robot.state[6] = max(robot.state[6], 30)

    robot.send_command = with_something_in_the_gripper
    report = controller.run(duration=8)
    assert report.holds == 0
    assert caplog.text.count("gripper was told") == 1
    assert "it holds something, or does not obey" in caplog.text


def test_an_arm_that_only_lags_follows():
    robot = FakeRobot(FakeClock())
    controller = make(towards(HOME + 60, horizon=8, speed=5.0), robot=robot)
    sent, send = [HOME] * 15, robot.send_command

    def lag(command):
        send(command)
        sent.append(command)
        robot.state = sent[-15].copy()  # 0.3 s ago

    robot.send_command = lag
    assert controller.run(duration=6).holds == 0


def test_a_frozen_joint_state_is_noticed_though_the_command_stays_near_it(caplog):
    robot = FakeRobot(FakeClock())
    robot.follows = False
    swing = lambda image, state: [HOME + [8 * np.sin(2 * robot.clock.now()), 0, 0, 0, 0, 0, 0]] * 4  # noqa: E731
    controller = make(swing, robot=robot)
    at_time(controller, {6.0: controller.reset})
    ticks = []
    controller.observers = [ticks.append]
    controller.run(duration=7)
    assert "link1_to_link2 was told to move by" in caplog.text
    start = ticks[0].time
    assert all(tick.hold_reason for tick in ticks if 5.0 < tick.time - start < 5.9)
    assert not any(tick.hold_reason for tick in ticks if 6.1 < tick.time - start < 6.9)


def test_a_robot_that_fails_before_the_start_is_one_sentence():
    controller = make(towards(TARGET))

    def read_state():
        raise OSError("no such device")

    controller.robot.read_state = read_state
    with pytest.raises(RunFailed, match="the start failed: OSError: no such device"):
        controller.run()
    assert controller.robot.commands == []
