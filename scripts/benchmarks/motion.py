"""How smoothly an arm was commanded, and how fast."""

from collections.abc import Sequence

import numpy as np

NUM_JOINTS = 6  # of the myCobot; the gripper, the seventh number, is no angle
BORDER = 3  # commands over which the limiter may spread a jump


def motion_of(times: np.ndarray, commands: np.ndarray, borders: Sequence[float]) -> dict[str, float]:
    """Figures of one run.

    Args:
        times: (T,) of the commands, seconds, a period apart.
        commands: (T, 7).
        borders: (N,) when chunks took over: times of their first commands.

    Returns:
        `jerk_rms` and `jerk_max`, of the third difference of the angles, degrees / s^3 (the largest joint of each
        command counts); `border_jump_mean` and `border_jump_max`, of the change of velocity within the first `BORDER`
        commands of a chunk, degrees / s, largest joint; `speed`, see `speed_of`.
    """
    period = times[1] - times[0]
    angles = commands[:, :NUM_JOINTS]
    velocity = np.diff(angles, axis=0) / period
    jerk = np.abs(np.diff(angles, 3, axis=0)).max(axis=1) / period**3
    first = np.rint((np.asarray(borders) - times[0]) / period).astype(int)  # velocity[i] leads to command i + 1
    first = first[(first >= 2) & (first + BORDER < len(times))]
    changes = [np.abs(velocity[first - 1 + i] - velocity[first - 2]).max(axis=1, initial=0) for i in range(BORDER)]
    jumps = np.max(changes, axis=0)
    return {
        "jerk_rms": float(np.sqrt((jerk**2).mean())),
        "jerk_max": float(jerk.max()),
        "border_jump_mean": float(jumps.mean()) if len(jumps) else 0.0,
        "border_jump_max": float(jumps.max()) if len(jumps) else 0.0,
        "speed": speed_of(angles, period),
    }


def speed_of(angles: np.ndarray, period: float) -> float:
    """Length of the way in joint space by the time it took, degrees / s, of angles (T, joints)."""
    return float(np.linalg.norm(np.diff(angles, axis=0), axis=1).sum() / (period * (len(angles) - 1)))
