"""A trained pipeline as a policy for rollouts, at its own rate."""

import time
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import torch

from dp_hf.alarm.limits import AlarmLimits
from dp_hf.alarm.record import RunRecord
from dp_hf.alarm.watch import Watch, WatchedPolicy
from dp_hf.errors import UserError
from dp_hf.pipelines.action_chunking import ActionChunker
from dp_hf.pipelines.execution import choose_execution
from dp_hf.pipelines.loading import digest_pipeline, load_pipeline
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
from dp_hf.simulation.task import Task, control_steps


def pipeline_policy(
    env: gymnasium.Env,
    seed: int,
    task: Task,
    pipeline: str,
    digest: str,
    n_action_steps: int | None = None,
    temporal_ensemble: float | None = None,
    num_inference_steps: int | None = None,
    bf16_encoder: bool = False,
    device: str = "cpu",
    alarm: AlarmLimits | None = None,
) -> "AtOwnRate":
    """The pipeline in a folder or Hub repository; its samples follow from the seed.

    Arguments as in `ActionChunker` and `load_known`; `alarm` are the limits that it is watched by, of chunks that are
    executed so.

    Raises:
        UserError: the policy is not for the task, or no longer the one of the digest.
    """
    loaded = load_known(pipeline, digest, device, bf16_encoder)
    config = loaded.policy.config
    task.require_fitting(config, pipeline)
    every = choose_execution(config, n_action_steps, temporal_ensemble).n_action_steps
    watch = None if alarm is None else Watch.of(alarm, config)
    chunker = TimedChunker(
        loaded if watch is None else WatchedPolicy(loaded, watch, lambda: every),
        n_action_steps=n_action_steps,
        temporal_ensemble=temporal_ensemble,
        num_inference_steps=num_inference_steps,
        generator=torch.Generator().manual_seed(seed),
    )
    return AtOwnRate(chunker, task.fps, watch)


@cache
def load_known(pipeline: str, digest: str, device: str = "cpu", bf16_encoder: bool = False) -> DiffusionPolicyPipeline:
    """Loads the pipeline of a digest, once a process: its place may come to hold another one.

    Args:
        digest: by `digest_pipeline`, of the pipeline as the command has loaded it.

    Raises:
        UserError: as `load_pipeline`, or it is another pipeline.
    """
    loaded = load_pipeline(pipeline, device, bf16_encoder)
    if digest_pipeline(loaded) != digest:
        raise UserError(f"{pipeline}: another policy has taken its place since the command began; start it again")
    return loaded


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
        self._asked_at: list[int] = []

    def __call__(self, image: Any, state: np.ndarray) -> np.ndarray:
        if self._step % self.steps == 0:
            self._action = self.chunker(image, state)
            if len(self._predicted) > len(self._asked_at):
                self._asked_at.append(self._step)
        self._step += 1
        return self._action

    @property
    def alarm(self) -> dict[str, Any] | None:
        """The fields of a `RunRecord`."""
        return None if self.watch is None else vars(RunRecord.of(self.watch, self._step / self.fps))

    @property
    def latencies(self) -> list[float]:
        return getattr(self.chunker, "latencies", [])

    @property
    def predictions(self) -> list[tuple[int, int, np.ndarray]]:
        """Of each, the step it was made at, the steps that an action lasts, and the actions (horizon, n)."""
        return [(step, self.steps, chunk) for step, chunk in zip(self._asked_at, self._predicted, strict=True)]

    @property
    def _predicted(self) -> list[np.ndarray]:
        return getattr(self.chunker, "predicted", [])


class TimedChunker(ActionChunker):
    """An `ActionChunker` that keeps its predictions, and how long each took, in seconds."""

    def reset(self) -> None:
        super().reset()
        self.latencies: list[float] = []
        self.predicted: list[np.ndarray] = []

    def _predict(self) -> np.ndarray:
        start = time.perf_counter()
        chunk = super()._predict()
        self.latencies.append(time.perf_counter() - start)
        self.predicted.append(chunk)
        return chunk
