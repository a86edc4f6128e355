"""Commands that go out when they change, and can be lost on their way."""

import numpy as np

# How long the arm has to get there, and how far away it may stop.
PATIENCE = 1.0
TOLERANCE = 5.0
# Of 0..100: a gripper's smaller changes start no new goal.
GRIPPER_STEP = 1.0


class SentOnce:
    """Says when one number's command must go out: it has changed, or what is read is not there a second later.

    Args:
        step: smaller changes do not count.
    """

    def __init__(self, step: float):
        self._step = step
        self._sent = np.nan
        self._sent_at = -np.inf

    def is_due(self, value: float, measured: float | None, now: float) -> bool:
        """Whether to send `value` at the time `now`, which counts as done then; `measured` is the latest reading."""
        is_new = not abs(value - self._sent) < self._step
        is_lost = measured is not None and abs(measured - self._sent) > TOLERANCE and now - self._sent_at > PATIENCE
        if is_new or is_lost:
            self._sent, self._sent_at = value, now
        return is_new or is_lost
