"""Rollouts of one policy or several, in one scene or several, kept in a file as they end."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium

from dp_hf.kept_lines import KeptLines
from dp_hf.simulation.recorded_rollouts import RolloutFolder
from dp_hf.simulation.rollouts import RolloutResult, filmed_rollout, rollout
from dp_hf.simulation.task import MakePolicy, Task
from dp_hf.workers.workers import HERE, Workers


class Episode(NamedTuple):
    """Which rollout: of the policy and the scene of these names, on the layout of a seed."""

    policy: str
    scene: str
    seed: int


Done = dict[Episode, RolloutResult]
Policies = Mapping[str, tuple[MakePolicy, Sequence[str]]]


def run_kept(
    task: Task,
    policies: Policies,
    scenes: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    file: Path,
    identity: Mapping[str, Any],
    workers: Workers = HERE,
    enough: Callable[[Done], bool] = lambda done: False,
    num_videos: int = 0,
    record: RolloutFolder | None = None,
) -> Done:
    """Runs an episode for each scene, seed and policy, in this order, that `file` does not hold yet.

    Args:
        policies: by name, as in `run_rollouts`, and the cameras of the environment.
        scenes: by name, options of the task's environment.
        seeds: of the layouts, the same for every policy and scene.
        file: JSON lines, the identity and then a rollout each; goes on where an earlier run ended.
        identity: what the rollouts depend on; JSON.
        workers: where they run.
        enough: whether to run no more; asked before the first and after each.
        num_videos: how many of the first seeds keep their frames. The file does not hold these, so they run again where
            it goes on.
        record: where rollouts are kept as episodes too, of one policy; those that are not there run again.

    Returns:
        All rollouts of the file by now, whichever run they are from.

    Raises:
        UserError: `file` holds rollouts of another identity, or is damaged.
    """
    with KeptLines(file, identity, "rollouts") as kept:
        try:
            done = dict(map(_from_record, kept.records))
            if len({tuple(result.stages) for result in done.values()}) > 1:
                raise ValueError("rollouts of different stages")
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise kept.damaged(error) from error
        wanted = (Episode(policy, scene, seed) for scene in scenes for seed in seeds for policy in policies)
        filmed = {*seeds[:num_videos]}

        def is_there(episode: Episode) -> bool:
            is_recorded = record is None or record.episode(episode.scene, episode.seed).is_dir()
            return episode in done and episode.seed not in filmed and is_recorded

        missing = [episode for episode in wanted if not is_there(episode)]
        if enough(done):
            return done
        setup = partial(_KeptRollouts, task, policies, scenes, filmed, record)
        with closing(workers.as_finished(setup, missing, "evaluating")) as results:
            for episode, result in results:
                done[episode] = result
                kept.append(_to_record(episode, result))
                if enough(done):
                    break
    return done


def _to_record(episode: Episode, result: RolloutResult) -> dict[str, Any]:
    numbers = {name: value for name, value in vars(result).items() if name != "frames"}
    return {"policy": episode.policy, "scene": episode.scene, **numbers}


def _from_record(record: Mapping[str, Any]) -> tuple[Episode, RolloutResult]:
    of_result = {name: value for name, value in record.items() if name not in ("policy", "scene")}
    result = RolloutResult(**of_result)
    if not result.stages or not all(type(reached) is bool for reached in result.stages.values()):
        raise ValueError(f"a rollout on layout {result.seed} with {result.stages}")
    # Files from before there were several policies name none.
    return Episode(record.get("policy", ""), record["scene"], record["seed"]), result


class _KeptRollouts:
    """One process' share: an environment for each policy, for as long as the scene is the same."""

    def __init__(
        self,
        task: Task,
        policies: Policies,
        scenes: Mapping[str, Mapping[str, Any]],
        filmed: set[int],
        record: RolloutFolder | None,
    ):
        self.task, self.policies, self.scenes, self.filmed, self.record = task, policies, scenes, filmed, record
        self.scene: str | None = None
        self.environments: dict[str, gymnasium.Env] = {}

    def __call__(self, episode: Episode) -> RolloutResult:
        if episode.scene != self.scene:
            while self.environments:
                self.environments.popitem()[1].close()
            self.scene = episode.scene
        make_policy, cameras = self.policies[episode.policy]
        if episode.policy not in self.environments:
            options = {"cameras": list(cameras), **self.scenes[episode.scene]}
            self.environments[episode.policy] = self.task.make_environment(**options)
        env = self.environments[episode.policy]
        run = filmed_rollout if episode.seed in self.filmed else rollout
        policy = make_policy(env, episode.seed)
        if self.record is None:
            return run(env, policy, episode.seed)
        return self.record.record(run, env, policy, episode.scene, episode.seed)
