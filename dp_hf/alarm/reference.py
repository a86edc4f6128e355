"""What the policy saw in training, thinned out: how far another observation is from it, and how much was left to do."""

from dataclasses import dataclass

import numpy as np

NEIGHBORS = 10
# So many frames of the training data are compared with; more do not rank better, and take longer.
MOST_FRAMES = 2000
# In the units of a feature, a state or an action; what changes by less in training is no signal, and has no scale.
CONSTANT = 1e-4


def evenly_spaced(num_frames: int) -> np.ndarray:
    """Which of a dataset's frames to keep."""
    return np.linspace(0, num_frames - 1, min(MOST_FRAMES, num_frames)).round().astype(np.int64)


@dataclass(frozen=True)
class Reference:
    """Frames of the training data, as the encoder and the arm's sensors show them.

    Attributes:
        features: (N, F) float32, of the image encoder, camera after camera.
        states: (N, n) float32, in the robot's units; n is 0 for a policy that does not see its state.
        remaining: (N,) float32, actions until the end of the demonstration.
        feature_scale, state_scale: (F,) and (n,) standard deviations in training.
        action_scale: (action_dim,) half the range in training. By deviations joints that hardly turn would outweigh a
            gripper that cannot decide, and the agreement of chunks told no failure.
    """

    features: np.ndarray
    states: np.ndarray
    remaining: np.ndarray
    feature_scale: np.ndarray
    state_scale: np.ndarray
    action_scale: np.ndarray

    @classmethod
    def of(
        cls,
        rows: np.ndarray,
        features: np.ndarray,
        states: np.ndarray,
        actions: np.ndarray,
        episode_index: np.ndarray,
    ) -> "Reference":
        """That of a dataset's N frames.

        Args:
            rows: (M,) of those that are kept, see `evenly_spaced`.
            features: (M, F) of those.
            states: (N, n); n is 0 for a policy that does not see its state.
            actions: (N, action_dim).
            episode_index: (N,); an episode's frames are next to each other and in order.
        """
        last = np.append(np.flatnonzero(np.diff(episode_index)), len(episode_index) - 1)
        remaining = last[np.searchsorted(last, rows)] - rows
        return cls(
            features.astype(np.float32),
            states[rows].astype(np.float32),
            remaining.astype(np.float32),
            _scale(features.std(axis=0, dtype=np.float64)),
            _scale(states.std(axis=0, dtype=np.float64)),
            _scale(np.ptp(actions, axis=0) / 2),
        )

    def nearest(self, features: np.ndarray, state: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The `NEIGHBORS` nearest frames to an observation.

        Args:
            features: (F,) of its picture(s).
            state: (n,), not looked at where there are no states.

        Returns:
            Their rows, and how far its features are from each of theirs: (k,) and (k, F), in deviations.
        """
        pictures = (self.features - features) / self.feature_scale
        distance = np.square(pictures).mean(axis=1)
        if self.states.shape[1]:
            assert state is not None, "what the policy has seen"
            distance += np.square((self.states - state) / self.state_scale).mean(axis=1)
        rows = np.argsort(distance)[:NEIGHBORS]
        return rows, pictures[rows]


def _scale(spread: np.ndarray) -> np.ndarray:
    return np.where(spread > CONSTANT, spread, 1.0).astype(np.float32)
