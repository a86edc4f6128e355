"""What the numbers and pictures of an episode say about the arm: readings that no arm makes, and a camera that stalls.

Every dataset passes here while it is written, whatever it is made of. What is found is reported by frame and nothing is
left out: whether a reading is wrong is for a person to say. Grippers jump, and are none of the angles looked at.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dp_hf.arms.quantities import Quantities
from dp_hf.episodes.problems import Problem
from dp_hf.episodes.units import LARGEST_RADIANS
from dp_hf.errors import UserError
from dp_hf.pictures import coarse_view

_TURN = {"degrees": 360.0, "radians": 2 * math.pi}
# In degrees. A turn that wraps steps by 360 less one step of the arm.
_WRAP = 320.0
# In degrees, in metres. Nothing steps so far and back at once, nor by so many usual steps of its own.
_SPIKES, _SPIKE_STEPS = (30.0, 0.2), 10.0
# From a frame of zeros to the next that is none; an arm that comes home to zero is near it before.
_ZERO_STEP = 10.0
# A camera stalls where an arm turns by so much before equal pictures.
_SEEN_TURN = 5.0
_STALL_SECONDS, _STALL_FRAMES = 1.0, 5
# Grey values of 255, averaged over a block of the picture.
_CODEC_NOISE = 3
_JPEG = b"\xff\xd8"
# Equal readings in a row that may be an arm that waits.
_WAIT_FRAMES = 8


class Still(NamedTuple):
    """Positions of the frames, the last one excluded, in which a camera shows one picture."""

    camera: str
    start: int
    stop: int


def unwrap(
    states: np.ndarray, state: Quantities, actions: np.ndarray | None = None, action: Quantities | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Lets every angle that wraps go on: whole turns are added, so that 179, -179 degrees becomes 179, 181.

    The commands of an angle follow its states. Grippers and numbers that are no angles stay as they are.

    Args:
        states: (rows, numbers of a state) of one episode, all that was recorded.
        actions: (rows, numbers of an action), the commands given at those rows.
        state, action: what the numbers are; an action has a state's by default.

    Raises:
        UserError: no number is known to be an angle.
    """
    action = action or state
    going_on = states.copy()
    turns = _turns(state)
    if not turns:
        raise UserError("no number is known to be an angle, so none can be unwrapped: state the units first")
    for column, turn in turns.items():
        going_on[:, column] = np.unwrap(states[:, column], discont=turn * _WRAP / 360, period=turn)
    if actions is None:
        return going_on, None
    commands = actions.copy()
    for column, turn in _turns(action).items():
        limit = turn * _WRAP / 360
        if action.names[column] in state.names:
            measured = state.names.index(action.names[column])
            apart = states[:, measured] - actions[:, column]
            other_side = np.where(np.abs(apart) > limit, np.round(apart / turn) * turn, 0)
            commands[:, column] += going_on[:, measured] - states[:, measured] + other_side
        else:
            commands[:, column] = np.unwrap(actions[:, column], discont=limit, period=turn)
    return going_on, commands


def motion_problems(
    states: np.ndarray,
    state: Quantities,
    actions: np.ndarray | None = None,
    frames: Sequence[int] | np.ndarray | None = None,
) -> list[Problem]:
    """A problem for every reading of the joints, or command, that no arm makes, in the order of the frames.

    Args:
        states: (rows, numbers), at least one.
        state: what the numbers are. Those of unknown units are taken for angles in the unit that their size tells.
        actions: (rows, numbers), commands with a state's numbers.
        frames: what the rows are called; by default their positions.
    """
    frames = range(len(states)) if frames is None else frames
    if len(states) > 1 and (states == states[0]).all():
        return [Problem("no motion", f"all {len(states)} frames have the same state")]
    columns, lengths = _angle_columns(state), _length_columns(state)
    found: dict[int, tuple[str, str]] = {}
    read = states[:, columns + lengths] if columns + lengths else states
    for start, stop in _runs((np.diff(read, axis=0) == 0).all(axis=1)):
        if stop - start > max(_WAIT_FRAMES, len(read) / 2):
            message = f"the readings are the same in {stop - start} frames, to frame {frames[stop - 1]}"
            found[start] = "frozen reading", message
    for whose, values in (("", states), ("the command of ", actions)):
        if values is None:
            continue
        angles = _degrees(values, state, columns)
        for position in _zero_frames(angles):
            zeros = "commands of angles" if whose else "angles"
            found.setdefault(position, ("zero reading", f"all {zeros} are 0, but not in the frames around it"))
        for position, joint, step in _wraps(angles):
            name = f"{whose}{state.names[columns[joint]]}"
            found.setdefault(position, ("wrapped angle", f"{name} wraps from {step}"))
        for position, name, value, around in _spikes_of(state, (columns, angles), (lengths, values[:, lengths])):
            message = f"{whose}{name} is at {value} in this frame alone, and near {around} around it"
            found.setdefault(position, ("spike", message))
    return [Problem(kind, message, int(frames[position])) for position, (kind, message) in sorted(found.items())]


class StillFinder:
    """Finds every run of at least five frames in which a camera shows one picture, of files given one after the other.

    Files are equal, or JPEG files that differ by no more than a codec's noise, as the frames of a video do.
    """

    def __init__(self) -> None:
        self._cameras: dict[str, _StillCamera] = {}

    def add(self, camera: str, file: bytes) -> None:
        """Takes a camera's next file."""
        self._cameras.setdefault(camera, _StillCamera(camera)).add(file)

    def found(self) -> list[Still]:
        """All runs, when there is no further file."""
        return [still for camera in self._cameras.values() for still in camera.found()]


