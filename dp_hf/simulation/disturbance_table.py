"""Rollouts of a policy in each scene of the table of disturbances, kept in a file as they end."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dp_hf.disturbances import TABLE
from dp_hf.simulation.evaluation import Evaluation
from dp_hf.simulation.kept_rollouts import Episode, run_kept
from dp_hf.simulation.recorded_rollouts import RolloutFolder
from dp_hf.simulation.rollouts import RolloutResult
from dp_hf.simulation.stacking import STACKING
from dp_hf.simulation.task import MakePolicy
from dp_hf.workers.workers import HERE, Workers

STRENGTHS = {scene: disturbances.given() for scene, disturbances in TABLE.items()}
"""What is disturbed in each scene, and how much; what rollouts in them depend on."""


def run_table(
    make_policy: MakePolicy,
    scenes: Iterable[str],
    seeds: Sequence[int],
    cameras: Sequence[str],
    file: Path,
    identity: Mapping[str, Any],
    workers: Workers = HERE,
    record: RolloutFolder | None = None,
) -> dict[str, list[RolloutResult]]:
    """Runs an episode for each scene and seed that `file` does not hold yet.

    Args:
        make_policy: as in `run_rollouts`.
        scenes: keys of `TABLE`.
        seeds: of the layouts, the same in every scene.
        cameras: of the environment.
        file: JSON lines, the identity and then a rollout each; goes on where an earlier run ended.
        identity: what the rollouts depend on besides, such as the policy; JSON.
        workers: where they run.
        record: where they are kept as episodes too.

    Returns:
        For each scene that has them all by now, whichever run they are from, the results in the order of the seeds.

    Raises:
        UserError: `file` holds rollouts of another identity, or is damaged.
    """
    identity = {**identity, "cameras": list(cameras), "scenes": STRENGTHS}
    options = {scene: TABLE[scene].options() for scene in scenes}
    done = run_kept(STACKING, {"": (make_policy, cameras)}, options, seeds, file, identity, workers, record=record)
    rows = {scene: [done.get(Episode("", scene, seed)) for seed in seeds] for scene in TABLE}
    return {scene: [result for result in row if result] for scene, row in rows.items() if None not in row}


def format_table(evaluations: Mapping[str, Evaluation]) -> str:
    """A line for each scene: how often the policy succeeded there, with the 95 % interval; and how its alarm served."""
    width = max(map(len, evaluations))
    lines = [f"{scene:<{width}}  {evaluation.success}" for scene, evaluation in evaluations.items()]
    alarms = {scene: evaluation.alarm for scene, evaluation in evaluations.items() if evaluation.alarm is not None}
    lines += ["", "alarm"] if alarms else []
    return "\n".join([*lines, *(f"{scene:<{width}}  {alarm}" for scene, alarm in alarms.items())])
