"""The simulated arm, its camera and a late policy in simulated time, which no other work on the machine disturbs."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from dp_hf.cameras import as_frame
from dp_hf.control.robot import Frame, Stamped
from dp_hf.simulation.environment import CONTROL_HZ, HOME, CubeStackingEnv

COMMAND_RATE = 50  # commands a second, and steps of the physics' control
EPSILON = 1e-6  # seconds, less than which are rounding


class SimulatedClock:
    """A `Clock` whose time passes when somebody sleeps; `on_sleep` makes happen what is due until then."""

    def __init__(self) -> None:
        self.time = 0.0
        self.on_sleep: Callable[[float], None] = lambda moment: None

    def now(self) -> float:
        return self.time

    def sleep_until(self, moment: float) -> None:
        self.time = max(self.time, moment)
        self.on_sleep(self.time)


class LateExecutor(Executor):
    """Runs a call at once, and shows its result `latency()` seconds later."""

    def __init__(self, clock: SimulatedClock, latency: Callable[[], float]):
        self.clock, self.latency = clock, latency

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future = _LateFuture(self.clock, self.clock.now() + self.latency())
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _LateFuture(Future):
    def __init__(self, clock: SimulatedClock, visible_at: float):
        super().__init__()
        self.clock, self.visible_at = clock, visible_at

    def done(self) -> bool:
        return self.clock.now() >= self.visible_at - EPSILON


class SteppedRobot:
    """A `Robot` around the stacking environment that moves as its clock does.

    The arm goes from command to command in a command's period. Images are rendered when the camera takes them.

    Args:
        env: steps `COMMAND_RATE` times a second, without cameras.
        clock: the robot's own time.
        seed: of the layout.
        cameras: of the scene, those that the policy sees.
        camera_rate: pictures a second.
        image_age: seconds from a picture to its arrival.
        reach_time: see `control.robot.Robot`.

    Attributes:
        times, commands: what was sent, and when.
    """

    quantities = CubeStackingEnv.arm.quantities
    command_rate = float(COMMAND_RATE)
    fault: str | None = None
    finished: str | None = None

    def __init__(
        self,
        env: CubeStackingEnv,
        clock: SimulatedClock,
        seed: int,
        cameras: tuple[str, ...] = ("front",),
        camera_rate: float = 10.0,
        image_age: float = 0.0,
        reach_time: float = 1 / CONTROL_HZ,
    ):
        self.env, self.clock, self.cameras = env, clock, cameras
        self.camera_period, self.image_age, self.reach_time = 1 / camera_rate, image_age, reach_time
        self.times: list[float] = []
        self.commands: list[np.ndarray] = []
        env.reset(seed=seed)
        self._command = np.array(HOME)
        self._time = self._next_image = clock.now()
        self._on_their_way: deque[Stamped[Frame]] = deque()
        self._image: Stamped[Frame] | None = None
        clock.on_sleep = self.advance
        self.advance(clock.now())

    def advance(self, moment: float) -> None:
        """Moves the arm and takes pictures until `moment`."""
        self._take_picture()
        while self._time + 1 / COMMAND_RATE <= moment + EPSILON:
            _, _, stacked, _, _ = self.env.step(self._command)
            self._time += 1 / COMMAND_RATE
            self._take_picture()
            if stacked:
                self.finished = self.finished or "the simulated task is done"

    def _take_picture(self) -> None:
        if self._time < self._next_image - EPSILON:
            return
        self._next_image += self.camera_period
        frame = as_frame({camera: self.env.picture(camera) for camera in self.cameras})
        self._on_their_way.append(Stamped(frame, self._time + self.image_age))

    def read_state(self) -> Stamped[np.ndarray]:
        return Stamped(self.env.state().astype(np.float64), self.clock.now())

    def read_image(self) -> Stamped[Frame] | None:
        while self._on_their_way and self._on_their_way[0].timestamp <= self.clock.now() + EPSILON:
            self._image = self._on_their_way.popleft()
        return self._image

    def send_command(self, command: np.ndarray) -> None:
        self.times.append(self.clock.now())
        self.commands.append(command)
        self._command = command

    def hold(self) -> None:
        """Nothing to do: the arm stays at the last command."""

    def close(self) -> None:
        """The environment is its maker's."""
