"""A simulated arm in real time: its environment steps in a thread of its own, whatever the controller does."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from dp_hf.arms.quantities import Quantities
from dp_hf.cameras import as_frame
from dp_hf.control.clock import Grid, MonotonicClock
from dp_hf.control.robot import Frame, Stamped
from dp_hf.errors import UserError, failure

# Seconds that the step under way has to end.
CLOSE_TIMEOUT = 10.0


class SimulatedRobot:
    """A `Robot` around a gymnasium environment with observations `state` (n,) and images, and actions (n,).

    Args:
        make_env: makes the environment; called in the thread that steps it, which rendering is bound to.
        quantities: what the n numbers of its states and actions are.
        seed: of the environment's reset.
        command_rate: commands per second; the environment takes the latest at each of its steps.
        make_expert: makes what acts in the environment when a person takes the arm, for the seed; see
            `dp_hf.simulation.task.MakePolicy`. None where nobody can.
        who: that is, see `Person`.

    Attributes:
        reach_time: a step of the environment, at whose end its arm is where an action says.
        finished: set when the environment's episode has terminated.
        info: the environment's latest.
        person: what acts then.

    Raises:
        UserError: the environment's states or actions are not n numbers.
        Exception: whatever making or resetting the environment raised.
        RunFailed: by the readings, once a step of the environment has raised.
    """

    def __init__(
        self,
        make_env: Callable[[], Any],
        quantities: Quantities,
        seed: int | None = None,
        command_rate: float = 50.0,
        make_expert: Callable[[Any, int], Any] | None = None,
        who: str = "the simulated expert",
    ):
        self.quantities = quantities
        self.command_rate = command_rate
        self.reach_time = 0.0
        self.fault: str | None = None
        self.finished: str | None = None
        self.info: dict[str, Any] = {}
        self.person: SimulatedPerson | None = None
        self._make_env = make_env
        self._make_expert, self._who = make_expert, who
        self._seed = seed
        self._command: np.ndarray | None = None
        self._observation: tuple[Stamped[np.ndarray], Stamped[Frame]] | None = None
        self._closing = threading.Event()
        self._broken: Exception | None = None
        self._ready: Future = Future()
        self._thread = threading.Thread(target=self._live, name="simulator", daemon=True)
        self._thread.start()
        self._ready.result()

    def _live(self) -> None:
        try:
            env = self._make_env()
            self.reach_time = 1 / env.metadata["render_fps"]
            observation, self.info = env.reset(seed=self._seed)
            self._require_width("states", np.shape(observation["state"]))
            self._require_width("actions", env.action_space.shape)
            self._observe(observation)
            if self._make_expert is not None:
                self.person = SimulatedPerson(self._make_expert(env, self._seed or 0), self.reach_time, self._who)
            self._ready.set_result(None)
        except Exception as error:
            self._ready.set_exception(error)
            return
        try:
            self._step(env)
        except Exception as error:
            self._broken, self.fault = error, f"simulator: {error}"
        finally:
            env.close()

    def _require_width(self, what: str, shape: tuple[int, ...] | None) -> None:
        if shape != (len(self.quantities),):
            raise UserError(f"the environment's {what} have the shape {shape}, not one number for {self.quantities}")

    def _step(self, env: Any) -> None:
        clock = MonotonicClock()
        grid = Grid(1 / env.metadata["render_fps"], first=clock.now())
        while not self._closing.is_set():
            grid.advance(clock.now())
            clock.sleep_until(grid.next)
            action = self.read_state().value if self._command is None else self._command
            observation, _, terminated, _, self.info = env.step(action.astype(np.float32))
            self._observe(observation)
            if self.person is not None:
                self.person.look(self._latest()[1], self._latest()[0])
            if terminated:
                self.finished = "the simulated task is done"

    def _observe(self, observation: dict[str, np.ndarray]) -> None:
        images = {name: value for name, value in observation.items() if name != "state"}
        frame, now = as_frame(images), time.monotonic()
        self._observation = Stamped(observation["state"].astype(np.float64), now), Stamped(frame, now)

    def read_state(self) -> Stamped[np.ndarray]:
        return self._latest()[0]

    def read_image(self) -> Stamped[Frame]:
        return self._latest()[1]

    def _latest(self) -> tuple[Stamped[np.ndarray], Stamped[Frame]]:
        if self._broken is not None:
            raise failure("the simulator", self._broken) from self._broken
        assert self._observation is not None, "set before the constructor returns"
        return self._observation

    def send_command(self, command: np.ndarray) -> None:
        self._command = command

    def hold(self) -> None:
        """Nothing to do: the environment stays at the last command."""

    def close(self) -> None:
        self._closing.set()
        self._thread.join(CLOSE_TIMEOUT)


class SimulatedPerson:
    """A `Person` who commands the simulated arm, asked in the environment's thread.

    Args:
        expert: called as a `dp_hf.simulation.task.Policy`; begins, by `reset`, with how things are.
        step: seconds until the arm is to be where an action says.
        who: see `Person`.
    """

    guides = False

    def __init__(self, expert: Any, step: float, who: str):
        self.who = who
        self._expert = expert
        self._step = step
        self._is_wanted = self._has_begun = False
        self._command: Stamped[np.ndarray] | None = None

    def take(self) -> None:
        self._command, self._has_begun, self._is_wanted = None, False, True

    def give_back(self) -> None:
        self._is_wanted = False

    def read_command(self) -> Stamped[np.ndarray] | None:
        return self._command

    def look(self, image: Stamped[Frame], state: Stamped[np.ndarray]) -> None:
        """Chooses the next command; after each of the environment's steps."""
        if not self._is_wanted:
            return
        if not self._has_begun:
            self._expert.reset()
            self._has_begun = True
        action = self._expert(image.value, state.value)
        self._command = Stamped(np.asarray(action, np.float64), state.timestamp + self._step)
