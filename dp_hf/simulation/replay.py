"""Replays recorded actions open loop from the layouts that they were recorded on."""

from pathlib import Path

import numpy as np

from dp_hf.episodes.find import find_demonstrations
from dp_hf.episodes.reader import read_episode
from dp_hf.errors import UserError
from dp_hf.simulation.recording import Origin
from dp_hf.simulation.rollouts import RolloutResult, rollout
from dp_hf.simulation.stacking import make_environment
from dp_hf.workers.workers import HERE, Workers


def replay_episodes(
    data_dir: str | Path, max_episodes: int | None = None, workers: Workers = HERE
) -> list[RolloutResult]:
    """Executes the actions of simulated episodes again, without looking at images or states.

    Args:
        data_dir: folder of episodes; those marked as failed are passed over.
        max_episodes: the first of them only.
        workers: where they run.

    Raises:
        UserError: there is no episode, or one was not recorded in the simulator.
    """
    episodes = find_demonstrations(data_dir)[:max_episodes]
    if not episodes:
        raise UserError(f"{data_dir} holds no episode to replay")
    return workers.map(_make_replay, episodes, "replay")


class RecordedActions:
    """A policy that plays recorded actions (frames, 7) open loop and stays at the last one."""

    def __init__(self, actions: np.ndarray):
        self.actions = actions
        self.reset()

    def reset(self) -> None:
        self.step = 0

    def __call__(self, image=None, state=None) -> np.ndarray:
        action = self.actions[min(self.step, len(self.actions) - 1)]
        self.step += 1
        return action


def replay(episode: Path) -> RolloutResult:
    """Replays one episode."""
    origin, actions = Origin.read(episode), read_episode(episode).actions
    if actions is None:
        raise UserError(f"{episode} has no recorded actions to replay")
    env = make_environment(**{**origin.settings.environment, "cameras": ()})
    return rollout(env, RecordedActions(actions), origin.seed)


def _make_replay():
    return replay
