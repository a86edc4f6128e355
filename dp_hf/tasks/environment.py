"""`TaskEnvironment`: a described task as rollouts and recording take it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np

from dp_hf.cameras import camera_columns
from dp_hf.errors import RunFailed, UserError, failure
from dp_hf.simulation.task import next_noise
from dp_hf.tasks.observed import ObservedEnvironment, TaskError
from dp_hf.tasks.worker import WorkerEnvironment


class TaskEnvironment(gymnasium.Env):
    """Observations are a dict of `state` (n,) float32 and a picture, uint8 (H, W, 3), for each camera (`image` for the
    only one); actions are as the environment takes them.

    Args:
        task: as in `ObservedEnvironment`.
        cameras: of the task's, those that are taken.
        python: the interpreter that runs the environment; None is this one.

    Attributes:
        stages: what has happened since the reset; the last one is the success.

    Raises:
        UserError: what the task file says does not fit the environment; by every method.
        RunFailed: the environment raised; by every method.
    """

    def __init__(self, task: Mapping[str, Any], cameras: Sequence[str], python: str | None = None):
        known = task["cameras"]
        if unknown := [name for name in cameras if name not in known]:
            raise UserError(f"no camera {', '.join(unknown)}: {task['file']} has {', '.join(known)}")
        self._file = task["file"]
        self._columns = camera_columns({name: name for name in cameras})
        task = {**task, "cameras": {name: known[name] for name in cameras}}
        self.metadata = {"render_modes": [], "render_fps": task["fps"]}
        self.action_space = gymnasium.spaces.Box(-np.inf, np.inf, (len(task["action_names"]),), np.float32)
        self.stages = dict.fromkeys(task["stages"], False)
        self._observed: ObservedEnvironment | WorkerEnvironment
        with self._in_words():
            self._observed = ObservedEnvironment(task) if python is None else WorkerEnvironment(python, task)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        with self._in_words():
            observation = self._observed.reset(seed)
        self.stages = dict.fromkeys(self.stages, False)
        return self._renamed(observation), {}

    def step(self, action: np.ndarray):
        with self._in_words():
            observation, reward, terminated, truncated, self.stages = self._observed.step(
                np.asarray(action, np.float64)
            )
        return self._renamed(observation), reward, terminated, truncated, {}

    def expert_action(self) -> np.ndarray:
        """What the task's scripted expert would do now, (n,)."""
        with self._in_words():
            return self._observed.expert_action()

    def close(self) -> None:
        self._observed.close()

    def _renamed(self, observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        pictures = {column: observation[camera] for camera, column in self._columns.items()}
        return {"state": observation["state"], **pictures}

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except TaskError as error:
            raise UserError(str(error)) from error
        except (UserError, RunFailed):
            raise
        except Exception as error:  # whatever the environment raises
            raise failure(f"{self._file}: the environment", error) from error


class TaskExpert:
    """The scripted expert of a task, which looks at the environment, and the noise of its demonstrations.

    Args:
        env: the environment.
        noise: (n,) standard deviations of what is added to the executed actions, in their units.
        seed: of the noise.
    """

    def __init__(self, env: gymnasium.Env, noise: Sequence[float] = (), seed: int = 0):
        self.env = env
        self.noise = np.array(noise, np.float32)
        self.seed = seed
        self.reset()

    def reset(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._drawn = self._rng.standard_normal(len(self.noise))

    def __call__(self, image: Any = None, state: np.ndarray | None = None) -> np.ndarray:
        """The next action (n,)."""
        return self.env.get_wrapper_attr("expert_action")()

    def add_noise(self, action: np.ndarray) -> np.ndarray:
        """The action to execute in place of the clean one, which is recorded (Laskey et al. 2017, arXiv:1703.09327)."""
        if not self.noise.any():
            return action
        self._drawn = next_noise(self._drawn, self._rng.standard_normal(len(self.noise)))
        return (action + self.noise * self._drawn).astype(np.float32)
