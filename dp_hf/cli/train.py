"""`dp-hf train`: train a diffusion policy."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.recipes import find_recipe
from dp_hf.cli.task_arguments import find_task
from dp_hf.errors import UserError
from dp_hf.training.config import TrainConfig, as_flags, read_config_file
from dp_hf.training.reference_options import in_our_words

if TYPE_CHECKING:
    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
    from dp_hf.simulation.task import Task


def main(argv: list[str] | None = None) -> int:
    return run(parse_and_train, sys.argv[1:] if argv is None else argv)


def parse_and_train(argv: Sequence[str]) -> None:
    config = parse_config(argv)
    import torch

    from dp_hf.training.trainer import train

    validation = config.validation
    if (validation.task_file is not None or validation.task_arguments) and not validation.rollout_interval:
        raise UserError("--task_file is for the trials of --rollout_interval: give that too, or leave it out")
    rollout = check = None
    if validation.rollout_interval:
        task = find_task(validation.task_file, validation.task_arguments)
        rollout = partial(try_in_simulator, task, validation.rollout_episodes)
        check = partial(require_fitting, task)
    try:
        output_dir = train(config, rollout, check)
    except torch.cuda.OutOfMemoryError as error:
        raise UserError(
            "the GPU is out of memory: halve --batch_size and double --gradient_accumulation_steps, which trains the "
            "same, or take a smaller --image_size or --mixed_precision bf16"
        ) from error
    print(f"best policy: {output_dir / 'best'}; last: {output_dir / 'final'}")


def parse_config(argv: Sequence[str]) -> TrainConfig:
    """The options: defaults, then those of the file that `--config` names, then flags."""
    name = config_name(argv)
    file = find_recipe("train", name) if name else None
    values = in_our_words(as_flags(read_config_file(file))) if file else []
    default = parse(TrainConfig, values, str(file), grouped=True) if file else None
    return parse(TrainConfig, in_our_words(argv), "dp-hf train", default, grouped=True)


def config_name(argv: Sequence[str]) -> str | None:
    """What `--config` names; it is read before the other flags, which win over it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", nargs="?")
    return parser.parse_known_args(argv)[0].config


def require_fitting(task: "Task", pipeline: "DiffusionPolicyPipeline") -> None:
    """Refuses a policy that could not try the task, and a task that cannot be tried, before anything is learned."""
    from dp_hf.simulation.layouts import TRAINING_ROLLOUTS

    task.require_fitting(pipeline.policy.config, "--rollout_interval: the policy")
    env = task.make_environment(cameras=task.cameras_of(pipeline.policy.config.camera_names))
    env.reset(seed=TRAINING_ROLLOUTS.start)
    env.close()


def try_in_simulator(task: "Task", num_episodes: int, pipeline: "DiffusionPolicyPipeline") -> dict[str, float]:
    """Success rate and the rates of the earlier stages, over the same layouts every time."""
    import torch

    from dp_hf.pipelines.action_chunking import ActionChunker
    from dp_hf.simulation.evaluation import summarize
    from dp_hf.simulation.layouts import TRAINING_ROLLOUTS, layout_seeds
    from dp_hf.simulation.policies import AtOwnRate
    from dp_hf.simulation.rollouts import run_rollouts

    def make_policy(env, seed: int) -> AtOwnRate:
        return AtOwnRate(ActionChunker(pipeline, generator=torch.Generator().manual_seed(seed)), task.fps)

    environment = {"cameras": task.cameras_of(pipeline.policy.config.camera_names)}
    seeds = layout_seeds(TRAINING_ROLLOUTS, 0, num_episodes)
    results = run_rollouts(task, make_policy, seeds, environment, description="rollouts")
    evaluation = summarize(results)
    return {"success_rate": evaluation.success.rate} | {stage: rate.rate for stage, rate in evaluation.rates.items()}
