"""Notices an arm that does not do what it is told."""

import logging

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.quantities import amount

logger = logging.getLogger(__name__)

# So long a joint may stand away from its command; the servos of small arms lag by some tenths of a second.
TIMEOUT = 2.0


class Following:
    """Compares what was commanded with what is read.

    A number does not follow when for 2 s it has not moved by a quarter of the limits' `start_tolerance`, though it is
    further than that from its command or its command has moved further than that. For a gripper, which may hold
    something, that is a warning; for a joint, whose reading may be frozen or which something blocks, a reason to hold.
    """

    def __init__(self, limits: SafetyLimits):
        self.limits = limits
        n = len(limits.quantities)
        self._is_gripper = np.isin(np.arange(n), limits.quantities.grippers)
        self._measured = np.full(n, np.inf)
        self._lowest = self._highest = np.zeros(n)
        self._since = np.zeros(n)
        self._has_warned = False

    def check(self, now: float, command: np.ndarray, measured: np.ndarray) -> str | None:
        """The reason to hold at the time `now`, or None; called at every tick with the last command (n,)."""
        tolerance = self.limits.start_tolerance
        has_moved = ~(np.abs(measured - self._measured) <= tolerance / 4)
        self._measured = np.where(has_moved, measured, self._measured)
        self._lowest = np.where(has_moved, command, np.minimum(command, self._lowest))
        self._highest = np.where(has_moved, command, np.maximum(command, self._highest))
        away = np.maximum(np.abs(command - measured), self._highest - self._lowest)
        self._since = np.where(has_moved | ~(away > tolerance), now, self._since)
        lost = now - self._since > TIMEOUT
        if not self._has_warned and (lost & self._is_gripper).any():
            self._has_warned = True
            logger.warning("%s: it holds something, or does not obey", self._words(lost & self._is_gripper, away))
        joints = lost & ~self._is_gripper
        return self._words(joints, away) if joints.any() else None

    def _words(self, lost: np.ndarray, away: np.ndarray) -> str:
        first, quantities = int(np.argmax(lost)), self.limits.quantities
        told = amount(away[first], quantities.units[first])
        return f"{quantities.names[first]} was told to move by {told} and has stood still for {TIMEOUT:g} s"


def away_from_command(limits: SafetyLimits, commanded: np.ndarray, measured: np.ndarray) -> str | None:
    """Why no command may be sent, once the last one (n,) is a stop.

    The arm has been pushed, or switched off, and would leap back to its command; or a measurement (n,) is wrong.
    """
    distance = np.abs(commanded - measured)
    allowed = limits.max_jump + limits.start_tolerance
    if not (distance > allowed).any():
        return None
    worst, quantities = int(np.argmax(distance / allowed)), limits.quantities
    return f"{quantities.names[worst]} is {amount(distance[worst], quantities.units[worst])} away from its command"
