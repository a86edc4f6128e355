"""Scores of a run, prediction by prediction: how strange is what the policy sees and does?"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from dp_hf.alarm.reference import Reference

# Raise an alarm above their limits.
SCORES = ("plan",)
# Say more about one.
PROGRESS = "progress"
PICTURE = "picture"
# The actions of a run so far: it takes longer than those that succeed.
TIME = "time"
# Actions over which the agreement of chunks is averaged: a gripper that closes a moment later is no change of plans.
WINDOW = 5


@dataclass(frozen=True)
class Seen:
    """One prediction, scored.

    Attributes:
        step: actions since the run began.
        scores: by name. `plan`, how far what this chunk says is from what one that is half a horizon older says of the
            same moments, in half ranges, averaged over `WINDOW` actions (after Agia et al. 2024, arXiv:2410.04640, who
            compare many samples of each); `progress`, actions that the run will have taken in all, if it takes as many
            more as there were left in the nearest frames of training; `picture`, deviations of the features from those
            of these frames.
        features, actions: (F,) and (action_dim,), each number's part of `picture` and of `plan`.
    """

    step: int
    scores: dict[str, float]
    features: np.ndarray
    actions: np.ndarray


class RunScores:
    """The scores of one run.

    Args:
        reference: frames of the training data.
    """

    def __init__(self, reference: Reference):
        self.reference = reference
        self.reset()

    def reset(self) -> None:
        """A new run begins."""
        self._step = 0
        self._chunks: deque[tuple[int, np.ndarray]] = deque()
        self._disagreements: deque[tuple[int, np.ndarray]] = deque()

    def see(self, features: np.ndarray, state: np.ndarray | None, chunk: np.ndarray, steps: int) -> Seen:
        """Scores a prediction.

        Args:
            features: (F,) of the latest picture(s).
            state: (n,) in the robot's units; not looked at where the policy does not see it.
            chunk: (horizon, action_dim), predicted.
            steps: actions since the prediction before.
        """
        if self._chunks:
            self._step += steps
        self._chunks.append((self._step, chunk))
        apart = self._apart(chunk)
        if apart is not None:
            self._disagreements.append((self._step, apart))
        while self._disagreements and self._disagreements[0][0] <= self._step - WINDOW:
            self._disagreements.popleft()
        by_action = np.stack([each for _, each in self._disagreements] or [np.zeros(chunk.shape[1])])
        rows, pictures = self.reference.nearest(features, state)
        by_feature = np.square(pictures).mean(axis=0)
        scores = {
            "plan": float(np.sqrt(by_action.mean(axis=1)).mean()),
            "progress": float(self._step + np.median(self.reference.remaining[rows])),
            PICTURE: float(np.sqrt(by_feature.mean())),
        }
        return Seen(self._step, scores, by_feature, by_action.mean(axis=0))

    def _apart(self, chunk: np.ndarray) -> np.ndarray | None:
        """(action_dim,) squared distances from the latest chunk that is at least half a horizon older, None where
        there is none that speaks of the same moments."""
        horizon = len(chunk)
        while len(self._chunks) > 1 and self._step - self._chunks[1][0] >= horizon / 2:
            self._chunks.popleft()
        age = self._step - self._chunks[0][0]
        if not horizon / 2 <= age < horizon:
            return None
        return np.square((chunk[:-age] - self._chunks[0][1][age:]) / self.reference.action_scale).mean(axis=0)
