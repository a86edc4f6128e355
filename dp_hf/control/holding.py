"""Why the arm must hold, whoever objects, and what is said of it."""

import logging

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.control.following import Following, away_from_command
from dp_hf.control.report import Report
from dp_hf.control.robot import DryRun, Frame, Robot, Stamped, why_unheard
from dp_hf.control.watchdog import Watchdog

logger = logging.getLogger(__name__)


class Holding:
    """The objections of measurements, of whoever should hear the commands, and of an arm that is not at its command.

    Args:
        robot: one in a dry run cannot follow, and is not asked to.
        limits: of the arm.
        report: counts the holds.

    Attributes:
        watchdog: of the measurements.
        reason: why the arm is held now, None while it is not.
    """

    def __init__(self, robot: Robot, limits: SafetyLimits, report: Report):
        self.robot, self.limits, self.report = robot, limits, report
        self.watchdog = Watchdog(limits)
        self.reason: str | None = None
        self.forgive()

    def forgive(self) -> None:
        """A joint that did not follow has another chance."""
        self._following = None if isinstance(self.robot, DryRun) else Following(self.limits)

    def objections(
        self,
        now: float,
        image: Stamped[Frame] | None,
        state: Stamped[np.ndarray] | None,
        command: np.ndarray,
        stopped: str | None,
    ) -> tuple[str | None, bool]:
        """The first objection at the time `now`, and whether the arm is away from its last `command` (n,).

        Args:
            now, image, state: of this tick.
            command: (n,) the last.
            stopped: why the arm was stopped, before all others.
        """
        away = stray = None
        if state is not None:
            away = away_from_command(self.limits, command, state.value)
            stray = None if self._following is None else self._following.check(now, command, state.value)
        objection = stopped or why_unheard(self.robot) or self.watchdog.check(now, image, state) or away or stray
        return objection, away is not None

    def say(self, reason: str | None) -> None:
        """Takes note of why the arm is held, or that it is not."""
        if reason and not self.reason:
            self.report.holds += 1
            logger.warning("holding: %s", reason)
        elif self.reason and not reason:
            logger.warning("moving again")
        self.reason = reason
