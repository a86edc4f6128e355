"""A search for a command that breaks a limit, over whatever may happen while an arm is driven."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from control_fakes import HOME, FakeClock, FakeExecutor, FakeRobot, as_policy, assert_legal
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.control.controller import Controller
from dp_hf.control.robot import Stamped
from dp_hf.errors import RunFailed

LIMITS = MYCOBOT_280.limits
SECONDS = 3.0


class FaultyRobot(FakeRobot):
    """Its readings can be wrong, its commands lost on the way, and its port fail."""

    wrong_by = np.zeros(7)
    port_fails = False

    def read_state(self):
        state = super().read_state()
        return Stamped(state.value + self.wrong_by, state.timestamp)

    def send_command(self, command):
        if self.port_fails:
            self.port_fails = False
            raise OSError("write failed")
        super().send_command(command)


@dataclass(frozen=True)
class Event:
    """What happens at `time`, in seconds, to the number `index`; for `seconds` where it passes."""

    time: float
    kind: str
    seconds: float
    amount: float
    index: int


KINDS = ("late", "wrong", "drift", "camera", "mute", "stop", "reset", "fault", "port", "end")
events = st.lists(
    st.builds(
        Event,
        time=st.floats(0, SECONDS),
        kind=st.sampled_from(KINDS),
        seconds=st.sampled_from([0.02, 0.05, 0.1, 0.3, 0.6]),
        amount=st.sampled_from([-400.0, -60.0, -41.0, -25.0, 25.0, 41.0, 60.0, 400.0, np.nan]),
        index=st.integers(0, 6),
    ),
    max_size=8,
)
situations = given(
    events=events,
    speed=st.lists(st.floats(-25, 25), min_size=7, max_size=7),
    outside=st.lists(st.floats(-9, 9), min_size=7, max_size=7),
    begins_at_limit=st.booleans(),
    command_rate=st.sampled_from([20.0, 50.0]),
    latency=st.sampled_from([0.0, 0.03, 0.2, 0.7]),
    n_action_steps=st.sampled_from([1, 4]),
)


def drive_and_check(events, speed, outside, begins_at_limit, command_rate, latency, n_action_steps):
    clock = FakeClock()
    outside = np.array(outside)
    start = np.where(outside > 0, LIMITS.highest, LIMITS.lowest) + outside if begins_at_limit else HOME
    robot = FaultyRobot(clock, command_rate, start)
    policy = as_policy(lambda image, state: state + np.array(speed) * np.arange(1, 9)[:, None])
    controller = Controller(
        robot, policy, LIMITS, n_action_steps=n_action_steps, clock=clock, executor=FakeExecutor(clock, latency)
    )
    began = clock.now()

    def during(event, change):
        change(True)
        due.append((clock.now() + event.seconds, partial(change, False)))

    def wrong(event, is_wrong):
        robot.wrong_by = np.where(np.arange(7) == event.index, event.amount, 0) if is_wrong else np.zeros(7)

    def drift(event, is_away):
        robot.follows = not is_away
        robot.state = robot.state + np.where(np.arange(7) == event.index, np.nan_to_num(event.amount), 0) * is_away

    def cause(event):
        match event.kind:
            case "late":
                clock.time += event.seconds
            case "wrong":
                during(event, partial(wrong, event))
            case "drift":
                during(event, partial(drift, event))
            case "camera":
                during(event, lambda is_off: setattr(robot, "camera", "off" if is_off else "live"))
            case "mute":
                during(event, lambda is_off: setattr(robot, "state_is_live", not is_off))
            case "fault":
                during(event, lambda is_faulty: setattr(robot, "fault", "hot" if is_faulty else None))
            case "stop":
                controller.emergency_stop("test")
            case "reset":
                controller.reset()
            case "port":
                robot.port_fails = True
            case "end":
                controller.stop("test")

    due = [(began + event.time, partial(cause, event)) for event in events if event.time > 0.2]

    def on_sleep(now):
        for moment, event in [entry for entry in due if entry[0] <= now + 1e-9]:
            due.remove((moment, event))
            event()

    clock.on_sleep = on_sleep
    with suppress(RunFailed):  # the port's failure
        controller.run(duration=SECONDS)
    assert_legal(robot.commands, LIMITS, controller.period, start=start, times=robot.times)
    assert robot.held


@settings(max_examples=300)
@situations
def test_no_command_breaks_a_limit(**situation):
    drive_and_check(**situation)


@pytest.mark.slow
@settings(max_examples=5000)
@situations
def test_no_command_breaks_a_limit_in_thousands_of_situations(**situation):
    drive_and_check(**situation)
