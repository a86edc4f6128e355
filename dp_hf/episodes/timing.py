"""Time in recordings: frames a second, the time of every frame, and the holes, over which no window may reach."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dp_hf.episodes.format import DEFAULT_FPS, RECORDING_FILE
from dp_hf.episodes.problems import Problem
from dp_hf.episodes.reader import Episode
from dp_hf.errors import UserError

_FPS_RANGE = (0.5, 240.0)
# Ticks a second. No step within the range of rates is within it in two of these units.
_CLOCKS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
# Of an episode's steps; where more do not increase, the others do not tell the rate (as with whole seconds).
_MAX_SHARE_OFF = 1 / 3
# Of the rate of all.
_RATE_TOLERANCE = 0.1
# In usual steps.
_LONGEST_STEP = 3.0


@dataclass(frozen=True)
class Rate:
    """The recorded rate of a data set.

    Attributes:
        fps: frames a second; None when it cannot be told, or when episodes differ.
        reason: where it comes from, for the user.
        assumed: whether at least one episode says nothing of it.
        contradicting: names of the episodes that have another rate than most.
        stated: whether the user gave it, which also says that frames are evenly spaced.
    """

    fps: float | None
    reason: str
    assumed: bool = False
    contradicting: tuple[str, ...] = ()
    stated: bool = False


class FrameTimes(NamedTuple):
    """Times of an episode's frames: (frames,) float64 seconds that increase, and what lies behind each hole.

    `holes` has the position of the first frame after every hole, and what the hole is.
    """

    seconds: np.ndarray
    holes: dict[int, str]


class _Clock(NamedTuple):
    """What the timestamps of an episode tell: the usual step in seconds, and ticks a second (None: no known unit)."""

    usual_step: float
    ticks: float | None


def detect_rate(episodes: Sequence[Episode]) -> Rate:
    """The rate from the timestamps that increase, whatever their unit; 10 where there are none."""
    clocks = {episode.name: clock for episode in episodes if (clock := _clock(episode)) is not None}
    without = [episode for episode in episodes if episode.name not in clocks]
    written = {episode.recording.fps for episode in without if episode.recording is not None}
    if not clocks and len(written) == 1:
        return Rate(written.pop(), f"as {RECORDING_FILE} says")
    if not clocks:
        return Rate(DEFAULT_FPS, f"assumed, as {_why_without(without)}; --fps states another", assumed=True)
    for name, clock in clocks.items():
        if clock.ticks is None:
            reason = f"the timestamps of {name} give {1 / clock.usual_step:g} frames a second: are they seconds?"
            return Rate(None, reason, contradicting=(name,))
    count, increasing = 0, array("d")  # of all episodes: 8 bytes a step
    for episode in episodes:
        if episode.name in clocks:
            steps = _steps(episode) / clocks[episode.name].ticks
            count += len(steps)
            increasing.frombytes(steps[steps > 0].tobytes())
    fps = round(1 / float(np.median(np.frombuffer(increasing), overwrite_input=True)), 2)
    rates = {name: 1 / clock.usual_step for name, clock in clocks.items()}
    others = [name for name, rate in rates.items() if abs(rate / fps - 1) > _RATE_TOLERANCE]
    if others:
        found = ", ".join(f"{name} ({rates[name]:.3g})" for name in others[:5])
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        return Rate(None, f"most frames are {fps:g} a second, but not those of {found}{more}", False, tuple(others))
    reason = "from the timestamps"
    ticks = {clock.ticks for clock in clocks.values()}
    if ticks != {1.0}:
        reason += ", read as " + " and ".join(unit for unit, per_second in _CLOCKS.items() if per_second in ticks)
    if off := count - len(increasing):
        reason += f"; {off} of {count} steps do not increase"
    if without:
        reason += f"; assumed for {len(without)} of {len(episodes)} episodes, as {_why_without(without)}"
    return Rate(fps, reason, assumed=bool(without))


def decide_rate(episodes: Sequence[Episode], fps: float | None, strict: bool = False) -> Rate:
    """The rate to convert with: `fps` where it is given, else what the timestamps say.

    Raises:
        UserError: it cannot be told, episodes differ, or `fps` is no rate; with `strict`, it is only assumed.
    """
    if fps is not None:
        if not _FPS_RANGE[0] <= fps <= _FPS_RANGE[1]:
            raise UserError(f"--fps {fps:g} is not within {_FPS_RANGE[0]:g} to {_FPS_RANGE[1]:g}")
        return Rate(fps, "stated by --fps", stated=True)
    rate = detect_rate(episodes)
    if rate.fps is None:
        remedy = "convert the episodes of one rate from a folder of their own, or state the rate of all with --fps"
        raise UserError(f"{rate.reason}; {remedy}")
    if strict and rate.assumed:
        raise UserError(f"the rate is {rate.fps:g} frames a second, {rate.reason}; or convert without --strict")
    return rate


def frame_times(episode: Episode, rate: Rate) -> FrameTimes:
    """When the frames were recorded, from the first one. Frames that were left out leave a gap.

    A timestamp that alone is wrong is put between its neighbours. A hole is a step of more than three usual ones, or
    one back in time of which nothing tells how long it took.
    """
    assert rate.fps is not None
    lost: list[int] = []
    clock = None if rate.stated else _clock(episode)
    if clock is None:
        positions = episode.packed.indices
        seconds, usual = (positions - positions[0]) / rate.fps, 1 / rate.fps
    else:
        stamps = _stamps(episode)
        seconds, usual = (stamps - stamps[np.isfinite(stamps)][0]) / (clock.ticks or 1.0), clock.usual_step
        if not (np.diff(seconds) > 0).all():
            seconds, lost = _repaired(seconds, usual)
    holes = {position: "the clock was set back" for position in lost}
    steps = np.diff(seconds)
    # Frames at an even distance are not moved over the limit by rounding.
    for position in np.flatnonzero(steps > (_LONGEST_STEP + 0.01) * usual) + 1:
        holes[int(position)] = f"{steps[position - 1]:.2f} s passed since the frame before, usually {usual:.3g} s"
    return FrameTimes(seconds, dict(sorted(holes.items())))


def report_holes(episode: Episode, times: FrameTimes) -> None:
    """Adds a problem for every hole, at the frame behind it."""
    indices = episode.packed.indices
    for position, what in times.holes.items():
        episode.problems.append(Problem("hole", f"{what}: a conversion cuts here", int(indices[position])))


def _stamps(episode: Episode) -> np.ndarray:
    """(frames,) in the clock's unit, NaN for a frame without one."""
    return episode.packed.stamps


