"""What a dataset's columns do not say: rate, units, names, how actions were made, statistics. Kept as `meta.json`."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.arms import mycobot_280
from dp_hf.arms.quantities import Quantities, decimals, told_apart
from dp_hf.cameras import is_camera_name
from dp_hf.errors import UserError
from dp_hf.files import leads_out, read_json

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
        angle_unit_of_source: "degrees" or "radians" for a recorded folder whose angles were converted from it, else "as
            recorded".
        source: name of the recorded folder.
        state_names, action_names: what each number of a state and of an action is, all different.
        state_units, action_units: the unit of each, as in `dp_hf.arms.quantities.UNITS`.
        has_actors: whether the column `actor` says who acted in each row, "person", "policy" or "nobody"; where it is
            not there, all rows are demonstrations.
        warnings: what most likely means something else than it seems to, a line each; training prints them.
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
    state_names: list[str] = field(default_factory=lambda: list(mycobot_280.QUANTITIES.names))
    state_units: list[str] = field(default_factory=lambda: list(mycobot_280.QUANTITIES.units))
    action_names: list[str] = field(default_factory=lambda: list(mycobot_280.QUANTITIES.names))
    action_units: list[str] = field(default_factory=lambda: list(mycobot_280.QUANTITIES.units))
    has_actors: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def state(self) -> Quantities:
        """The numbers of a state."""
        return Quantities(tuple(self.state_names), tuple(self.state_units))

    @property
    def action(self) -> Quantities:
        """The numbers of an action."""
        return Quantities(tuple(self.action_names), tuple(self.action_units))

    @property
    def action_meaning(self) -> str:
        """What a row's action is, as a phrase."""
        if self.action_source == "recorded":
            return "the command given at this frame"
        if self.action_offset < 2:
            return "the next row's state" if self.action_offset else "the row's own state"
        return f"the state {self.action_offset} rows later"

    def statistics_table(self) -> Iterator[tuple[str, ...]]:
        """A row for each number of a state and of an action: what it is, minimum, maximum, mean, standard deviation."""
        for column, quantities in (("state", self.state), ("action", self.action)):
            for index, (label, unit) in enumerate(zip(quantities.labels, quantities.units, strict=True)):
                values = (self.statistics[column][key][index] for key in ("min", "max", "mean", "std"))
                yield f"{column} {label}", *(f"{value:.{decimals(unit)}f}" for value in values)

    def save(self, folder: Path) -> None:
        """Writes `folder/meta.json`."""
        # The format has the field `joint_names`, and readers of it refuse a file without.
        units = zip(self.state_names, self.state_units, strict=True)
        joints = [name for name, unit in units if unit in ("degrees", "radians")]
        text = json.dumps({"format_version": FORMAT_VERSION, "joint_names": joints, **asdict(self)}, indent=2)
        (folder / META_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "DatasetMeta":
        """Reads `folder/meta.json`.

        Raises:
            UserError: it is absent, of another version, or not what this class writes; names the field.
        """
        file = folder / META_FILE
        values = read_json(file)
        if "format_version" not in values:
            raise UserError(
                f"{file} is another program's: it has no format_version; move it away if {folder} holds episodes, or "
                "write the rows with dp_hf's DatasetWriter"
            )
        if values.pop("format_version") != FORMAT_VERSION:
            raise UserError(f"{file} is not of format version {FORMAT_VERSION}: convert the recording again")
        if "state_units" not in values and "action_units" not in values:
            _describe(values)
        values = {"has_actors": False, "warnings": [], **values}
        for entry in fields(cls):
            if entry.name not in values or not _CHECKS[entry.name](values[entry.name]):
                found = repr(values.get(entry.name, "missing"))[:80]
                raise UserError(f"{file}: {entry.name} is {found}; convert the recording again")
        for column, statistics in values["statistics"].items():
            names = values[f"{column}_names"]
            if any(len(row) != len(names) for row in statistics.values()):
                raise UserError(f"{file}: statistics of {column} are not for {names}; convert the recording again")
        meta = cls(**{entry.name: values[entry.name] for entry in fields(cls)})
        for column in ("state", "action"):
            try:
                getattr(meta, column)
            except UserError as error:
                raise UserError(
                    f"{file}: {column}_names and {column}_units: {error}; convert the recording again"
                ) from error
        return meta


def column_statistics(rows: np.ndarray) -> dict[str, list[float]]:
    """Minimum, maximum, mean and standard deviation of every column of (rows, dim)."""
    rows = rows.astype(np.float64)
    return {name: getattr(rows, name)(axis=0).tolist() for name in ("min", "max", "mean", "std")}


def _describe(values: dict[str, Any]) -> None:
    """Completes a file without units: a converted recording has the myCobot's, and what others are is unknown."""
    mycobot = mycobot_280.QUANTITIES
    for column in ("state", "action"):
        names: Any = values.get(f"{column}_names")
        if _are_names(names):
            converted = values.get("angle_unit_of_source") in ("degrees", "radians")
            is_mycobot = converted and tuple(names) == mycobot.names
            values[f"{column}_names"] = list(told_apart(names))
            values[f"{column}_units"] = list(mycobot.units) if is_mycobot else ["unknown"] * len(names)


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
    "camera_names": lambda value: _are_names(value) and len(value) > 0 and all(map(is_camera_name, value)),
    "episodes": lambda value: _are_names(value) and not any(map(leads_out, value)),
    "num_frames": _is_count,
    "statistics": _are_statistics,
    "action_source": lambda value: value in ("recorded", "state"),
    "action_offset": _is_count,
    "frame_skip": lambda value: _is_count(value) and value > 0,
    "angle_unit_of_source": lambda value: isinstance(value, str),
    "source": lambda value: isinstance(value, str),
    "state_names": _are_names,
    "state_units": _are_names,
    "action_names": _are_names,
    "action_units": _are_names,
    "has_actors": lambda value: isinstance(value, bool),
    "warnings": _are_names,
}
