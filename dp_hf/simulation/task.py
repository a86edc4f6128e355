"""`Task`: what rollouts, recording and evaluation must know of what is to be done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np

from dp_hf.arms.matching import require_same
from dp_hf.arms.quantities import Quantities
from dp_hf.cameras import ONLY_CAMERA
from dp_hf.errors import UserError
from dp_hf.pipelines.execution import is_rate

NOISE_CORRELATION = 0.8


class Policy(Protocol):
    """What acts: an `ActionChunker`, an expert, `RecordedActions`."""

    def reset(self) -> None:
        """Called when an episode has begun."""

    def __call__(self, image: Any, state: np.ndarray) -> np.ndarray:
        """The next action (n,); `image` is an array (H, W, 3), a dict of them for several cameras, or None."""


MakePolicy = Callable[[gymnasium.Env, int], Policy]
"""Makes what acts in an environment, for the episode of a seed."""


@dataclass(frozen=True)
class Task:
    """A task in a simulator. Functions are those of modules, or `functools.partial` of them, so that processes get it.

    Args:
        name: such as "cube_stacking".
        state, action: what the numbers of the environment's states and actions are.
        cameras: those that are taken where nobody chooses.
        fps: steps a second.
        make_environment: takes `cameras=` and the task's own options. The environment's observations are a dict of
            `state` (n,) and a picture, uint8 (H, W, 3), for each camera (`image` for the only one); `reset(seed=...)`
            chooses the layout; its attribute `stages` is a dict of what has happened since the reset, in order, of
            which the last is the success; `metadata["render_fps"]` is `fps`.
        noise: standard deviations of what is added to the expert's executed actions in demonstrations, one for each
            number of an action.
        make_expert: makes the scripted expert of an environment, for a seed; None where there is none.
        origin: tells this task from another of its name, such as a digest of its file.
    """

    name: str
    state: Quantities
    action: Quantities
    cameras: tuple[str, ...]
    fps: float
    make_environment: Callable[..., gymnasium.Env]
    make_expert: MakePolicy | None = None
    noise: tuple[float, ...] = ()
    origin: str = ""

    def cameras_of(self, camera_names: Sequence[str]) -> tuple[str, ...]:
        """The environment's cameras whose images go by `camera_names`, a policy's.

        Raises:
            UserError: the policy's only camera is called `image`, and the task has several.
        """
        if tuple(camera_names) != (ONLY_CAMERA,):
            return tuple(camera_names)
        if len(self.cameras) != 1:
            raise UserError(
                f"the policy has one camera, and {self.name} has {', '.join(self.cameras)}: say by --camera_names which"
            )
        return self.cameras

    def require_fitting(self, config: Any, policy_name: str) -> None:
        """Refuses a policy that is not for this task.

        Args:
            config: the policy's.
            policy_name: how the user calls it.

        Raises:
            UserError: other names, units or widths of states and actions, or a rate that the task cannot keep.
        """
        require_same(config, self.state, policy_name, f"the task {self.name}", self.action)
        control_steps(config, self.fps)


def next_noise(last: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """The noise of a demonstration's next step, an autoregressive process of deviation 1.

    Args:
        last: (n,) of the step before.
        fresh: (n,) drawn from the standard normal distribution.
    """
    return NOISE_CORRELATION * last + np.sqrt(1 - NOISE_CORRELATION**2) * fresh


def control_steps(config: Any, fps: float) -> int:
    """Steps of an environment of `fps` steps a second that an action of the policy lasts.

    Raises:
        UserError: the policy acts more often than the environment, or at moments between its steps.
    """
    steps = round(fps / config.fps)
    if steps < 1 or not is_rate(config.fps, fps / steps):
        raise UserError(
            f"the policy acts {config.fps:g} times a second, and the simulator moves {fps:g} times: train it at a "
            f"rate that divides {fps:g}, by --frame_skip"
        )
    return steps
