"""A policy acts in the simulator: python scripts/examples/act_in_simulator.py quickstart/policy/final [LAYOUT]"""

import sys

import numpy as np
import torch

from dp_hf import ActionChunker, DiffusionPolicyPipeline
from dp_hf.arms.matching import require_same
from dp_hf.simulation.layouts import EVALUATION, layout_seeds
from dp_hf.simulation.policies import AtOwnRate
from dp_hf.simulation.rollouts import environment_cameras, make_environment, split_observation


def act(source: str, layout: int = 0) -> dict[str, bool]:
    """Runs one episode on a layout that no demonstration showed; returns which stages were reached."""
    pipeline = DiffusionPolicyPipeline.from_pretrained(source)
    config = pipeline.policy.config
    env = make_environment(cameras=environment_cameras(config.camera_names))
    # A policy of another arm, or in other units, would be driven all the same.
    require_same(config, env.unwrapped.arm.quantities, source, "the simulated arm")

    # Executes chunks as the policy's config says: some actions of each, or an average of those that overlap.
    policy = AtOwnRate(ActionChunker(pipeline, generator=torch.Generator().manual_seed(0)))
    (seed,) = layout_seeds(EVALUATION, layout, 1)
    observation, info = env.reset(seed=seed)
    done = False
    while not done:
        image, state = split_observation(observation)  # (240, 424, 3) uint8, (7,) degrees and gripper 0..100
        action = policy(image, state)
        observation, _, terminated, truncated, info = env.step(action.astype(np.float32))
        done = terminated or truncated
    env.close()
    return {stage: reached for stage, reached in info.items() if stage != "layout"}


if __name__ == "__main__":
    print(act(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
