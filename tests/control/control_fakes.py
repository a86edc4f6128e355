"""A clock, an executor and an arm that live in simulated time, so that minutes of control take milliseconds."""

from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.control.controller import Controller
from dp_hf.control.robot import Stamped

HOME = np.array([0, 0, 0, 0, 0, 0, 50], dtype=np.float64)


class FakeClock:
    """Time passes when somebody sleeps; what is due meanwhile happens."""

    def __init__(self):
        self.time = 100.0
        self.on_sleep = lambda moment: None

    def now(self) -> float:
        return self.time

    def sleep_until(self, moment: float) -> None:
        self.time = max(self.time, moment)
        self.on_sleep(self.time)


class FakeExecutor:
    """Runs a call at once, and lets its result be seen `latency` seconds later."""

    def __init__(self, clock: FakeClock, latency: float = 0.03):
        self.clock = clock
        self.latency = latency

    def submit(self, function, *args) -> Future:
        clock, visible_at = self.clock, self.clock.now() + self.latency

        class Delayed(Future):
            def done(self) -> bool:
                return clock.now() >= visible_at - 1e-9

        future = Delayed()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, cancel_futures: bool = False) -> None:
        pass


class FakeRobot:
    """An arm that is where it is told to be, with a camera of noise; either can be made to stop reporting."""

    quantities = MYCOBOT_280.quantities
    fault: str | None = None
    finished: str | None = None

    def __init__(self, clock: FakeClock, command_rate: float = 50.0, state=HOME):
        self.clock = clock
        self.command_rate = command_rate
        self.state = np.asarray(state, dtype=np.float64)
        self.commands: list[np.ndarray] = []
        self.times: list[float] = []
        self.held = False
        self.follows = True
        self.state_is_live = True
        self.camera = "live"
        self.random = np.random.default_rng(0)
        self._state = self._image = None

    def read_state(self) -> Stamped | None:
        if self.state_is_live:
            self._state = Stamped(self.state.copy(), self.clock.now())
        return self._state

    def read_image(self) -> Stamped | None:
        if self.camera == "live":
            self._image = Stamped(self.random.integers(0, 255, (4, 6, 3), dtype=np.uint8), self.clock.now())
        elif self.camera == "frozen" and self._image is not None:
            self._image = Stamped(self._image.value, self.clock.now())
        return self._image

    def send_command(self, command: np.ndarray) -> None:
        self.commands.append(command)
        self.times.append(self.clock.now())
        if self.follows:
            self.state = command.copy()

    def hold(self) -> None:
        self.held = True

    def close(self) -> None:
        pass


def as_policy(function):
    """A policy in the pipeline's manner from `function(image, state) -> (horizon, 7)`, of the latest observation."""

    def policy(image, state):
        return SimpleNamespace(actions=np.asarray(function(image[0][-1], state[0, -1]), dtype=np.float32)[None])

    return policy


def assert_legal(commands, limits, period: float, start=HOME, times=None) -> None:
    """Every command is finite and keeps the limits of position, velocity and acceleration, from rest at `start`.

    A `start` that is outside a position limit is only left inwards.
    With `times` (n,), when they came, the speed may fall to rest where the computer had stalled for several periods.
    """
    positions = np.vstack([start, start, *commands])
    velocity = np.diff(positions, axis=0) / period
    acceleration = np.diff(velocity, axis=0) / period
    if times is not None:
        stalled = np.r_[False, False, np.diff(times) > 4.5 * period]
        acceleration = acceleration[~(stalled[1:] | stalled[:-1])[: len(acceleration)]]
    assert np.isfinite(positions).all()
    assert (positions[1:] >= np.minimum(limits.lowest, positions[:-1])).all()
    assert (positions[1:] <= np.maximum(limits.highest, positions[:-1])).all()
    assert (np.abs(velocity) <= limits.velocity * (1 + 1e-9)).all()
    assert (np.abs(acceleration) <= limits.acceleration * (1 + 1e-6)).all()


def assert_each_part_legal(ticks, limits, period: float) -> None:
    """`assert_legal` for every stretch in which commands are sent; between them a person guides the arm.

    Wherever it was brought, it begins from rest there.
    """
    begin = 0
    for first in [*np.flatnonzero(np.diff([tick.command is None for tick in ticks])) + 1, len(ticks)]:
        part = ticks[begin:first]
        if part[0].command is not None:
            at_rest = part[0].command if part[0].state is None else part[0].state.value
            start = HOME if begin == 0 else at_rest
            commands, times = [tick.command for tick in part], [tick.time for tick in part]
            assert_legal(commands, limits, period, start=start, times=times)
        begin = first


HAPPENINGS = {
    "toggle": Controller.toggle_person,
    "stop": lambda controller: controller.emergency_stop("test"),
    "reset": Controller.reset,
    "mute": lambda controller: setattr(controller.robot, "state_is_live", not controller.robot.state_is_live),
    "late": lambda controller: setattr(controller.clock, "time", controller.clock.time + 0.3),
}


def happenings(until: float, at_most: int):
    """A strategy of up to so many (time, name of `HAPPENINGS`)."""
    return st.lists(st.tuples(st.floats(0.1, until), st.sampled_from([*HAPPENINGS])), max_size=at_most)


def at_time(controller, events, meanwhile=lambda: None) -> None:
    """Calls each event once, so many seconds after now, and `meanwhile` whenever somebody sleeps.

    Args:
        events: from seconds to what is called, or pairs of them.
    """
    pairs = events.items() if isinstance(events, dict) else events
    due = sorted(((controller.clock.now() + after, event) for after, event in pairs), key=lambda entry: entry[0])

    def on_sleep(moment):
        meanwhile()
        while due and moment >= due[0][0] - 1e-9:
            due.pop(0)[1]()

    controller.clock.on_sleep = on_sleep
