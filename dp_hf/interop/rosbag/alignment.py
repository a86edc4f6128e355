"""Brings streams of messages together by time, at a steady rate."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated

import numpy as np

from dp_hf.ranges import Range

TickRate = Annotated[float, Range(0.1, 240)]
"""Frames a second."""
Tolerance = Annotated[float, Range(above=0, high=10)]
"""Seconds."""


@dataclass(frozen=True)
class Gap:
    """A stretch of ticks without a frame: from `start` to `end`, in seconds from the first tick, and why."""

    start: float
    end: float
    reason: str

    def __str__(self) -> str:
        return f"{self.start:.2f} s to {self.end:.2f} s: {self.reason}"


@dataclass(frozen=True)
class Alignment:
    """The frames of an episode.

    Attributes:
        times: (frames,) seconds, of the leading stream's messages.
        chosen: stream to (frames,) positions of its messages.
        gaps: the ticks left out.
        offsets: (frames,) how far in seconds the chosen messages are from the leading stream's, at most.
    """

    times: np.ndarray
    chosen: dict[str, np.ndarray]
    gaps: list[Gap]
    offsets: np.ndarray


def align(streams: Mapping[str, np.ndarray], fps: float, tolerance: float) -> Alignment:
    """For every tick, the leading stream's message nearest to it, and of each other stream the one nearest to that.

    A tick is left out where a message is missing within the tolerance, or the leading one was taken by a tick before.

    Args:
        streams: name to (messages,) times in seconds, in any order; the first stream leads.
        fps: ticks a second, over the time that all streams cover.
        tolerance: seconds.
    """
    leading = next(iter(streams))
    start = max(times.min() for times in streams.values())
    end = min(times.max() for times in streams.values())
    # No tick where the end is before the start, be it by little, or at -inf: a stream of broken messages.
    ticks = start + np.arange(max(0.0, (end - start) * fps + 1e-6)) / fps
    chosen = {leading: nearest(streams[leading], ticks)}
    times = streams[leading][chosen[leading]]
    reasons = np.full(len(ticks), "", dtype=object)
    offsets = np.zeros(len(ticks))
    reasons[np.abs(times - ticks) > tolerance] = f"no {leading} within {tolerance:g} s"
    for name, stream in streams.items():
        if name == leading:
            continue
        chosen[name] = nearest(stream, times)
        offset = np.abs(stream[chosen[name]] - times)
        reasons[(offset > tolerance) & (reasons == "")] = f"no {name} within {tolerance:g} s"
        offsets = np.maximum(offsets, offset)
    usable = np.flatnonzero(reasons == "")
    repeated = usable[1:][np.diff(chosen[leading][usable]) <= 0]
    reasons[repeated] = f"no new {leading} since the frame before"
    kept = reasons == ""
    return Alignment(
        times=times[kept],
        chosen={name: positions[kept] for name, positions in chosen.items()},
        gaps=_gaps(reasons, fps),
        offsets=offsets[kept],
    )


def nearest(times: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Positions in `times` (any order, at least one) of those nearest to each of `at`; the earlier of two as near."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    after = np.clip(np.searchsorted(ordered, at), 1, len(ordered) - 1) if len(ordered) > 1 else np.zeros(len(at), int)
    before = np.maximum(after - 1, 0)
    return order[np.where(at - ordered[before] <= ordered[after] - at, before, after)]


def _gaps(reasons: np.ndarray, fps: float) -> list[Gap]:
    """Runs of ticks with the same reason."""
    gaps, first = [], 0
    for reason, run in groupby(reasons):
        last = first + len(list(run))
        if reason:
            gaps.append(Gap(first / fps, last / fps, reason))
        first = last
    return gaps
