"""Units of recorded numbers: detects degrees or radians per data set, maps angles to degrees and grippers to 0..100."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dp_hf.arms.quantities import Quantities
from dp_hf.episodes.reader import Episode
from dp_hf.errors import UserError

Unit = Literal["degrees", "radians"]

# No angle in radians is larger, and an arm that does its work exceeds it in degrees.
LARGEST_RADIANS = 2 * math.pi
# Below this an arm at rest cannot be told from either unit; below the second, a task in radians is unusual.
_STANDSTILL = 0.1
_SMALL_TASK = 1.0
# A calibrated gripper reads a little beyond its ends.
_PERCENT_SLACK = 5.0


@dataclass(frozen=True)
class UnitVerdict:
    """The angle unit of a data set.

    Attributes:
        unit: None when it cannot be told, or when episodes differ.
        reason: one sentence for the user.
        doubtful: whether `unit` may be wrong (or is unknown because the arm hardly moves).
        contradicting: names of the episodes that are not in the unit of the others.
    """

    unit: Unit | None
    reason: str
    doubtful: bool = False
    contradicting: tuple[str, ...] = ()


def detect_unit(episodes: Sequence[Episode]) -> UnitVerdict:
    """Tells degrees from radians by the largest |angle| of every episode; says where that is in doubt.

    Real recordings in degrees may begin with frames of values near 1e-18, so no single frame decides.
    """
    largest = {episode.name: _largest_angle(episode) for episode in episodes if episode.frames}
    degrees = [name for name, angle in largest.items() if angle > LARGEST_RADIANS]
    small = [name for name, angle in largest.items() if angle <= LARGEST_RADIANS]
    overall = max(largest.values(), default=0.0)
    if degrees:
        moving = tuple(name for name in small if largest[name] > _STANDSTILL)
        if moving:
            reason = (
                f"{_list(degrees)} reach {overall:.1f}, so they are in degrees; "
                f"{_list(moving)} stay within 2*pi, as angles in radians do"
            )
            return UnitVerdict(None, reason, contradicting=moving)
        reason = f"angles reach {overall:.1f}"
        if small:
            reason += f"; {_list(small)} hardly move, so their unit is taken from the others"
        return UnitVerdict("degrees", reason, doubtful=bool(small))
    if overall <= _STANDSTILL:
        return UnitVerdict(None, f"the arm stands still: no |angle| exceeds {overall:.3g}", doubtful=True)
    reason = f"all {len(largest)} episodes stay within 2*pi (the largest |angle| is {overall:.2f})"
    if overall <= _SMALL_TASK:
        reason += "; so small a movement may as well be an arm at rest recorded in degrees"
    return UnitVerdict("radians", reason, doubtful=overall <= _SMALL_TASK)


def decide_unit(episodes: Sequence[Episode], angle_unit: Literal["auto", "degrees", "radians"]) -> UnitVerdict:
    """The forced unit, or the detected one.

    Raises:
        UserError: it is not forced, and episodes differ or the arm stands still.
    """
    detected = detect_unit(episodes)
    if angle_unit != "auto":
        disagrees = detected.unit is not None and detected.unit != angle_unit
        but = f"; but {detected.reason}: that looks like {detected.unit}" if disagrees else ""
        return UnitVerdict(angle_unit, f"stated by --angle_unit{but}", doubtful=disagrees)
    if detected.unit is None:
        remedy = "state the unit with --angle_unit degrees or --angle_unit radians"
        if detected.contradicting:
            remedy = "move the episodes of one unit to another folder, or " + remedy
        raise UserError(f"the angle unit is not clear: {detected.reason}; {remedy}")
    return detected


def contradiction(quantities: Quantities, low: np.ndarray, high: np.ndarray) -> str | None:
    """What the lowest and highest values of a data set say against its units, as a sentence, or None."""
    largest = np.maximum(np.abs(low), np.abs(high))
    percent = [i for i, unit in enumerate(quantities.units) if unit == "0..100"]
    if beyond := [i for i in percent if low[i] < -_PERCENT_SLACK or high[i] > 100 + _PERCENT_SLACK]:
        names = _list([quantities.names[i] for i in beyond])
        return f"{names} are said to be 0..100, and go from {low[beyond].min():.1f} to {high[beyond].max():.1f}"
    angles = [i for i in range(len(quantities)) if i not in quantities.grippers]
    in_radians, in_degrees = ([i for i in angles if quantities.units[i] == unit] for unit in ("radians", "degrees"))
    if beyond := [i for i in in_radians if largest[i] > LARGEST_RADIANS]:
        names = _list([quantities.names[i] for i in beyond])
        return f"{names} are said to be in radians, and reach {largest[beyond].max():.1f}: that looks like degrees"
    if in_degrees and _STANDSTILL < (reached := largest[in_degrees].max()) <= LARGEST_RADIANS:
        return f"the angles are said to be in degrees, and stay within {reached:.2f}: that looks like radians"
    return None


def doubt_of_degrees(states: np.ndarray) -> str | None:
    """Why degrees (frames, 7) that become an episode would be taken for radians when it is read, or None."""
    largest = float(np.abs(states[:, :6]).max(initial=0.0))
    if largest > LARGEST_RADIANS:
        return None
    return f"no angle exceeds {largest:.2f} degrees, which look like radians: convert with --angle_unit degrees"


@dataclass(frozen=True)
class Gripper:
    """How recorded gripper values map to 0..100 with 100 = open.

    Attributes:
        open: whether the high or the low end of the recorded range is the open gripper.
        range: recorded values (low end, high end); a radian-controlled robot has (-0.5, 0.0).
    """

    open: Literal["high", "low"] = "high"
    range: tuple[float, float] = (0.0, 100.0)

    def __post_init__(self):
        low, high = self.range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            remedy = "give the lower one first, and say --gripper_open low if that is the open gripper"
            raise UserError(f"--gripper_range {low:g} {high:g} is no range: {remedy}")

    def to_percent(self, values: np.ndarray) -> np.ndarray:
        """Maps recorded values of any shape to 0..100, 100 = open; values beyond the range are clipped."""
        low, high = self.range
        percent = np.clip((values - low) / (high - low) * 100, 0, 100)
        return percent if self.open == "high" else 100 - percent

    def doubt(self, episodes: Sequence[Episode]) -> str | None:
        """What speaks against the range in the recorded values of all episodes, or None."""
        return self._doubt(episode.states[:, 6] for episode in episodes if episode.frames)

    def doubt_of(self, values: np.ndarray) -> str | None:
        """What speaks against the range in recorded values, of any shape, or None."""
        return self._doubt([values] if values.size else [])

    def _doubt(self, recorded: Iterable[np.ndarray]) -> str | None:
        low, high = self.range
        lowest, highest, beyond, count = math.inf, -math.inf, 0, 0
        for values in recorded:
            lowest, highest = min(lowest, values.min()), max(highest, values.max())
            beyond += int(((values < low) | (values > high)).sum())
            count += values.size
        found = f"gripper values go from {lowest:g} to {highest:g}"
        if beyond:
            return f"{found}; {beyond} of {count} lie beyond {low:g}..{high:g} and are clipped"
        if 0 < highest - low <= (high - low) / 50:
            return f"{found}, hardly a part of {low:g}..{high:g}"
        return None


def to_public_units(raw: np.ndarray, unit: Unit, gripper: Gripper) -> np.ndarray:
    """Recorded states or actions as everybody else sees them.

    Args:
        raw: (..., 7) six angles in `unit`, the raw gripper value.
        unit: of the angles.
        gripper: the mapping of the last column.

    Returns:
        (..., 7) float32: degrees, and 0..100 with 100 = open.
    """
    angles = raw[..., :6] if unit == "degrees" else np.rad2deg(raw[..., :6])
    return np.concatenate([angles, gripper.to_percent(raw[..., 6:])], axis=-1).astype(np.float32)


def _largest_angle(episode: Episode) -> float:
    actions = episode.actions
    rows = episode.states if actions is None else np.concatenate([episode.states, actions])
    return float(np.abs(rows[:, :6]).max())


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
