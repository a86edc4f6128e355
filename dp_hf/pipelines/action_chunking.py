"""Executing chunks: receding horizon, or temporal ensembling over overlapping chunks."""

from collections import deque

import numpy as np

from dp_hf.errors import UserError
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline, Frame
from dp_hf.pipelines.sampling import Generator


class ActionChunker:
    """Calls the pipeline when it needs a new chunk and hands out one action a control step.

    Args:
        pipeline: the policy.
        n_action_steps: executes so many actions of each chunk (receding horizon).
        temporal_ensemble: predicts a chunk at every step and averages the actions that all of them hold for this
            moment with weights exp(-temporal_ensemble * i), i = 0 for the oldest prediction (Zhao et al. 2023,
            arXiv:2304.13705, where it is 0.01). With neither of the two, the policy's config says which.
        num_inference_steps, generator: passed on to the pipeline.
    """

    def __init__(
        self,
        pipeline: DiffusionPolicyPipeline,
        n_action_steps: int | None = None,
        temporal_ensemble: float | None = None,
        num_inference_steps: int | None = None,
        generator: Generator = None,
    ):
        config = pipeline.policy.config
        self.pipeline = pipeline
        if n_action_steps is None and temporal_ensemble is None:
            temporal_ensemble = config.temporal_ensemble
        self.n_action_steps = n_action_steps or config.n_action_steps
        if not 1 <= self.n_action_steps <= config.horizon:
            raise UserError(f"n_action_steps is 1 to horizon ({config.horizon}); got {self.n_action_steps}")
        self.temporal_ensemble = temporal_ensemble
        self.num_inference_steps = num_inference_steps
        self.generator = generator
        self.reset()

    def reset(self) -> None:
        """Forgets observations and pending actions; call it between episodes."""
        n_obs_steps = self.pipeline.policy.config.n_obs_steps
        self._observations: deque = deque(maxlen=n_obs_steps)
        self._queue: deque = deque()
        self._chunks: deque = deque(maxlen=self.pipeline.policy.config.horizon)

    def __call__(self, image: Frame, state: np.ndarray | None = None) -> np.ndarray:
        """The action (7,) for this control step, degrees and 0..100, from the current frame and state (7,)."""
        self._observations.append((image, state))
        if self.temporal_ensemble is not None:
            self._chunks.append(self._predict())
            # The newest chunk holds this moment at index 0, the one before it at index 1, and so on.
            newest = len(self._chunks) - 1
            actions = np.stack([chunk[newest - i] for i, chunk in enumerate(self._chunks)])
            weights = np.exp(-self.temporal_ensemble * np.arange(len(actions)))
            return (weights[:, None] * actions).sum(0) / weights.sum()
        if not self._queue:
            self._queue.extend(self._predict()[: self.n_action_steps])
        return self._queue.popleft()

    def _predict(self) -> np.ndarray:
        missing = self.pipeline.policy.config.n_obs_steps - len(self._observations)
        observations = [self._observations[0]] * missing + list(self._observations)
        images = [image for image, _ in observations]
        states = [state for _, state in observations]
        return self.pipeline(
            [images],
            state=None if states[-1] is None else np.stack(states)[None],
            num_inference_steps=self.num_inference_steps,
            generator=self.generator,
        ).actions[0]