def _steps(episode: Episode) -> np.ndarray:
    stamps = _stamps(episode)
    return np.diff(stamps - stamps[0] if np.isfinite(stamps[0]) else stamps)


def _clock(episode: Episode) -> _Clock | None:
    """None where too few timestamps increase."""
    steps = _steps(episode) if len(episode.frames) > 1 else np.zeros(0)
    positive = steps[steps > 0]
    if len(positive) == 0 or len(steps) - len(positive) > _MAX_SHARE_OFF * len(steps):
        return None
    step = float(np.median(positive))
    for ticks in _CLOCKS.values():
        if _FPS_RANGE[0] <= round(ticks / step, 2) <= _FPS_RANGE[1]:
            return _Clock(step / ticks, ticks)
    return _Clock(step, None)


def _why_without(episodes: Sequence[Episode]) -> str:
    for episode in episodes:
        for problem in episode.problems:
            if problem.kind == "timestamp":
                return f"{episode.name}: {problem}"
    return "the frames have no timestamps"


def _repaired(seconds: np.ndarray, usual: float) -> tuple[np.ndarray, list[int]]:
    """Times that increase, and the positions before which the clock was set back."""
    known = np.flatnonzero(np.isfinite(seconds))
    steps = np.diff(np.interp(np.arange(len(seconds)), known, seconds[known]))
    lost = []
    for i in np.flatnonzero(steps <= 0):
        if steps[i] > 0:
            continue
        pairs = [slice(k, k + 2) for k in (i - 1, i) if 0 <= k < len(steps) - 1]
        pair = min(pairs, key=lambda pair: abs(steps[pair].mean() - usual), default=slice(0, 0))
        if pair.stop and 0 < steps[pair].mean() <= _LONGEST_STEP * usual:
            steps[pair] = steps[pair].mean()
        else:
            if steps[i] < 0:
                lost.append(int(i) + 1)
            steps[i] = usual
    return np.concatenate([[0.0], np.cumsum(steps)]), lost
