"""A policy acts in the simulator: python scripts/examples/act_in_simulator.py quickstart/policy/final [LAYOUT]"""

import sys

import numpy as np
import torch

from dp_hf import ActionChunker, DiffusionPolicyPipeline
from dp_hf.simulation.layouts import EVALUATION, layout_seeds
from dp_hf.simulation.policies import AtOwnRate
from dp_hf.simulation.rollouts import split_observation
from dp_hf.simulation.stacking import STACKING, make_environment


def act(source: str, layout: int = 0) -> dict[str, bool]:
    """Runs one episode on a layout that no demonstration showed; returns which stages were reached."""
    pipeline = DiffusionPolicyPipeline.from_pretrained(source)
    config = pipeline.policy.config
    # A policy of another arm, or in other units, would be driven all the same.
    STACKING.require_fitting(config, source)
    env = make_environment(cameras=STACKING.cameras_of(config.camera_names))

    # Executes chunks as the policy's config says: some actions of each, or an average of those that overlap.
    policy = AtOwnRate(ActionChunker(pipeline, generator=torch.Generator().manual_seed(0)), STACKING.fps)
    (seed,) = layout_seeds(EVALUATION, layout, 1)
    observation, _ = env.reset(seed=seed)
    done = False
    while not done:
        image, state = split_observation(observation)  # (240, 424, 3) uint8, (7,) degrees and gripper 0..100
        action = policy(image, state)
        observation, _, terminated, truncated, _ = env.step(action.astype(np.float32))
        done = terminated or truncated
    stages = env.get_wrapper_attr("stages")
    env.close()
    return stages


if __name__ == "__main__":
    print(act(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
