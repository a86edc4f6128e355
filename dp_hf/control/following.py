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

    A number does not follow when it is further than the limits' `start_tolerance` from its command and has not come
    closer by a quarter of that for 2 s. For a gripper, which may hold something, that is a warning; for a joint, whose
    reading may be frozen or which something blocks, a reason to hold.
    """

    def __init__(self, limits: SafetyLimits):
        self.limits = limits
        n = len(limits.quantities)
        self._is_gripper = np.isin(np.arange(n), limits.quantities.grippers)
        self._since = np.full(n, np.inf)
        self._measured = np.full(n, np.nan)
        self._has_warned = False

    def check(self, now: float, command: np.ndarray, measured: np.ndarray) -> str | None:
        """The reason to hold at the time `now`, or None; called at every tick with the last command (n,)."""
        error, tolerance = command - measured, self.limits.start_tolerance
        follows = ~(np.abs(error) > tolerance) | ((measured - self._measured) * np.sign(error) > tolerance / 4)
        begins = follows | np.isinf(self._since)
        self._since = np.where(begins, now, self._since)
        self._measured = np.where(begins, measured, self._measured)
        lost = now - self._since > TIMEOUT
        if not self._has_warned and (lost & self._is_gripper).any():
            self._has_warned = True
            logger.warning("%s: it holds something, or is not obeyed", self._words(lost & self._is_gripper, error))
        joints = lost & ~self._is_gripper
        return self._words(joints, error) if joints.any() else None

    def _words(self, lost: np.ndarray, error: np.ndarray) -> str:
        first, quantities = int(np.argmax(lost)), self.limits.quantities
        away = amount(abs(error[first]), quantities.units[first])
        return f"{quantities.names[first]} has been {away} from its command for {TIMEOUT:g} s"
