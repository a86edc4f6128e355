"""How a run of the control loop went, in one line."""

from collections import Counter, deque
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

LATEST = 100_000
# In the folder of an episode that a run was recorded into.
REPORT_FILE = "run_report.json"


class Durations:
    """Seconds that something took: how often, and percentiles of the `LATEST`."""

    def __init__(self):
        self.count = 0
        self._latest: deque[float] = deque(maxlen=LATEST)

    def add(self, seconds: float) -> None:
        self.count += 1
        self._latest.append(seconds)

    def percentile(self, percent: float) -> float:
        """In seconds; nan when nothing was measured."""
        return float(np.percentile(self._latest, percent)) if self._latest else float("nan")

    def __str__(self) -> str:
        if not self._latest:
            return "none"
        return f"p50 {1000 * self.percentile(50):.1f} ms, p99 {1000 * self.percentile(99):.1f} ms"


@dataclass(frozen=True)
class Border:
    """Where a chunk took over from the one before.

    Attributes:
        time: of its first command, seconds since the start.
        predicted: latency that it was expected to have, seconds; None where none had been measured.
        latency: that it had, from the policy's being asked to the first command.
        prefix: actions that the policy had been told as committed.
        jump: change of velocity that it asked for there, before the limiter; the largest of all numbers, each as a
            share of its limit of velocity.
    """

    time: float
    predicted: float | None
    latency: float
    prefix: int
    jump: float


@dataclass
class Report:
    """Counts and times of a run.

    Attributes:
        seconds: how long the loop has run.
        commands: sent.
        overruns: commands more than half a period late.
        chunks: taken from the policy.
        misses: observations that were due while the inference before was still running.
        starved: steps at which the arm had done all of a chunk, and waited for the next.
        rejected: chunks not taken, by reason.
        holds: times that the arm was held, by reason.
        takeovers: times that a person took the arm.
        retries: times that the arm was back where the run began, to try again.
        inference: from an observation's submission until its chunk was picked up.
        image_to_command: from a frame's arrival until the first command based on it was sent.
        borders: the `LATEST` chunks that took over.
    """

    seconds: float = 0.0
    commands: int = 0
    overruns: int = 0
    chunks: int = 0
    misses: int = 0
    starved: int = 0
    rejected: Counter = field(default_factory=Counter)
    holds: int = 0
    takeovers: int = 0
    retries: int = 0
    inference: Durations = field(default_factory=Durations)
    image_to_command: Durations = field(default_factory=Durations)
    borders: deque[Border] = field(default_factory=lambda: deque(maxlen=LATEST))

    def to_dict(self) -> dict[str, Any]:
        """Counts, percentiles in seconds and every border, as JSON has them; nothing measured is None."""

        def percentiles(durations: Durations) -> dict[str, float | None]:
            return {f"p{p}": durations.percentile(p) if durations.count else None for p in (50, 99)}

        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {
            "rejected": dict(self.rejected),
            "inference": percentiles(self.inference),
            "image_to_command": percentiles(self.image_to_command),
            "borders": [asdict(border) for border in self.borders],
        }

    def borders_in_words(self) -> str:
        """How chunks met: jumps, how far latencies were from what was expected, and how much was committed."""
        if not self.borders:
            return "no borders"
        jumps = np.percentile([border.jump for border in self.borders], [50, 99])
        off = [abs(border.latency - border.predicted) for border in self.borders if border.predicted is not None]
        told = np.mean([border.prefix for border in self.borders])
        known = f", latency off by p99 {1000 * np.percentile(off, 99):.1f} ms" if off else ""
        return f"jumps at borders p50 {jumps[0]:.0%}, p99 {jumps[1]:.0%} of the limit{known}, {told:.1f} committed"

    def __str__(self) -> str:
        seconds = max(self.seconds, 1e-9)
        rejected = "".join(f", {count} rejected: {reason}" for reason, count in self.rejected.items())
        taken = f", {self.takeovers} times taken by a person" if self.takeovers else ""
        taken += f", {self.retries} times back to the start" if self.retries else ""
        return (
            f"{self.seconds:.1f} s: {self.commands} commands ({self.commands / seconds:.2f} Hz, {self.overruns} late), "
            f"{self.chunks} chunks ({self.chunks / seconds:.2f} Hz, {self.misses} misses, {self.starved} starved"
            f"{rejected}), {self.holds} holds{taken}; inference {self.inference}; image to command "
            f"{self.image_to_command}; {self.borders_in_words()}"
        )
