"""A chunk of actions laid out in time: hand-over from the motion under way, and interpolation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dp_hf.pipelines.execution import ensemble_weights


@dataclass(frozen=True)
class Trajectory:
    """Positions (T, n), T >= 2, due at increasing `times` (T,), joined by straight lines.

    It stands still before the first and after the last.
    """

    times: np.ndarray
    positions: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """The position (n,) at `time`."""
        index = int(np.searchsorted(self.times, time, side="right"))
        if index == 0:
            return self.positions[0]
        if index == len(self.times):
            return self.positions[-1]
        before, after = self.times[index - 1], self.times[index]
        weight = (time - before) / (after - before)
        return (1 - weight) * self.positions[index - 1] + weight * self.positions[index]

    def range_from(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and highest values, (n,) each, still to come from `time` on.

        A quarter of a step beyond the end counts, so that the motion need not stop before the next chunk comes.
        """
        beyond = self.positions[-1] + (self.positions[-1] - self.positions[-2]) / 4
        to_come = np.vstack([self.at(time), self.positions[self.times > time], beyond])
        return to_come.min(axis=0), to_come.max(axis=0)


def ensemble(chunks: Sequence[Trajectory], temporal_ensemble: float) -> np.ndarray:
    """The mean of what chunks, oldest first, hold for the times of the newest, (len(newest.times), n).

    Chunks have their `ensemble_weights`, and none past their ends.
    """
    times = chunks[-1].times
    # `Trajectory.at` for all times at once: this runs within a tick of the control loop.
    positions = np.stack([[np.interp(times, chunk.times, values) for values in chunk.positions.T] for chunk in chunks])
    weights = ensemble_weights(len(chunks), temporal_ensemble)[:, None]
    weights = weights * np.stack([times <= chunk.times[-1] for chunk in chunks])
    return np.einsum("ct,cdt->td", weights / weights.sum(axis=0), positions)


HandOver = Callable[[np.ndarray, float, float, np.ndarray, float, float], Trajectory]
"""Called as `hand_over` is, whose arguments these are."""


def hand_over(
    chunk: np.ndarray, first_due: float, step: float, position: np.ndarray, sent_at: float, now: float
) -> Trajectory:
    """The way from the last command into a chunk that has just been predicted.

    Action i is due i steps after the first, as in the demonstrations. Those whose time inference has eaten are
    skipped, the next one too when it is less than half a step away; when none is left, the last is due in one step.

    Args:
        chunk: (horizon, n) actions.
        first_due: when the first action is due, which is when the observation behind the chunk was made or later.
        step: seconds between actions.
        position: (n,) the last command.
        sent_at: when it was sent.
        now: the time of the next command.
    """
    due = first_due + step * np.arange(len(chunk))
    left = due >= now + step / 2
    if not left.any():
        return Trajectory(np.array([sent_at, now + step]), np.stack([position, chunk[-1]]))
    return Trajectory(np.append(sent_at, due[left]), np.vstack([position, chunk[left]]))
