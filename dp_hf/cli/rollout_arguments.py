"""The arguments of commands that run policies in closed loop in a simulator, and what they make of them."""

from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from dp_hf.cli.given import options_given
from dp_hf.cli.task_arguments import TaskArguments
from dp_hf.cli.worker_arguments import WorkerArguments
from dp_hf.errors import UserError
from dp_hf.ranges import Range

if TYPE_CHECKING:
    from dp_hf.alarm.limits import AlarmLimits
    from dp_hf.simulation.task import MakePolicy, Task

EXPERT = "expert"
_EXECUTION = ("n_action_steps", "temporal_ensemble", "num_inference_steps", "bf16_encoder", "device")


@dataclass(kw_only=True)
class RolloutArguments(TaskArguments, WorkerArguments):
    """Which layouts, and how a pipeline acts on them."""

    num_episodes: Annotated[int, Range(1)] = 100
    """layouts, each of them a rollout of a policy"""
    layout_seed: Annotated[int, Range()] = 0
    """first layout; the simulator's seed is 2^30 plus this, so it is none of a demonstration"""
    camera_names: tuple[str, ...] | None = None
    """of front, side, wrist, or the task's; default those that the pipeline was trained with"""
    n_action_steps: Annotated[int, Range(1)] | None = None
    """actions executed of each predicted chunk; default as the pipeline"""
    temporal_ensemble: Annotated[float, Range()] | None = None
    """predict at every step and average, the i-th oldest weighing exp(-x * i) for this x, such as 0.01; default as the
    pipeline"""
    num_inference_steps: Annotated[int, Range(1)] | None = None
    """denoising steps; default the pipeline's"""
    bf16_encoder: bool = False
    """encode images in bfloat16: about twice as fast on a CPU with AVX512-BF16 or AMX"""
    device: str = "cpu"
    """torch device of the pipeline, such as cuda"""

    def rollout_options_given(self) -> list[str]:
        """Names of those options above, and of the task's, that are not the default."""
        return options_given(self, (entry.name for entry in fields(RolloutArguments)))

    def seeds(self) -> range:
        """Of the layouts, for the simulator."""
        from dp_hf.simulation.layouts import EVALUATION, layout_seeds

        return layout_seeds(EVALUATION, self.layout_seed, self.num_episodes)

    def execution(self) -> dict[str, Any]:
        """How a pipeline acts, beside what it is."""
        return {name: getattr(self, name) for name in _EXECUTION}

    def policy(self, task: "Task", pipeline: str, alarm: "AlarmLimits | None" = None) -> "ActingPolicy":
        """What acts in the task, watched by `alarm` in place of its own."""
        if pipeline == EXPERT:
            if task.make_expert is None:
                raise UserError(f"{task.name} has no expert: name one in its task file (expert), or give a pipeline")
            return ActingPolicy(task.make_expert, self.camera_names or task.cameras, EXPERT)
        from dp_hf.alarm.watch import why_unwatched
        from dp_hf.pipelines.execution import choose_execution, choose_rate
        from dp_hf.pipelines.loading import digest_pipeline, load_pipeline
        from dp_hf.simulation.policies import pipeline_policy

        # Loaded here first, so that a Hub repository is fetched once and not by every worker.
        loaded = load_pipeline(pipeline, self.device, self.bf16_encoder)
        config, digest, alarm = loaded.policy.config, digest_pipeline(loaded), alarm or loaded.alarm
        task.require_fitting(config, pipeline)
        print(choose_rate(config)[1])
        if alarm is not None:
            execution = choose_execution(config, self.n_action_steps, self.temporal_ensemble)
            if reason := why_unwatched(alarm, *execution[:2]):
                print(f"not watched: {reason}")
                alarm = None
        make = partial(pipeline_policy, task=task, pipeline=pipeline, digest=digest, alarm=alarm, **self.execution())
        return ActingPolicy(make, self.camera_names or task.cameras_of(config.camera_names), digest, alarm)


class ActingPolicy(NamedTuple):
    """What acts, the task's cameras that are taken, what tells it from others that lie in the same place, and by what
    limits it is watched."""

    make: "MakePolicy"
    cameras: tuple[str, ...]
    digest: str
    alarm: "AlarmLimits | None" = None

    @property
    def identity(self) -> dict[str, Any]:
        """What its rollouts depend on; those that are watched keep their alarms."""
        if self.alarm is None:
            return {"policy": self.digest}
        from dp_hf.models.digest import digest_of

        return {"policy": self.digest, "alarm": digest_of(dict(self.alarm.limits), self.alarm.calibration)}
