"""Executing chunks: receding horizon, or temporal ensembling over overlapping chunks."""

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from dp_hf.pipelines.execution import ObservationHistory, choose_execution, ensemble_weights, predict_chunk

if TYPE_CHECKING:  # a pipeline of either kind does
    from dp_hf.alarm.watch import WatchedPolicy
    from dp_hf.pipelines.inputs import Frame, Generator
    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline


class ActionChunker:
    """Calls the pipeline when it needs a new chunk and hands out one action a control step.

    Args:
        pipeline: the policy.
        n_action_steps: executes so many actions of each chunk (receding horizon).
        temporal_ensemble: predicts a chunk at every step and averages the actions that all of them hold for this
            moment, with `ensemble_weights`. With neither of the two, the policy's config says which.
        num_inference_steps, generator: passed on to the pipeline.

    Raises:
        UserError: see `choose_execution`.
    """

    def __init__(
        self,
        pipeline: "DiffusionPolicyPipeline | WatchedPolicy",
        n_action_steps: int | None = None,
        temporal_ensemble: float | None = None,
        num_inference_steps: int | None = None,
        generator: "Generator" = None,
    ):
        self.pipeline = pipeline
        execution = choose_execution(pipeline.policy.config, n_action_steps, temporal_ensemble)
        self.n_action_steps, self.temporal_ensemble = execution.n_action_steps, execution.temporal_ensemble
        self.num_inference_steps = num_inference_steps
        self.generator = generator
        self.reset()

    def reset(self) -> None:
        """Forgets observations and pending actions; call it between episodes."""
        config = self.pipeline.policy.config
        self._history: ObservationHistory[tuple[Frame, np.ndarray | None]] = ObservationHistory(config.n_obs_steps)
        self._queue: deque = deque()
        self._chunks: deque = deque(maxlen=config.horizon)

    def __call__(self, image: "Frame", state: np.ndarray | None = None) -> np.ndarray:
        """The action (action_dim,) for this control step from the current frame and state (state_dim,)."""
        self._history.add((image, state))
        if self.temporal_ensemble is not None:
            self._chunks.append(self._predict())
            # The newest chunk holds this moment at index 0, the one before it at index 1, and so on.
            newest = len(self._chunks) - 1
            actions = np.stack([chunk[newest - i] for i, chunk in enumerate(self._chunks)])
            weights = ensemble_weights(len(actions), self.temporal_ensemble)
            return (weights[:, None] * actions).sum(0) / weights.sum()
        if not self._queue:
            self._queue.extend(self._predict()[: self.n_action_steps])
        return self._queue.popleft()

    def _predict(self) -> np.ndarray:
        (chunk,) = predict_chunk(
            self.pipeline,
            self._history.observations(),
            self.pipeline.policy.config.action_dim,
            num_inference_steps=self.num_inference_steps,
            generator=self.generator,
        )
        return chunk
