"""Commands that go out when they change, and can be lost on their way."""

import numpy as np

# How long the arm has to get there, and how far away it may stop.
PATIENCE = 1.0
TOLERANCE = 5.0
# Of 0..100: a gripper's smaller changes start no new goal.
GRIPPER_STEP = 1.0
# Of a goal of control_msgs/GripperCommand, whose definition says newtons.
MAX_EFFORT = 5.0


class SentOnce:
    """Says when one number's command must go out: it has changed, or a second later it is refused or not there.

    Args:
        step: smaller changes do not count.
    """

    def __init__(self, step: float):
        self._step = step
        self._sent = np.nan
        self._sent_at = -np.inf

    def is_due(self, value: float, measured: float | None, now: float, is_refused: bool = False) -> bool:
        """Whether to send `value` at the time `now`, which counts as done then; `measured` is the latest reading.

        Args:
            is_refused: the last one has not been accepted, where that can be known.
        """
        is_new = not abs(value - self._sent) < self._step
        is_away = measured is not None and abs(measured - self._sent) > TOLERANCE
        is_lost = (is_refused or is_away) and now - self._sent_at > PATIENCE
        if is_new or is_lost:
            self._sent, self._sent_at = value, now
        return is_new or is_lost
