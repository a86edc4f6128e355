"""Replays the recorded actions of a task's demonstrations open loop, from the layouts that they were recorded on."""

from functools import partial
from pathlib import Path

from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.errors import UserError
from dp_hf.files import user_path
from dp_hf.simulation.replay import RecordedActions
from dp_hf.simulation.rollouts import RolloutResult, rollout
from dp_hf.simulation.task import Task
from dp_hf.tasks.recording import is_recorded_from, recorded_actions
from dp_hf.workers.workers import HERE, Workers


def replay_dataset(
    task: Task, data_dir: str | Path, max_episodes: int | None = None, workers: Workers = HERE
) -> list[RolloutResult]:
    """Executes the actions of a task's demonstrations again, without looking at images or states.

    Args:
        task: by which they were recorded.
        data_dir: the dataset that `record_dataset` wrote.
        max_episodes: the first of them only.
        workers: where they run.

    Raises:
        UserError: it is no such dataset, or of another task.
    """
    meta = DatasetMeta.load(folder := user_path(data_dir))
    if not is_recorded_from(meta, task) or meta.action != task.action or meta.fps != task.fps:
        raise UserError(
            f"{folder} was recorded in {meta.source or 'another way'}: its name, actions or rate are not those of "
            f"{task.name}"
        )
    episodes = [*recorded_actions(folder)][:max_episodes]
    return workers.map(partial(_Replay, task), episodes, "replay")


class _Replay:
    """One process' share."""

    def __init__(self, task: Task):
        self.env = task.make_environment(cameras=task.cameras)

    def __call__(self, episode: tuple) -> RolloutResult:
        seed, actions = episode
        return rollout(self.env, RecordedActions(actions), seed)
