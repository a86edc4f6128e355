"""A chunk of actions laid out in time: hand-over from the motion under way, and interpolation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dp_hf.arms.motion_limiter import MotionLimiter
from dp_hf.pipelines.execution import ensemble_weights


@dataclass(frozen=True)
class Chunk:
    """Actions (horizon, n) and when they are `due` (horizon,), as in the demonstrations."""

    due: np.ndarray
    actions: np.ndarray


@dataclass(frozen=True)
class Trajectory:
    """Positions (T, n), T >= 2, due at increasing `times` (T,), with `velocities` (T, n) per second.

    Cubics join them. It stands still before the first and after the last.
    """

    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """The position (n,) at `time`."""
        index = int(np.searchsorted(self.times, time, side="right"))
        if index == 0:
            return self.positions[0]
        if index == len(self.times):
            return self.positions[-1]
        (start, end), (before, after) = self.times[index - 1 : index + 1], self.positions[index - 1 : index + 1]
        share = (time - start) / (end - start)
        leaving, arriving = self.velocities[index - 1 : index + 1] - (after - before) / (end - start)
        bend = (time - start) * (1 - share) * ((1 - share) * leaving - share * arriving)
        return (1 - share) * before + share * after + bend

    def range_from(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and highest values, (n,) each, still to come from `time` on.

        A quarter of a step beyond the end counts, so that the motion need not stop before the next chunk comes; a swing
        beyond the next position does not, so that an arm that can brake in front of it does.
        """
        index = np.clip(np.searchsorted(self.times, time, side="right"), 1, len(self.times) - 1)
        here = np.clip(self.at(time), *np.sort(self.positions[index - 1 : index + 1], axis=0))
        beyond = self.positions[-1] + (self.positions[-1] - self.positions[-2]) / 4
        to_come = np.vstack([here, self.positions[self.times > time], beyond])
        return to_come.min(axis=0), to_come.max(axis=0)


def smooth(times: np.ndarray, positions: np.ndarray, velocity: np.ndarray) -> Trajectory:
    """A trajectory that begins with a `velocity` (n,), ends with that of its last step, and never swings beyond its
    positions but where that beginning does: Fritsch and Butland 1984, doi:10.1137/0905021.

    Two positions alone tell no velocity, and are joined by a straight line.
    """
    steps = np.diff(times)[:, None]
    slopes = np.diff(positions, axis=0) / steps
    velocities = np.vstack([velocity if len(slopes) > 1 else slopes[0], np.zeros_like(slopes)])
    velocities[-1] = slopes[-1]
    before, after = slopes[:-1], slopes[1:]
    longer, shorter = steps[:-1] + 2 * steps[1:], 2 * steps[:-1] + steps[1:]
    goes_on = before * after > 0
    mean = (longer + shorter) * before * after / np.where(goes_on, longer * after + shorter * before, 1.0)
    velocities[1:-1] = np.where(goes_on, mean, 0.0)
    return Trajectory(times, positions, velocities)


def ensemble(chunks: Sequence[Chunk], temporal_ensemble: float) -> Chunk:
    """The mean of what chunks, oldest first, hold for the times of the newest.

    Chunks have their `ensemble_weights`, and none past their ends.
    """
    due = chunks[-1].due
    # For all times at once: this runs within a tick of the control loop.
    actions = np.stack([[np.interp(due, chunk.due, values) for values in chunk.actions.T] for chunk in chunks])
    weights = ensemble_weights(len(chunks), temporal_ensemble)[:, None]
    weights = weights * np.stack([due <= chunk.due[-1] for chunk in chunks])
    return Chunk(due, np.einsum("ct,cdt->td", weights / weights.sum(axis=0), actions))


HandOver = Callable[[Chunk, float, np.ndarray, np.ndarray, float, float], Trajectory]
"""Called as `hand_over` is, whose arguments these are."""


def hand_over(
    chunk: Chunk, step: float, position: np.ndarray, velocity: np.ndarray, sent_at: float, now: float
) -> Trajectory:
    """The way from the motion under way into a chunk that has just been predicted.

    Actions whose time inference has eaten are skipped, the next one too when it is less than half a step away; when
    none is left, the last is due in one step.

    Args:
        chunk: what has been predicted.
        step: seconds between actions.
        position: (n,) the last command.
        velocity: (n,) its velocity, per second.
        sent_at: when it was sent.
        now: the time of the next command.
    """
    left = chunk.due >= now + step / 2
    if not left.any():
        return smooth(np.array([sent_at, now + step]), np.stack([position, chunk.actions[-1]]), velocity)
    return smooth(np.append(sent_at, chunk.due[left]), np.vstack([position, chunk.actions[left]]), velocity)


def pursue(limiter: MotionLimiter, trajectory: Trajectory | None, now: float, measured: np.ndarray) -> np.ndarray:
    """The next command (n,) along a trajectory, no farther ahead of where the arm is `measured` (n,) than `max_jump`.

    Without a trajectory it brakes.
    """
    if trajectory is None:
        return limiter.brake()
    leash = measured - limiter.limits.max_jump, measured + limiter.limits.max_jump
    wish = trajectory.at(now)
    wish_velocity = (wish - trajectory.at(now - limiter.period)) / limiter.period
    low, high = trajectory.range_from(now)
    return limiter.follow(wish, wish_velocity, np.clip(low, *leash), np.clip(high, *leash))
