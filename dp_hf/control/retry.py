"""Another try: an arm whose policy does not know what it does goes back to where the run began."""

import logging

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.control.trajectory import Trajectory

logger = logging.getLogger(__name__)

# Of the velocity limits, on average: nobody has chosen this way.
SPEED = 0.25


class Retry:
    """Leads an arm that stands to `start`: first the grippers, then the rest, on a straight line in its numbers.

    Args:
        limits: of the arm.
        start: (n,) where the run began.
        times: so often at most.

    Attributes:
        count: how often it was there.
    """

    def __init__(self, limits: SafetyLimits, start: np.ndarray, times: int):
        self.limits, self.times = limits, times
        self.start = np.clip(start, limits.lowest, limits.highest)
        self.count = 0
        self._way: Trajectory | None = None

    def forget(self) -> None:
        """Nothing is led any more; the next time it begins anew."""
        self._way = None

    def way(self, now: float, position: np.ndarray, is_at_rest: bool) -> Trajectory | None:
        """The way from the last command `position` (n,); None until the arm stands, or when it may not try again."""
        if self._way is None and is_at_rest and self.count < self.times:
            self._way = self._from(position, now)
            logger.warning("going back to where the run began, to try again: %d of %d", self.count + 1, self.times)
        return self._way

    def is_over(self, now: float, is_at_rest: bool) -> bool:
        """Whether the way has been gone, which is said once and counted."""
        if self._way is None or now <= self._way.times[-1] or not is_at_rest:
            return False
        self._way = None
        self.count += 1
        return True

    def _from(self, position: np.ndarray, now: float) -> Trajectory:
        grippers = [*self.limits.quantities.grippers]
        let_go = position.copy()
        let_go[grippers] = self.start[grippers]
        seconds = [
            (np.abs(b - a) / (SPEED * self.limits.velocity)).max()
            for a, b in ((position, let_go), (let_go, self.start))
        ]
        times = now + np.cumsum([0.0, *np.maximum(seconds, 0.1)])
        positions = np.stack([position, let_go, self.start])
        return Trajectory(times, positions, np.zeros_like(positions))
