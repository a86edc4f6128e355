"""Time that never jumps, and moments at a fixed rate."""

import contextlib
import gc
import sys
import time
from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Clock(Protocol):
    """Monotonic seconds; tests bring a clock of their own."""

    def now(self) -> float: ...

    def sleep_until(self, moment: float) -> None: ...


class MonotonicClock:
    """The computer's own."""

    def now(self) -> float:
        return time.monotonic()

    def sleep_until(self, moment: float) -> None:
        time.sleep(max(0.0, moment - time.monotonic()))


@contextlib.contextmanager
def punctual_interpreter() -> Iterator[None]:
    """Keeps Python from making a control loop wait.

    What has been loaded is kept out of garbage collection, which stops all threads for 0.3 s once torch is there; and
    the interpreter changes between threads ten times as often, so that an inference of many small operations lets the
    loop have its turn.
    """
    interval = sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(interval / 10)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.unfreeze()


class Grid:
    """Moments a period apart.

    A moment met more than half a period late starts the grid anew: the next is a full period later, never sooner to
    catch up.

    Attributes:
        next: the moment to come.
        num_late: moments met too late.
    """

    def __init__(self, period: float, first: float = -np.inf):
        self.period = period
        self.next = first
        self.num_late = 0

    def advance(self, now: float) -> None:
        """Takes note that the moment is met, at `now`."""
        if now - self.next > self.period / 2:
            self.num_late += int(np.isfinite(self.next))
            self.next = now
        self.next += self.period
