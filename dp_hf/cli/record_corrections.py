"""`dp-hf record-corrections`: a policy acts in the simulator until it fails, and the expert corrects it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.environment_arguments import EnvironmentArguments
from dp_hf.cli.rollout_arguments import EXPERT, RolloutArguments
from dp_hf.errors import UserError
from dp_hf.ranges import Range


@dataclass(kw_only=True)
class RecordCorrections(RolloutArguments, EnvironmentArguments):
    """Record corrections of a policy in the simulator, as episode folders: the expert takes over where it fails.

    A policy has failed when no further stage of the task has happened for --patience seconds. Frames say who acted;
    `dp-hf train --corrections` learns from those of the expert. Goes on where it was cut off. With a real arm, and by
    hand, corrections are recorded by `dp-hf run-policy --record`.
    """

    pipeline: str
    """pipeline folder or Hub repository"""
    output_dir: Path
    """folder of episodes"""
    num_episodes: Annotated[int, Range(1)] = 10
    """corrections that the folder shall hold; those that failed are marked as failed and not counted"""
    layout_seed: Annotated[int, Range()] = 0
    """first layout, numbered as those of demonstrations: give others than the policy has learned from"""
    num_layouts: Annotated[int, Range(1)] = 1000
    """layouts that are tried at most, for a policy that seldom fails"""
    patience: Annotated[float, Range(above=0, high=600)] = 3.0
    """seconds without a further stage of the task, after which the expert takes over"""
    before: Annotated[float, Range(0, 600)] = 2.0
    """seconds before the takeover that are recorded too; nobody learns their actions"""
    noise: Annotated[float, Range(0)] = 0.5
    """standard deviation of the noise on the expert's executed actions, in degrees; the clean action is recorded"""


def main(argv: list[str] | None = None) -> int:
    return run(record, parse(RecordCorrections, argv, "dp-hf record-corrections"))


def record(arguments: RecordCorrections) -> int:
    if arguments.task_file is not None or arguments.task_arguments:
        raise UserError("corrections are recorded in the stacking of cubes: leave --task_file out")
    if arguments.pipeline == EXPERT:
        raise UserError("the expert needs no corrections: give a --pipeline")
    from dp_hf.simulation.correction import Rules, record_corrections

    workers = arguments.workers(writes=[arguments.output_dir])
    task = arguments.task()
    policy = arguments.policy(task, arguments.pipeline)
    report = record_corrections(
        arguments.output_dir,
        policy.make,
        {"policy": policy.digest, **arguments.execution()},
        arguments.num_episodes,
        arguments.layout_seed,
        arguments.num_layouts,
        Rules(arguments.patience, arguments.before, arguments.noise),
        arguments.environment(policy.cameras),
        workers,
    )
    print(f"{arguments.output_dir}: {report}")
    if report.corrected < arguments.num_episodes:
        print(f"fewer than --num_episodes {arguments.num_episodes}: it fails too seldom on --num_layouts")
    return 0