class _StillCamera:
    def __init__(self, camera: str):
        self.camera = camera
        self._found: list[Still] = []
        self._start = self._count = 0
        self._shown: tuple[bytes, np.ndarray | None] | None = None

    def add(self, file: bytes) -> None:
        view = _view(file)
        if self._shown is None or not _shows_the_same(self._shown[0], file, self._shown[1], view):
            self._end_run()
            self._start, self._shown = self._count, (file, view)
        self._count += 1

    def found(self) -> list[Still]:
        self._end_run()
        return self._found

    def _end_run(self) -> None:
        if self._count - self._start >= _STALL_FRAMES:
            self._found.append(Still(self.camera, self._start, self._count))


def _view(file: bytes) -> np.ndarray | None:
    with suppress(UserError):  # a writer takes files whose pixels nobody has decoded yet
        return coarse_view(file) if file.startswith(_JPEG) else None
    return None


def _shows_the_same(one: bytes, other: bytes, view: np.ndarray | None, other_view: np.ndarray | None) -> bool:
    if view is None or other_view is None:
        return one == other
    return bool(np.abs(view - other_view).max() <= _CODEC_NOISE)


def stall_problems(
    states: np.ndarray,
    state: Quantities,
    stills: Sequence[Still],
    seconds: np.ndarray,
    frames: Sequence[int] | np.ndarray | None = None,
) -> list[Problem]:
    """A problem for every camera that shows one picture for seconds while the arm turns.

    Args:
        states, state, frames: as of `motion_problems`.
        stills: of the episode, by `StillFinder`.
        seconds: (rows,) time of every frame.
    """
    frames = range(len(states)) if frames is None else frames
    angles = _degrees(states, state, _angle_columns(state))
    found = []
    for camera, start, stop in stills:
        length = seconds[stop - 1] - seconds[start]
        turn = np.ptp(angles[start:stop], axis=0).max(initial=0)
        if length >= _STALL_SECONDS and turn > _SEEN_TURN:
            message = f"camera {camera} shows one picture for {length:.1f} s, while a joint turns by {turn:.0f} degrees"
            found.append(Problem("stalled camera", message, int(frames[start])))
    return found


def _turns(quantities: Quantities) -> dict[int, float]:
    """A whole turn of every number that is known to be an angle, by its position."""
    units = enumerate(quantities.units)
    return {i: _TURN[unit] for i, unit in units if unit in _TURN and i not in quantities.grippers}


def _angle_columns(quantities: Quantities) -> list[int]:
    """Positions of the angles, and of the numbers that may be angles."""
    units = enumerate(quantities.units)
    return [i for i, unit in units if unit in (*_TURN, "unknown") and i not in quantities.grippers]


def _length_columns(quantities: Quantities) -> list[int]:
    return [i for i, unit in enumerate(quantities.units) if unit == "metres"]


def _degrees(values: np.ndarray, quantities: Quantities, columns: Sequence[int]) -> np.ndarray:
    """The angles of (rows, numbers), in degrees: (rows, columns)."""
    unknown = [i for i in columns if quantities.units[i] == "unknown"]
    unit_of_unknown = "degrees" if np.abs(values[:, unknown]).max(initial=0) > LARGEST_RADIANS else "radians"
    units = (unit_of_unknown if i in unknown else quantities.units[i] for i in columns)
    return values[:, columns].astype(np.float64) * [360 / _TURN[unit] for unit in units]


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


def _wraps(angles: np.ndarray) -> Iterator[tuple[int, int, str]]:
    """(position behind it, joint, its two values in words) of every step of nearly a turn."""
    for before, joint in np.argwhere(np.abs(np.diff(angles, axis=0)) > _WRAP):
        values = f"{angles[before, joint]:.1f} to {angles[before + 1, joint]:.1f} degrees"
        yield int(before) + 1, int(joint), values


def _spikes_of(
    quantities: Quantities, *groups: tuple[Sequence[int], np.ndarray]
) -> Iterator[tuple[int, str, str, str]]:
    """(position, name, value, value around it) of every spike of angles in degrees, and of lengths in metres.

    Args:
        groups: the columns, and (rows, columns) their numbers, of the angles and of the lengths.
    """
    for (columns, rows), smallest, text in zip(groups, _SPIKES, ("{:.1f} degrees", "{:.3g} metres"), strict=True):
        for position, column in _spikes(rows, smallest):
            around, value = rows[position - 1 : position + 1, column]
            yield position, quantities.names[columns[column]], text.format(value), text.format(around)


def _spikes(rows: np.ndarray, smallest: float) -> list[tuple[int, int]]:
    """(position, column) of every value far from those of both frames around it, which are near each other."""
    steps = np.diff(rows.astype(np.float64), axis=0)
    if len(steps) < 2:
        return []
    there, back = steps[:-1], -steps[1:]
    usual = np.median(np.abs(steps), axis=0)
    far = np.minimum(np.abs(there), np.abs(back)) > np.maximum(smallest, _SPIKE_STEPS * usual)
    near = np.abs(there - back) < np.abs(there) / 4
    return [
        (int(before) + 1, int(column)) for before, column in np.argwhere(far & near & (np.sign(there) == np.sign(back)))
    ]
