"""A trained pipeline as a policy for rollouts, at its own rate."""

import time
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import torch

from dp_hf.alarm.limits import AlarmLimits
from dp_hf.alarm.record import RunRecord
from dp_hf.alarm.watch import Watch, WatchedPolicy, why_unwatched
from dp_hf.pipelines.action_chunking import ActionChunker
from dp_hf.pipelines.execution import choose_execution
from dp_hf.pipelines.loading import load_pipeline
from dp_hf.simulation.task import Task, control_steps


def pipeline_policy(
    env: gymnasium.Env,
    seed: int,
    task: Task,
    pipeline: str,
    n_action_steps: int | None = None,
    temporal_ensemble: float | None = None,
    num_inference_steps: int | None = None,
    bf16_encoder: bool = False,
    device: str = "cpu",
    alarm: AlarmLimits | None = None,
) -> "AtOwnRate":
    """The pipeline in a folder or Hub repository; its samples follow from the seed.

    Arguments as in `ActionChunker` and `load_pipeline`; `alarm` is in place of the pipeline's own. Where chunks are
    executed as they were when the limits were measured, it is watched.

    Raises:
        UserError: the policy is not for the task.
    """
    loaded = load_once(pipeline, device, bf16_encoder)
    config = loaded.policy.config
    task.require_fitting(config, pipeline)
    execution = choose_execution(config, n_action_steps, temporal_ensemble)
    alarm = alarm or loaded.alarm
    is_watched = alarm is not None and why_unwatched(alarm, *execution[:2]) is None
    watch = Watch.of(alarm, config) if alarm is not None and is_watched else None
    chunker = TimedChunker(
        loaded if watch is None else WatchedPolicy(loaded, watch, lambda: execution.n_action_steps),
        n_action_steps=n_action_steps,
        temporal_ensemble=temporal_ensemble,
        num_inference_steps=num_inference_steps,
        generator=torch.Generator().manual_seed(seed),
    )
    return AtOwnRate(chunker, task.fps, watch)


load_once = cache(load_pipeline)
"""Loads a pipeline once a process; arguments as in `load_pipeline`."""


class AtOwnRate:
    """A policy in the simulator: asked at its own rate, its last action standing in between.

    Args:
        fps: steps of the environment a second.
        watch: is told what the policy predicts.

    Raises:
        UserError: see `control_steps`.
    """

    def __init__(self, chunker: ActionChunker, fps: float, watch: Watch | None = None):
        self.chunker, self.fps, self.watch = chunker, fps, watch
        self.steps = control_steps(chunker.pipeline.policy.config, fps)
        self.reset()

    def reset(self) -> None:
        self.chunker.reset()
        if self.watch is not None:
            self.watch.reset()
        self._step = 0

    def __call__(self, image: Any, state: np.ndarray) -> np.ndarray:
        if self._step % self.steps == 0:
            self._action = self.chunker(image, state)
        self._step += 1
        return self._action

    @property
    def alarm(self) -> dict[str, Any] | None:
        """The fields of a `RunRecord`."""
        return None if self.watch is None else vars(RunRecord.of(self.watch, self._step / self.fps))

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
