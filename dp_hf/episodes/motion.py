"""What the numbers and pictures of an episode say about the arm: readings that no arm makes, and a camera that stalls.

Everything found is reported by frame and nothing is left out: whether a reading is wrong is for a person to say.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dp_hf.episodes.images import ImageFile
from dp_hf.episodes.problems import Problem
from dp_hf.episodes.reader import Episode
from dp_hf.episodes.units import Unit

# In degrees. A turn that wraps steps by 360 less one step of the arm.
_WRAP = 320.0
# No joint steps so far and back at once, nor by so many usual steps of its own.
_SPIKE, _SPIKE_STEPS = 30.0, 10.0
# From a frame of zeros to the next that is none; an arm that comes home to zero is near it before.
_ZERO_STEP = 10.0
# A camera stalls where an arm turns by so much before equal pictures.
_SEEN_TURN = 5.0
_STALL_SECONDS, _STALL_FRAMES = 1.0, 5
# Equal readings in a row that may be an arm that waits.
_WAIT_FRAMES = 8


class Still(NamedTuple):
    """Positions of the frames, the last one excluded, in which a camera shows one picture."""

    camera: str
    start: int
    stop: int


def report_motion(episode: Episode, unit: Unit) -> None:
    """Adds a problem for every reading of the joints that no arm makes.

    Args:
        episode: with at least one frame.
        unit: of its angles.
    """
    angles = _degrees(episode, unit)
    if (episode.states == episode.states[0]).all():
        episode.problems.append(Problem("no motion", f"all {len(angles)} frames have the same state"))
        return
    found: dict[int, tuple[str, str]] = {}
    for start, stop in _runs((np.diff(angles, axis=0) == 0).all(axis=1)):
        if stop - start > max(_WAIT_FRAMES, len(angles) / 2):
            last = episode.frames[stop - 1].index
            found[start] = "frozen reading", f"the angles are the same in {stop - start} frames, to frame {last}"
    for position in _zero_frames(angles):
        found[position] = "zero reading", "all angles are 0, but not in the frames around it"
    steps = np.diff(angles, axis=0)
    for before, joint in np.argwhere(np.abs(steps) > _WRAP):
        values = f"{angles[before, joint]:.1f} to {angles[before + 1, joint]:.1f} degrees"
        found.setdefault(int(before) + 1, ("wrapped angle", f"joint {joint + 1} wraps from {values}"))
    for position, joint in _spikes(angles):
        before, value = angles[position - 1 : position + 1, joint]
        message = f"joint {joint + 1} is at {value:.1f} degrees in this frame alone, and near {before:.1f} around it"
        found.setdefault(position, ("spike", message))
    for position, (kind, message) in sorted(found.items()):
        episode.problems.append(Problem(kind, message, episode.frames[position].index))


def still_pictures(images: Sequence[Mapping[str, ImageFile]]) -> list[Still]:
    """Every run of at least five frames in which a camera's files are equal. `images` are those of every frame."""
    found = []
    for camera in images[0] if images else ():
        same = [before[camera].data == after[camera].data for before, after in pairwise(images)]
        runs = _runs(np.array(same, dtype=bool))
        found += [Still(camera, start, stop) for start, stop in runs if stop - start >= _STALL_FRAMES]
    return found


def report_stalls(episode: Episode, stills: Sequence[Still], unit: Unit, seconds: np.ndarray) -> None:
    """Adds a problem for every camera that shows one picture for seconds while the arm turns.

    Args:
        episode: with at least one frame.
        stills: its `still_pictures`.
        unit: of its angles.
        seconds: (frames,) time of every frame.
    """
    angles = _degrees(episode, unit)
    for camera, start, stop in stills:
        length = seconds[stop - 1] - seconds[start]
        turn = np.ptp(angles[start:stop], axis=0).max()
        if length >= _STALL_SECONDS and turn > _SEEN_TURN:
            message = f"camera {camera} shows one picture for {length:.1f} s, while a joint turns by {turn:.0f} degrees"
            episode.problems.append(Problem("stalled camera", message, episode.frames[start].index))


def _degrees(episode: Episode, unit: Unit) -> np.ndarray:
    angles = episode.states[:, :6]
    return angles if unit == "degrees" else np.rad2deg(angles)


def _runs(same: np.ndarray) -> Iterator[tuple[int, int]]:
    """(start, stop) of the frames of every run; `same[i]` tells whether frames i and i + 1 are equal."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(int)))
    for start, end in edges.reshape(-1, 2):
        yield int(start), int(end) + 1


def _zero_frames(angles: np.ndarray) -> list[int]:
    """Positions of the frames of zeros between others that are far from zero."""
    found: list[int] = []
    nonzero = np.flatnonzero((angles != 0).any(axis=1))
    for before, after in pairwise(nonzero):
        if after - before > 1 and np.abs(angles[[before, after]]).max(axis=1).min() > _ZERO_STEP:
            found += range(int(before) + 1, int(after))
    return found


def _spikes(angles: np.ndarray) -> list[tuple[int, int]]:
    """(position, joint) of every value far from those of both frames around it, which are near each other."""
    steps = np.diff(angles, axis=0)
    there, back = steps[:-1], -steps[1:]
    usual = np.median(np.abs(steps), axis=0)
    far = np.minimum(np.abs(there), np.abs(back)) > np.maximum(_SPIKE, _SPIKE_STEPS * usual)
    near = np.abs(there - back) < np.abs(there) / 4
    return [(int(before) + 1, int(joint)) for before, joint in np.argwhere(far & near & (there * back > 0))]
