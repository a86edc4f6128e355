"""What one episode's numbers say of how the arm was moved: idle ends, pauses, turning back, jerk, speed, path."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dp_hf.review.tracks import Track

# Of the usual speed of all episodes; slower is standing still. Readings of an arm at rest tremble.
STILL = 0.1
# Of a number's range; a turn back that is smaller is a tremor.
_TURN = 0.1
_SHORTEST_PAUSE = 0.3  # seconds
_LEAST_RANGE = 0.25


class Mark(NamedTuple):
    """Frames of an episode that stand out: positions from `start` up to, not including, `stop`."""

    measure: str
    start: int
    stop: int
    what: str


@dataclass(frozen=True)
class Motion:
    """How an episode was moved. Ranges are the numbers' ranges over all episodes.

    Attributes:
        seconds: how long it took.
        idle: seconds in which nothing moves before the first movement and after the last.
        pauses: seconds of standing still in between, of at least 0.3 s each.
        turns: how often a joint turned back, by more than a tenth of its range.
        jerk: of the joints over their speed, both as root mean squares; 1/s². Hogan and Sternad (2009) compare by such
            a number, for it does not grow with the speed.
        speed: of the joints while they move, ranges a second.
        path: the joints' way, ranges.
    """

    seconds: float
    idle: float
    pauses: float
    turns: int
    jerk: float
    speed: float
    path: float


def ranges(tracks: list[Track]) -> np.ndarray:
    """(numbers of a state,) what each number goes through in all episodes, but for the outermost hundredths.

    A joint that hardly turns counts as if it went through a quarter of what the farthest of its unit does: its tremor
    is no movement.
    """
    states = np.concatenate([track.states for track in tracks]).astype(np.float64)
    low, high = np.percentile(states, [1, 99], axis=0)
    wide = np.where(high > low, high - low, np.ptp(states, axis=0))
    quantities = tracks[0].state
    grippers = set(quantities.grippers)
    alike = [(unit, index in grippers) for index, unit in enumerate(quantities.units)]
    widest = {kind: max(wide[at] for at, other in enumerate(alike) if other == kind) for kind in alike}
    return np.maximum(np.maximum(wide, [_LEAST_RANGE * widest[kind] for kind in alike]), 1e-9)


def usual_speed(tracks: list[Track], scale: np.ndarray) -> float:
    """Of the fastest number, ranges a second; that a quarter of the frames in which anything moves exceed."""
    speeds = np.concatenate([np.abs(_velocities(track, scale)).max(axis=1) for track in tracks])
    moving = speeds[speeds > 0]
    return float(np.percentile(moving, 75)) if len(moving) else 0.0


def motion_of(track: Track, scale: np.ndarray, usual: float) -> tuple[Motion, list[Mark]]:
    """Measures an episode, and marks the frames in which it stands still or turns back.

    Args:
        scale, usual: `ranges` and `usual_speed` of all episodes.
    """
    velocities, steps = _velocities(track, scale), np.diff(track.seconds)
    arm = joints_of(track)
    still = np.abs(velocities).max(axis=1) <= STILL * usual
    marks = [*_still_marks(track, still)]
    turns = [*_turns(track.states[:, arm] / scale[arm])]
    marks += [Mark("turns", at, at + 1, f"{track.state.names[arm[joint]]} turns back") for at, joint in turns]
    joints = velocities[:, arm]
    speeds = np.linalg.norm(joints, axis=1)
    jerks = np.diff(joints, n=2, axis=0) / np.median(steps) ** 2
    root_speed = np.sqrt((joints**2).mean())
    motion = Motion(
        seconds=float(track.seconds[-1]),
        idle=_length(track, marks, "idle"),
        pauses=_length(track, marks, "pauses"),
        turns=len(turns),
        jerk=float(np.sqrt((jerks**2).mean()) / root_speed) if len(jerks) and root_speed else 0.0,
        speed=float(speeds[~still].mean()) if not still.all() else 0.0,
        path=float((speeds * steps).sum()),
    )
    return motion, sorted(marks, key=lambda mark: mark.start)


def joints_of(track: Track) -> list[int]:
    """Positions of the numbers that are no gripper; of all, where all are."""
    numbers = [*range(len(track.state))]
    return [index for index in numbers if index not in track.state.grippers] or numbers


def stretches(where: np.ndarray) -> list[tuple[int, int]]:
    """From where on, and up to where, each run of true values of (T,) bool goes."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(int)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _velocities(track: Track, scale: np.ndarray) -> np.ndarray:
    """(T - 1, numbers of a state), ranges a second."""
    return np.diff(track.states.astype(np.float64) / scale, axis=0) / np.diff(track.seconds)[:, None]


def _length(track: Track, marks: list[Mark], measure: str) -> float:
    spans = (track.seconds[mark.stop - 1] - track.seconds[mark.start] for mark in marks if mark.measure == measure)
    return float(sum(spans))


def _still_marks(track: Track, still: np.ndarray) -> Iterator[Mark]:
    """`still[i]` tells whether nothing moves between frames i and i + 1."""
    for start, end in stretches(still):
        seconds = track.seconds[end] - track.seconds[start]
        if start == 0 or end == len(still):
            yield Mark("idle", start, end + 1, f"nothing moves for {seconds:.1f} s")
        elif seconds >= _SHORTEST_PAUSE:
            yield Mark("pauses", start, end + 1, f"stands still for {seconds:.1f} s")


def _turns(joints: np.ndarray) -> Iterator[tuple[int, int]]:
    """(frame, joint) of every turn back; `joints` (T, joints) in ranges."""
    for joint, values in enumerate(joints.T):
        furthest = lowest = highest = 0
        direction = 0
        for at, value in enumerate(values):
            if direction == 0:
                lowest = at if value < values[lowest] else lowest
                highest = at if value > values[highest] else highest
                if values[highest] - values[lowest] > _TURN:
                    direction, furthest = (1 if highest > lowest else -1), at
            elif (value - values[furthest]) * direction >= 0:
                furthest = at
            elif abs(value - values[furthest]) > _TURN:
                yield furthest, joint
                direction, furthest = -direction, at
