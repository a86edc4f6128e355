"""What a dataset's columns do not say: rate, units, names, how actions were made, statistics. Kept as `meta.json`."""

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.arms.mycobot_280 import JOINT_NAMES, MYCOBOT_280
from dp_hf.errors import UserError

META_FILE = "meta.json"
FORMAT_VERSION = 2


@dataclass(frozen=True)
class DatasetMeta:
    """The description that stays with a dataset wherever it goes.

    Attributes:
        fps: rows a second, after frame skipping.
        camera_names: the image columns.
        episodes: names of the episodes; `episode_index` is the position.
        num_frames: rows.
        statistics: {"state" | "action": {"min" | "max" | "mean" | "std": a number for each name}} over all rows.
        action_source: "recorded" (the commands given) or "state" (the state `action_offset` rows later).
        action_offset: rows between a state and the state that is its action; 0 for the state itself.
        frame_skip: every how many recorded frames a row was taken.
        angle_unit_of_source: what the recording was in, "degrees" or "radians": the columns are in degrees, and 0..100
            for the gripper. Anything else: the columns have kept the units of the source.
        source: name of the recorded folder.
        joint_names: of the angles.
        state_names, action_names: of all that a state and an action hold.
    """

    fps: float
    camera_names: list[str]
    episodes: list[str]
    num_frames: int
    statistics: dict[str, dict[str, list[float]]]
    action_source: str = "state"
    action_offset: int = 1
    frame_skip: int = 1
    angle_unit_of_source: str = "degrees"
    source: str = ""
    joint_names: list[str] = field(default_factory=lambda: list(JOINT_NAMES))
    state_names: list[str] = field(default_factory=lambda: list(MYCOBOT_280.quantities.names))
    action_names: list[str] = field(default_factory=lambda: list(MYCOBOT_280.quantities.names))

    @property
    def action_meaning(self) -> str:
        """What a row's action is, as a phrase."""
        if self.action_source == "recorded":
            return "the command given at this frame"
        if self.action_offset < 2:
            return "the next row's state" if self.action_offset else "the row's own state"
        return f"the state {self.action_offset} rows later"

    def names(self, column: str) -> list[str]:
        """What `state` or `action` holds."""
        return self.state_names if column == "state" else self.action_names

    def save(self, folder: Path) -> None:
        """Writes `folder/meta.json`."""
        text = json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, indent=2)
        (folder / META_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "DatasetMeta":
        """Reads `folder/meta.json`.

        Raises:
            UserError: it is absent, of another version, or not what this class writes; names the field.
        """
        file = folder / META_FILE
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{file} cannot be read ({error}): convert the recording again") from error
        if not isinstance(values, dict) or values.pop("format_version", None) != FORMAT_VERSION:
            raise UserError(f"{file} is not of format version {FORMAT_VERSION}: convert the recording again")
        for entry in fields(cls):
            if entry.name not in values or not _CHECKS[entry.name](values[entry.name]):
                found = repr(values.get(entry.name, "missing"))[:80]
                raise UserError(f"{file}: {entry.name} is {found}; convert the recording again")
        for column, statistics in values["statistics"].items():
            names = values[f"{column}_names"]
            if any(len(row) != len(names) for row in statistics.values()):
                raise UserError(f"{file}: statistics of {column} are not for {names}; convert the recording again")
        return cls(**{entry.name: values[entry.name] for entry in fields(cls)})


def column_statistics(rows: np.ndarray) -> dict[str, list[float]]:
    """Minimum, maximum, mean and standard deviation of every column of (rows, dim)."""
    rows = rows.astype(np.float64)
    return {name: getattr(rows, name)(axis=0).tolist() for name in ("min", "max", "mean", "std")}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_statistics(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"state", "action"}:
        return False
    if not all(
        isinstance(columns, dict) and set(columns) == {"min", "max", "mean", "std"} for columns in value.values()
    ):
        return False
    rows = [row for columns in value.values() for row in columns.values()]
    return all(isinstance(row, list) and all(map(_is_number, row)) for row in rows)


_CHECKS = {
    "fps": lambda value: _is_number(value) and value > 0,
    "camera_names": lambda value: _are_names(value) and len(value) > 0,
    "episodes": _are_names,
    "num_frames": _is_count,
    "statistics": _are_statistics,
    "action_source": lambda value: value in ("recorded", "state"),
    "action_offset": _is_count,
    "frame_skip": lambda value: _is_count(value) and value > 0,
    "angle_unit_of_source": lambda value: isinstance(value, str),
    "source": lambda value: isinstance(value, str),
    "joint_names": _are_names,
    "state_names": _are_names,
    "action_names": _are_names,
}
