"""A trained pipeline as a policy for rollouts, at its own rate."""

import time
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import torch

from dp_hf.arms.matching import require_same
from dp_hf.errors import UserError
from dp_hf.pipelines.action_chunking import ActionChunker
from dp_hf.pipelines.execution import is_rate
from dp_hf.pipelines.loading import load_pipeline
from dp_hf.simulation.environment import CONTROL_HZ


def pipeline_policy(
    env: gymnasium.Env,
    seed: int,
    pipeline: str,
    n_action_steps: int | None = None,
    temporal_ensemble: float | None = None,
    num_inference_steps: int | None = None,
    bf16_encoder: bool = False,
    device: str = "cpu",
) -> "AtOwnRate":
    """The pipeline in a folder or Hub repository; its samples follow from the seed.

    Arguments as in `ActionChunker` and `load_pipeline`.

    Raises:
        UserError: the policy is not for the environment's arm, or its rate is none that the simulator can keep.
    """
    loaded = load_once(pipeline, device, bf16_encoder)
    require_same(loaded.policy.config, env.get_wrapper_attr("arm").quantities, pipeline, "the simulated arm")
    chunker = TimedChunker(
        loaded,
        n_action_steps=n_action_steps,
        temporal_ensemble=temporal_ensemble,
        num_inference_steps=num_inference_steps,
        generator=torch.Generator().manual_seed(seed),
    )
    return AtOwnRate(chunker)


load_once = cache(load_pipeline)
"""Loads a pipeline once a process; arguments as in `load_pipeline`."""


def control_steps(config: Any) -> int:
    """Control steps of the simulator that an action of the policy lasts.

    Raises:
        UserError: the policy acts more often than the simulator, or at moments between its steps.
    """
    steps = round(CONTROL_HZ / config.fps)
    if steps < 1 or not is_rate(config.fps, CONTROL_HZ / steps):
        raise UserError(
            f"the policy acts {config.fps:g} times a second, and the simulator moves {CONTROL_HZ} times: train it at a "
            f"rate that divides {CONTROL_HZ}, by --frame_skip"
        )
    return steps


class AtOwnRate:
    """A policy in the simulator: asked at its own rate, its last action standing in between.

    Raises:
        UserError: see `control_steps`.
    """

    def __init__(self, chunker: ActionChunker):
        self.chunker = chunker
        self.steps = control_steps(chunker.pipeline.policy.config)
        self.reset()

    def reset(self) -> None:
        self.chunker.reset()
        self._step = 0

    def __call__(self, image: Any, state: np.ndarray) -> np.ndarray:
        if self._step % self.steps == 0:
            self._action = self.chunker(image, state)
        self._step += 1
        return self._action

    @property
    def latencies(self) -> list[float]:
        return getattr(self.chunker, "latencies", [])


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
