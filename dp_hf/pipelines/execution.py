"""How a policy is executed step by step: how often, what it observes, and which of its actions are carried out.

Free of torch, so that an arm's own computer decides as the simulator does.
"""

from collections import deque
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from dp_hf.errors import UserError
from dp_hf.models.policy_config import require_executable

RATE_TOLERANCE = 0.05

Observation = TypeVar("Observation")


class Execution(NamedTuple):
    """What is done with predicted chunks.

    Attributes:
        n_action_steps: actions from one prediction to the next.
        temporal_ensemble: the `weights` of a chunk among those before it; None executes each chunk alone.
        max_prefix: actions at most that the policy is told as committed, where chunks come late; 0 in lockstep.
    """

    n_action_steps: int
    temporal_ensemble: float | None = None
    max_prefix: int = 0


def choose_execution(
    config: Any, n_action_steps: int | None = None, temporal_ensemble: float | None = None
) -> Execution:
    """How a policy's chunks are executed.

    What the caller asks for wins over the policy; of the policy's own two, `temporal_ensemble` wins.

    Args:
        config: has the policy's `horizon`, `n_action_steps` and `temporal_ensemble`.
        n_action_steps: executes so many actions of each chunk.
        temporal_ensemble: predicts at every step and averages.

    Raises:
        UserError: `n_action_steps` is not 1 to horizon, `temporal_ensemble` is no usable number, or both are given.
    """
    if n_action_steps is not None and temporal_ensemble is not None:
        raise UserError("n_action_steps executes a chunk alone, temporal_ensemble averages it with others: give one")
    if n_action_steps is None and temporal_ensemble is None:
        n_action_steps, temporal_ensemble = config.n_action_steps, config.temporal_ensemble
    if temporal_ensemble is not None:
        n_action_steps = 1
    assert n_action_steps is not None
    require_executable(config.horizon, n_action_steps, temporal_ensemble)
    return Execution(n_action_steps, temporal_ensemble)


def choose_rate(config: Any, rate: float | None = None) -> tuple[float, str]:
    """Actions a second, and a line that says so: whoever drives an arm prints it.

    They are the policy's own `fps` (of its recordings, over the frames skipped), unless others are asked for: the arm
    then moves faster or slower than was shown.
    """
    chosen = config.fps if rate is None else rate
    whose = "the policy's own rate" if chosen == config.fps else f"as asked for; the policy learned {config.fps:g}"
    return chosen, f"{chosen:g} actions a second, {whose}"


def is_rate(rate: float, expected: float) -> bool:
    """Whether a rate is another one but for the unevenness of the time stamps that it was taken from."""
    return abs(rate / expected - 1) <= RATE_TOLERANCE


def ensemble_weights(num_chunks: int, temporal_ensemble: float) -> np.ndarray:
    """Weights (num_chunks,) of chunks that hold actions for one moment, the oldest chunk first.

    Chunk i weighs exp(-temporal_ensemble * i) (Zhao et al. 2023, arXiv:2304.13705, where the number is 0.01).
    """
    return np.exp(-temporal_ensemble * np.arange(num_chunks))


class ObservationHistory(Generic[Observation]):
    """The last `n_obs_steps` observations; before there are so many, the first stands for those that are missing."""

    def __init__(self, n_obs_steps: int):
        self.n_obs_steps = n_obs_steps
        self._observations: deque[Observation] = deque(maxlen=n_obs_steps)

    def add(self, observation: Observation) -> None:
        copies = 1 if self._observations else self.n_obs_steps
        self._observations.extend([observation] * copies)

    def clear(self) -> None:
        """Forgets them all; call it between episodes."""
        self._observations.clear()

    def observations(self) -> list[Observation]:
        """`n_obs_steps` of them, the latest last."""
        return list(self._observations)


def observation_rows(rows: np.ndarray, episode_index: np.ndarray, n_obs_steps: int) -> np.ndarray:
    """Which rows of a dataset a policy observes at each of `rows`: the history of `ObservationHistory`, recorded.

    Args:
        rows: (N,) the current rows.
        episode_index: of every row of the dataset; an episode's rows are next to each other.

    Returns:
        (N, n_obs_steps), the latest last, none from another episode.
    """
    return history_rows(rows, episode_starts(episode_index), n_obs_steps)


def episode_starts(episode_index: np.ndarray) -> np.ndarray:
    """The first row of every episode of a dataset, whose rows are next to each other."""
    return np.flatnonzero(np.diff(episode_index, prepend=episode_index[:1] - 1))


def history_rows(rows: np.ndarray, starts: np.ndarray, n_obs_steps: int) -> np.ndarray:
    """As `observation_rows`, with the `episode_starts`."""
    first = starts[np.searchsorted(starts, rows, side="right") - 1]
    return np.maximum(rows[:, None] + np.arange(1 - n_obs_steps, 1), first[:, None])


def predict_chunk(
    policy: Any, observations: list[tuple[Any, np.ndarray | None]], action_dim: int, **options: Any
) -> np.ndarray:
    """Asks a policy for the actions that follow a history of observations.

    Args:
        policy: a pipeline, or what is called like one.
        observations: (image, state) each, as `ObservationHistory` holds them; an image is what `policy` takes for a
            frame, a state (state_dim,) or None.
        action_dim: numbers of an action.
        options: further arguments of the policy.

    Returns:
        its actions (1, horizon, action_dim).

    Raises:
        UserError: it gives something else.
    """
    images, states = zip(*observations, strict=True)
    state = None if states[-1] is None else np.stack(states)[None]
    output = policy([list(images)], state=state, **options)
    if not hasattr(output, "actions"):
        raise UserError(
            f"the policy gives {describe(output)}, and not, as a pipeline does, an object whose `actions` are "
            f"(1, horizon, {action_dim})"
        )
    actions = as_numbers(output.actions)
    if actions is None:
        raise UserError(f"the policy's actions are {describe(output.actions)}, not numbers (1, horizon, {action_dim})")
    if actions.ndim != 3 or len(actions) != 1 or actions.shape[1] == 0 or actions.shape[2] != action_dim:
        raise UserError(f"the policy's actions are {actions.shape}, not (1, horizon, {action_dim})")
    return actions


def as_numbers(value: Any) -> np.ndarray | None:
    """Its numbers as an array; None where it has others, or none."""
    try:
        array = np.asarray(value)
    except Exception:  # of whatever it is: rows of different lengths, a tensor that is not on the CPU
        return None
    return array if array.dtype.kind in "fiu" else None


def describe(value: Any) -> str:
    """What somebody's code has given, for a message: its type, and its shape if it has one."""
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" + (f" of {tuple(shape)}" if isinstance(shape, tuple) else "")
