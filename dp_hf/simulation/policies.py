"""A trained pipeline as a policy for rollouts."""

import time
from functools import cache

import gymnasium
import numpy as np
import torch

from dp_hf.arms.matching import require_same
from dp_hf.pipelines.action_chunking import ActionChunker
from dp_hf.pipelines.loading import load_pipeline


def pipeline_policy(
    env: gymnasium.Env,
    seed: int,
    pipeline: str,
    n_action_steps: int | None = None,
    temporal_ensemble: float | None = None,
    num_inference_steps: int | None = None,
    bf16_encoder: bool = False,
    device: str = "cpu",
) -> "TimedChunker":
    """The pipeline in a folder or Hub repository; its samples follow from the seed.

    Arguments as in `ActionChunker` and `load_pipeline`.

    Raises:
        UserError: the policy is not for the environment's arm.
    """
    loaded = load_once(pipeline, device, bf16_encoder)
    require_same(loaded.policy.config, env.get_wrapper_attr("arm").quantities, pipeline, "the simulated arm")
    return TimedChunker(
        loaded,
        n_action_steps=n_action_steps,
        temporal_ensemble=temporal_ensemble,
        num_inference_steps=num_inference_steps,
        generator=torch.Generator().manual_seed(seed),
    )


load_once = cache(load_pipeline)
"""Loads a pipeline once a process; arguments as in `load_pipeline`."""


class TimedChunker(ActionChunker):
    """An `ActionChunker` that keeps how long each prediction took, in seconds."""

    def reset(self) -> None:
        super().reset()
        self.latencies: list[float] = []

    def _predict(self) -> np.ndarray:
        start = time.perf_counter()
        chunk = super()._predict()
        self.latencies.append(time.perf_counter() - start)
        return chunk
