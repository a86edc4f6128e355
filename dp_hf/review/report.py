"""Ranked episodes as a table, and as JSON."""

from typing import Any

import numpy as np

from dp_hf.arms.quantities import decimals
from dp_hf.review.comparison import FEWEST_EPISODES
from dp_hf.review.ranking import SUSPECT, Scored

# Heading, measure, factor and decimals of the table's columns.
_COLUMNS = (
    ("SECONDS", "seconds", 1, 1),
    ("IDLE", "idle", 1, 1),
    ("PAUSES", "pauses", 1, 1),
    ("TURNS", "turns", 1, 0),
    ("JERK", "jerk", 1, 0),
    ("SPEED", "speed", 1, 2),
    ("PATH", "path", 1, 2),
    ("LATE", "late", 1, 2),
    ("MISFIT", "misfit", 100, 1),
    ("FAR", "far", 100, 1),
    ("GRIPPER", "gripper", 100, 0),
    ("NEAREST", "nearest", 100, 1),
)
_LEGEND = """\
IDLE, PAUSES: seconds in which nothing moves, at the ends and in between. TURNS: how often a joint turns back.
JERK: over speed, 1/s². SPEED, PATH: in the numbers' ranges. LATE: seconds by which the pictures come after the states.
MISFIT: by how much the states are others than the pictures tell; FAR: from its five nearest episodes; GRIPPER: from the
others' gripper; NEAREST: from the nearest one; % of the ranges. SCORE: usual deviations of the worst of them, and
from {:g} on it is in WHY."""


def as_text(ranked: list[Scored]) -> str:
    """A table of all episodes, and what the start states cover."""
    rows = [("EPISODE", "SCORE", *(heading for heading, *_ in _COLUMNS), "WHY")]
    for each in ranked:
        cells = []
        for _, measure, factor, digits in _COLUMNS:
            value = each.measures.get(measure)
            cells.append("" if value is None else f"{float(value) * factor:.{digits}f}")
        rows.append((each.track.name, f"{each.score:.1f}", *cells, ", ".join(each.suspect)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if ranked[0].comparison is None:
        few = f"{len(ranked)} episodes are too few to compare: from {FEWEST_EPISODES} on they are ranked"
        lines += ["", few]
    suspects = sum(bool(each.suspect) for each in ranked)
    lines += ["", _LEGEND.format(SUSPECT), f"to look at: {suspects} of {len(ranked)} episodes", "", "Start states:"]
    return "\n".join(lines + [f"  {line}" for line in _starts(ranked)])


def as_json(ranked: list[Scored]) -> dict[str, Any]:
    """The same, with the frames that stand out."""
    return {
        "num_episodes": len(ranked),
        "suspect_from": SUSPECT,
        "episodes": [
            {
                "name": each.track.name,
                "score": round(each.score, 3),
                "suspect": each.suspect,
                "copy_of": each.copy_of,
                "measures": {name: _rounded(value) for name, value in each.measures.items()},
                "deviations": {name: _rounded(value) for name, value in each.deviations.items()},
                "marks": [
                    {
                        "measure": mark.measure,
                        "first_frame": int(each.track.frames[mark.start]),
                        "last_frame": int(each.track.frames[mark.stop - 1]),
                        "what": mark.what,
                    }
                    for mark in each.marks
                ],
            }
            for each in ranked
        ],
        "start_states": {
            label: {"lowest": low, "highest": high, "widest_gap": gap} for label, low, high, gap in _coverage(ranked)
        },
    }


def _coverage(ranked: list[Scored]) -> list[tuple[str, float, float, float]]:
    """Of each number: its label, where episodes start at the lowest and the highest, and the widest gap in between."""
    starts = np.sort(np.array([each.track.states[0] for each in ranked], np.float64), axis=0)
    gaps = np.diff(starts, axis=0).max(axis=0, initial=0)
    rows = zip(ranked[0].track.state.labels, starts[0], starts[-1], gaps, strict=True)
    return [(label, _rounded(low), _rounded(high), _rounded(gap)) for label, low, high, gap in rows]


def _starts(ranked: list[Scored]) -> list[str]:
    units = ranked[0].track.state.units
    return [
        f"{label}: {low:.{(d := decimals(unit))}f} to {high:.{d}f}, no two neighbours farther apart than {gap:.{d}f}"
        for (label, low, high, gap), unit in zip(_coverage(ranked), units, strict=True)
    ]


def _rounded(value: Any) -> Any:
    return value if isinstance(value, str) else round(float(value), 5)
