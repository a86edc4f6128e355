"""Parts of a bag in which time runs evenly: what lies on the two sides of a clock's jump belongs to two episodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

Clock = Literal["made", "received"]

# Seconds. Messages of one sender may overtake each other by so much.
_OVERTAKING = 0.1
# Seconds, and ticks. What begins after a longer silence of everything is another episode.
_SILENCE, _SILENT_TICKS = 1.0, 3.0
# Seconds. Messages of different senders are written out of order by less, unless one topic is written after the other.
_WRITTEN_LATE = 1.0


@dataclass
class Stamps:
    """Messages of one sender: (messages,) numbers each, in the order of the bag.

    Attributes:
        place: which message of the bag.
        made: seconds in the header; NaN without a time, -inf of a message that cannot be read.
        received: seconds, of the recorder; NaN without a time.
    """

    place: list[int] = field(default_factory=list)
    made: list[float] = field(default_factory=list)
    received: list[float] = field(default_factory=list)


class Part(NamedTuple):
    """Of each stream, the positions of its messages in this part, and what of the clock came before it."""

    positions: dict[str, np.ndarray]
    before: str


class _Messages(NamedTuple):
    """Messages of all streams, (messages,) each."""

    stream: np.ndarray
    position: np.ndarray
    place: np.ndarray
    made: np.ndarray
    received: np.ndarray

    def at(self, rows: np.ndarray) -> "_Messages":
        return _Messages(*(column[rows] for column in self))


def split(streams: Mapping[str, Stamps], clock: Clock, fps: float, tolerance: float) -> list[Part]:
    """The parts of a bag by one of its clocks, in the order in which they were recorded.

    A part ends where the times of a stream run back by more than the tolerance (at most 0.1 s), as when a simulator was
    started again or a clock was set, and before a time without any message (1 s, or three ticks). Messages without a
    time are in no part.

    Args:
        fps: ticks a second.
        tolerance: seconds between messages that go together.
    """
    limit = min(tolerance, _OVERTAKING)
    messages, recorder_set_back = _in_order_of_arrival(streams, limit)
    times = messages.made if clock == "made" else messages.received
    back = _set_back(messages, times)
    silence = max(_SILENCE, _SILENT_TICKS / fps)
    parts = []
    for first, rows in _runs((back > limit) | recorder_set_back):
        before = "the recorder's clock was set back" if first else ""
        if back[first] > limit:
            before = f"the clock was set back by {back[first]:,.2f} s"
        rows = rows[np.isfinite(times[rows])]
        rows = rows[np.argsort(times[rows], kind="stable")]
        steps = np.diff(times[rows], prepend=times[rows[:1]])
        for start, run in _runs(steps > silence):
            if start:
                before = f"{steps[start]:,.2f} s without a message"
            part = messages.at(rows[run])
            parts.append(Part({name: part.position[part.stream == i] for i, name in enumerate(streams)}, before))
    return parts


def _in_order_of_arrival(streams: Mapping[str, Stamps], limit: float) -> tuple[_Messages, np.ndarray]:
    """All messages, and (messages,) whether the recorder's clock was set back before each.

    What was written between two such moments is in the order of that clock: topics may have been written one by one.
    """
    sizes = [len(stamps.place) for stamps in streams.values()]
    messages = _Messages(
        np.repeat(np.arange(len(sizes)), sizes),
        np.concatenate([np.arange(size) for size in sizes]),
        *(np.concatenate([getattr(s, name) for s in streams.values()]) for name in ("place", "made", "received")),
    )
    messages = messages.at(np.argsort(messages.place, kind="stable"))
    received = _with_gaps_filled(messages.received)
    back = _set_back(messages, messages.received) > limit
    if back.any():
        back |= np.diff(received, prepend=received[:1]) < -_WRITTEN_LATE
    passes = np.cumsum(back)
    return messages.at(np.lexsort((messages.place, received, passes))), np.diff(passes, prepend=0) > 0


def _set_back(messages: _Messages, times: np.ndarray) -> np.ndarray:
    """(messages,) seconds by which a stream of the message runs back there, or 0; at its first row."""
    back = np.zeros(len(times))
    for stream in np.unique(messages.stream):
        rows = np.flatnonzero((messages.stream == stream) & np.isfinite(times))
        back[rows[1:]] = np.maximum(0.0, -np.diff(times[rows]))
    firsts = np.flatnonzero(np.diff(messages.place, prepend=-1))
    at_firsts = np.zeros(len(times))
    at_firsts[firsts] = np.maximum.reduceat(back, firsts)
    return at_firsts


def _with_gaps_filled(times: np.ndarray) -> np.ndarray:
    """Each NaN as the time before it."""
    known = np.maximum.accumulate(np.where(np.isfinite(times), np.arange(len(times)), 0))
    return np.nan_to_num(times[known], nan=-np.inf)


def _runs(begins: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Where each run begins, and the rows of it."""
    starts = np.flatnonzero(begins)
    return list(zip([0, *starts.tolist()], np.split(np.arange(len(begins)), starts), strict=True))
