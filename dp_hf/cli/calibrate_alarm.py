"""`dp-hf calibrate-alarm`: measure what a policy's scores are in runs that succeed, so that others raise an alarm."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.environment_arguments import EnvironmentArguments
from dp_hf.cli.rollout_arguments import RolloutArguments
from dp_hf.errors import UserError
from dp_hf.files import locked
from dp_hf.ranges import Range

if TYPE_CHECKING:
    from dp_hf.alarm.limits import AlarmLimits
    from dp_hf.alarm.record import RunRecord


UNITS = {"plan": "(half ranges of the actions)", "time": "(actions of the policy)"}


@dataclass(kw_only=True)
class CalibrateAlarm(RolloutArguments, EnvironmentArguments):
    """Measure a pipeline's scores in runs that succeed, and keep the limits in its folder.

    `evaluate` and `run-policy` then say when the policy does not know what it does. The runs are simulated, in the
    scene that the options of a disturbed scene describe: what is to be no reason for an alarm belongs into them.
    """

    pipeline: tyro.conf.Positional[Path]
    """pipeline folder; its folder `alarm` is written, or replaced"""
    data_dir: str
    """what the policy was trained on: dataset, folder of episodes, or dataset id on the Hub"""
    recordings: Path | None = None
    """folder of runs that succeeded, of `run-policy --record` for one, in place of the simulator"""
    false_alarms: Annotated[float, Range(above=0, below=0.5)] = 0.05
    """share of the runs that succeed, in the scene that they are measured in, in which there may be an alarm"""


def main(argv: list[str] | None = None) -> int:
    return run(calibrate_alarm, parse(CalibrateAlarm, argv, "dp-hf calibrate-alarm"))


def calibrate_alarm(arguments: CalibrateAlarm) -> None:
    from dp_hf.alarm.limits import FOLDER

    if not arguments.pipeline.is_dir():
        raise UserError(f"{arguments.pipeline}: no such folder, and the limits are kept in the pipeline's own")
    with locked(arguments.pipeline):
        limits = _measure(arguments)
        limits.write(arguments.pipeline)
    for name, limit in limits.limits.items():
        print(f"{name:<8} usually up to {limits.usual[name]:.2f}, strange above {limit:.2f} {UNITS[name]}")
    print(f"limits: {arguments.pipeline / FOLDER}")


def _measure(arguments: CalibrateAlarm) -> "AlarmLimits":
    from dp_hf.alarm.calibration import calibrated, without_limits
    from dp_hf.alarm.conformal import require_enough
    from dp_hf.models.onnx_policy import OnnxPolicy
    from dp_hf.pipelines.execution import choose_execution
    from dp_hf.pipelines.loading import load_pipeline
    from dp_hf.pipelines.weights import digest_weights
    from dp_hf.training.alarm_data import reference_of, score_recordings

    pipeline = load_pipeline(str(arguments.pipeline), arguments.device, arguments.bf16_encoder)
    if isinstance(pipeline.policy, OnnxPolicy):
        raise UserError(
            f"{arguments.pipeline} is exported: measure the pipeline that it was made from, and export that"
        )
    execution = choose_execution(pipeline.policy.config, arguments.n_action_steps, arguments.temporal_ensemble)
    scored = without_limits(reference_of(pipeline, arguments.data_dir), *execution[:2])
    if arguments.recordings is None:
        require_enough(arguments.num_episodes, arguments.false_alarms / 2)
        runs = _simulated(arguments, scored)
    else:
        if given := [*arguments.rollout_options_given(), *arguments.given()]:
            raise UserError(f"--recordings are not simulated: leave --{' and --'.join(given)} out")
        runs = [(True, each) for each in score_recordings(pipeline, scored, arguments.recordings)]
    successes = [record for success, record in runs if success]
    print(f"{len(successes)} of {len(runs)} runs succeeded")
    return calibrated(scored, successes, len(runs), arguments.false_alarms, digest_weights(arguments.pipeline))


def _simulated(arguments: CalibrateAlarm, scored: "AlarmLimits") -> "list[tuple[bool, RunRecord]]":
    """Whether each run succeeded, and its scores."""
    from dp_hf.alarm.record import RunRecord
    from dp_hf.simulation.layouts import CALIBRATION, layout_seeds
    from dp_hf.simulation.rollouts import run_rollouts

    arguments.require_own_scene()
    task = arguments.task()
    policy = arguments.policy(task, str(arguments.pipeline), scored)
    results = run_rollouts(
        task,
        policy.make,
        layout_seeds(CALIBRATION, arguments.layout_seed, arguments.num_episodes),
        {"cameras": policy.cameras} if arguments.task_file is not None else arguments.environment(policy.cameras),
        arguments.workers(),
        description="calibrating",
    )
    return [(result.success, RunRecord(**result.alarm)) for result in results if result.alarm is not None]
