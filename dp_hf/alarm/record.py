"""What became of the scores in a run that is over, and how well an alarm would have told runs that fail."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dp_hf.alarm.scores import TIME
from dp_hf.alarm.watch import Watch


@dataclass(frozen=True)
class RunRecord:
    """The scores of a run.

    Attributes:
        rate: actions a second.
        seconds: that the run took.
        steps: of every prediction, actions since the run began.
        scores: by name, at every prediction.
        alarm: kind, step, since and text of the first alarm; None where there was none.
    """

    rate: float
    seconds: float
    steps: list[int]
    scores: dict[str, list[float]]
    alarm: dict[str, Any] | None

    @classmethod
    def of(cls, watch: Watch, seconds: float) -> "RunRecord":
        names = watch.seen[0].scores if watch.seen else {}
        scores = {name: [round(seen.scores[name], 4) for seen in watch.seen] for name in names}
        alarm = None if watch.alarm is None else vars(watch.alarm)
        return cls(watch.rate, seconds, [seen.step for seen in watch.seen], scores, alarm)

    def series(self, score: str) -> np.ndarray:
        """Its values at every prediction; of `time` too, the actions of the run so far."""
        return np.array(self.steps if score == TIME else self.scores[score], np.float64)

    @property
    def alarmed_after(self) -> float | None:
        """Seconds until the alarm; None where there was none."""
        return None if self.alarm is None else self.alarm["step"] / self.rate

    def first_above(self, score: str, limit: float) -> float | None:
        """Seconds until one score was above a limit; None where it never was."""
        above = self.series(score) > limit
        return self.steps[int(np.argmax(above))] / self.rate if above.any() else None


@dataclass(frozen=True)
class Tally:
    """Alarms over many runs.

    Attributes:
        failures, caught: runs that failed, and those of them with an alarm.
        successes, false_alarms: runs that succeeded, and those of them with an alarm.
        seconds, seconds_left: medians over the failures that were caught: until the alarm, and from there until the
            time was over; None where none was caught.
    """

    failures: int
    caught: int
    successes: int
    false_alarms: int
    seconds: float | None
    seconds_left: float | None

    @classmethod
    def of(cls, runs: Iterable[tuple[bool, float, float | None]]) -> "Tally":
        """Of whether a run succeeded, how many seconds it took, and after how many there was an alarm, if any."""
        runs = list(runs)
        failed = [(length, alarm) for success, length, alarm in runs if not success]
        caught = [(length, alarm) for length, alarm in failed if alarm is not None]
        succeeded = [alarm for success, _, alarm in runs if success]
        return cls(
            len(failed),
            len(caught),
            len(succeeded),
            sum(alarm is not None for alarm in succeeded),
            float(np.median([alarm for _, alarm in caught])) if caught else None,
            float(np.median([length - alarm for length, alarm in caught])) if caught else None,
        )

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", in the median {self.seconds_left:.1f} s before the time is over"
        return (
            f"{self.caught} of {self.failures} failures caught{left}; {self.false_alarms} false alarms in "
            f"{self.successes} successes"
        )
