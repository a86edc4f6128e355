"""Ranks episodes by how much they stand out from the others, and says by what."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from dp_hf.errors import UserError
from dp_hf.review.comparison import FEWEST_EPISODES, Comparison, compare
from dp_hf.review.motion import Mark, Motion, motion_of, ranges, usual_speed
from dp_hf.review.tracks import Track

# How many usual deviations an episode stands out by, to be looked at.
SUSPECT = 5.0
# By each measure: the side on which it counts (1 above the others, -1 below, 0 both), and the least deviation that
# is told apart: of its own unit, and as a share of the median.
_RULES = {
    "seconds": (0, 0.5, 0.05),
    "idle": (1, 0.2, 0.0),
    "pauses": (1, 0.2, 0.0),
    "turns": (1, 0.5, 0.0),
    "jerk": (1, 0.0, 0.1),
    "speed": (0, 0.0, 0.05),
    "path": (1, 0.0, 0.05),
    "late": (0, 0.0, 0.0),
    "misfit": (1, 0.0, 0.25),
    "far": (1, 0.0, 0.15),
    "gripper": (1, 0.05, 0.3),
}
# Largest part of a score that one measure makes.
_MOST = 20.0


@dataclass(frozen=True)
class Scored:
    """An episode, measured.

    Attributes:
        score: by how many usual deviations it stands out, from 0; that of its worst measure.
        deviations: of each measure that counts, largest first.
        comparison: None where there are too few episodes to compare with.
        marks: frames that stand out.
    """

    track: Track
    motion: Motion
    comparison: Comparison | None
    score: float = 0.0
    deviations: dict[str, float] = field(default_factory=dict)
    copy_of: str | None = None
    marks: Sequence[Mark] = ()

    @property
    def measures(self) -> dict[str, float | str]:
        """Every measure, by name."""
        found = asdict(self.motion) | ({} if self.comparison is None else asdict(self.comparison))
        return {name: value for name, value in found.items() if not isinstance(value, bool)}

    @property
    def suspect(self) -> list[str]:
        """The measures by which it stands out so much that it should be looked at."""
        found = [name for name, deviation in self.deviations.items() if deviation >= SUSPECT]
        return [f"copy of {self.copy_of}", *found] if self.copy_of is not None else found


def rank(tracks: list[Track]) -> list[Scored]:
    """All episodes, the one that stands out most first.

    Raises:
        UserError: episodes of different numbers or cameras.
    """
    _require_alike(tracks)
    scale = ranges(tracks)
    usual = usual_speed(tracks, scale)
    moved = [motion_of(track, scale, usual) for track in tracks]
    if len(tracks) < FEWEST_EPISODES:
        pairs = zip(tracks, moved, strict=True)
        return [Scored(track, motion, None, marks=marks) for track, (motion, marks) in pairs]
    compared = compare(tracks, scale)
    scored = [
        Scored(track, motion, comparison, marks=sorted([*marks, *more], key=lambda mark: mark.start))
        for track, (motion, marks), (comparison, more) in zip(tracks, moved, compared, strict=True)
    ]
    return sorted(_with_scores(scored), key=lambda each: -each.score)


def _with_scores(scored: list[Scored]) -> list[Scored]:
    deviations = {name: _deviations(scored, name) for name in _RULES}
    result = []
    for index, each in enumerate(scored):
        own = {name: min(float(values[index]), _MOST) for name, values in deviations.items() if values[index] > 0}
        own = dict(sorted(own.items(), key=lambda item: -item[1]))
        copy_of = each.comparison.nearest_name if each.comparison is not None and each.comparison.is_copy else None
        score = max([*own.values(), 0.0 if copy_of is None else _MOST])
        result.append(Scored(each.track, each.motion, each.comparison, score, own, copy_of, each.marks))
    return result


def _deviations(scored: list[Scored], name: str) -> np.ndarray:
    """(episodes,) how many usual deviations each is above the median, or on whatever side counts; 0 on the other."""
    side, least, share = _RULES[name]
    values = np.array([each.measures[name] for each in scored], np.float64)
    if name == "late":
        least = min(float(np.median(np.diff(each.track.seconds))) for each in scored) / 2.5
    median = float(np.median(values))
    usual = max(1.4826 * float(np.median(np.abs(values - median))), least, share * abs(median), 1e-9)
    apart = (values - median) / usual
    return np.abs(apart) if side == 0 else np.maximum(side * apart, 0)


def _require_alike(tracks: list[Track]) -> None:
    first = tracks[0]
    for track in tracks:
        pair = f"{first.name} and {track.name} are of two"
        if difference := first.state.difference(track.state):
            raise UserError(f"{pair} arms: the second {difference}; score each arm's episodes apart")
        if [*track.views] != [*first.views]:
            raise UserError(f"{pair} sets of cameras, {[*first.views]} and {[*track.views]}: score them apart")
