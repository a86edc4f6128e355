"""`dp-hf train`: train a diffusion policy."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.recipes import find_recipe
from dp_hf.errors import UserError
from dp_hf.training.config import TrainConfig, as_flags, read_config_file
from dp_hf.training.reference_options import in_our_words

if TYPE_CHECKING:
    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline


def main(argv: list[str] | None = None) -> int:
    return run(parse_and_train, sys.argv[1:] if argv is None else argv)


def parse_and_train(argv: Sequence[str]) -> None:
    config = parse_config(argv)
    import torch

    from dp_hf.training.trainer import train

    validation = config.validation
    rollout = partial(try_in_simulator, validation.rollout_episodes) if validation.rollout_interval else None
    try:
        output_dir = train(config, rollout, require_simulated_arm if rollout else None)
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


def require_simulated_arm(pipeline: "DiffusionPolicyPipeline") -> None:
    """Refuses a policy that the simulator could not try."""
    from dp_hf.arms.matching import require_same
    from dp_hf.arms.mycobot_280 import SIMULATED_MYCOBOT_280
    from dp_hf.simulation.policies import control_steps

    name = "--rollout_interval: the policy"
    require_same(pipeline.policy.config, SIMULATED_MYCOBOT_280.quantities, name, "the simulated arm")
    control_steps(pipeline.policy.config)


def try_in_simulator(num_episodes: int, pipeline: "DiffusionPolicyPipeline") -> dict[str, float]:
    """Success rate and the rates of the earlier stages, over the same layouts every time."""
    import torch

    from dp_hf.pipelines.action_chunking import ActionChunker
    from dp_hf.simulation.evaluation import summarize
    from dp_hf.simulation.layouts import TRAINING_ROLLOUTS, layout_seeds
    from dp_hf.simulation.policies import AtOwnRate
    from dp_hf.simulation.rollouts import environment_cameras, run_rollouts

    def make_policy(env, seed: int) -> AtOwnRate:
        return AtOwnRate(ActionChunker(pipeline, generator=torch.Generator().manual_seed(seed)))

    environment = {"cameras": environment_cameras(pipeline.policy.config.camera_names)}
    seeds = layout_seeds(TRAINING_ROLLOUTS, 0, num_episodes)
    results = run_rollouts(make_policy, seeds, environment, description="rollouts")
    rates = summarize(results).rates
    return {"success_rate": rates["stacked"].rate} | {stage: rate.rate for stage, rate in rates.items()}
