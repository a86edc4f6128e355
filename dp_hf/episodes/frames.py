"""Reads one frame object of a states file; whatever is wrong in it is reported by kind and message."""

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp_hf.cameras import ONLY_CAMERA
from dp_hf.episodes.format import ACTORS, RECORDING_FILE, STATE_DIM, Actor
from dp_hf.episodes.problems import Problem, shorten
from dp_hf.errors import UserError
from dp_hf.files import inside

_MAX_ANGLE = 360.0
# Nanoseconds since 1970 are near 2e18.
_MAX_STAMP = 1e19
_MAX_FLOAT32 = 3.4028234e38

Report = Callable[[str, str], None]


@dataclass(frozen=True)
class Frame:
    """One usable frame. `state` and `action` are the numbers of its recording; without one, six angles in degrees or
    radians and the raw gripper value. `actor` is who acted, where it is said."""

    index: int
    state: tuple[float, ...]
    images: dict[str, Path]
    action: tuple[float, ...] | None = None
    timestamp: float | None = None
    actor: Actor | None = None


class JsonObject(dict):
    """A JSON object that remembers keys given twice."""

    __slots__ = ("twice",)  # millions of them may be in a file

    def __init__(self, pairs: list[tuple[str, Any]]):
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs) if len(self) < len(pairs) else {}
        self.twice = tuple(key for key, count in counts.items() if count > 1)


def read_frame(
    row: Any,
    index: int,
    folder: Path,
    cameras: Sequence[str] | None,
    problems: list[Problem],
    state_dim: int | None = None,
) -> Frame | None:
    """Reads one frame object.

    Args:
        row: an element of the JSON list, of any type.
        index: its position in the list.
        folder: the episode's folder, which no image path may leave.
        cameras: names of the cameras to read; None for all.
        problems: what is wrong is appended here.
        state_dim: how many numbers the recording names; None for one that is a myCobot's.

    Returns:
        The frame, or None when it cannot be used; then at least one problem says why.
    """
    found: list[Problem] = []

    def report(kind: str, message: str) -> None:
        found.append(Problem(kind, message, index))

    frame = _parse(row, index, folder, cameras, state_dim, report)
    problems.extend(found)
    return None if any(problem.severity == "frame" for problem in found) else frame


def _parse(
    row: Any, index: int, folder: Path, cameras: Sequence[str] | None, state_dim: int | None, report: Report
) -> Frame | None:
    if not isinstance(row, dict):
        report("malformed frame", f"is {shorten(row)}, not an object")
        return None
    if row.get("failed") or row.get("error") or str(row.get("status")).lower() == "failed":
        marks = {key: row[key] for key in ("failed", "status", "error") if row.get(key)}
        report("failed frame", f"is marked as failed: {shorten(marks)}")
        return None
    _report_twice(row, "keys", report)
    state = (
        _angles_and_gripper(row, report)
        if state_dim is None
        else _numbers(row.get("state"), "state", state_dim, report)
    )
    action = None
    if row.get("action") is not None:
        action = _numbers(row["action"], "action", STATE_DIM if state_dim is None else state_dim, report)
    for name, values in (("angles", state), ("action", action or [])) if state_dim is None else ():
        if any(abs(angle) > _MAX_ANGLE for angle in values[:6]):
            report("malformed frame", f"{name} has {values[:6]}: no joint turns by more than {_MAX_ANGLE:g}")
    images = _images(row, folder, cameras, report)
    timestamp = _timestamp(row.get("timestamp"), report)
    actor = row.get("actor")
    if actor is not None and actor not in ACTORS:
        report("malformed frame", f"actor is {shorten(actor)}, not one of {', '.join(ACTORS)}")
    return Frame(index, tuple(state), images, tuple(action) if action else None, timestamp, actor)


def _angles_and_gripper(row: dict, report: Report) -> list[float]:
    if "state" in row and "angles" not in row:
        report("malformed frame", f"has a state, and no {RECORDING_FILE} beside the episode says what its numbers are")
        return []
    angles = _numbers(row.get("angles"), "angles", 6, report)
    gripper = row.get("gripper_value")
    return [*angles, *_numbers(gripper if isinstance(gripper, list) else [gripper], "gripper_value", 1, report)]


def _numbers(value: Any, name: str, count: int, report: Report) -> list[float]:
    """`value` as `count` finite numbers, or [] and a report."""
    if value is None or value == [None]:
        report("malformed frame", f"has no {name}")
    elif not isinstance(value, list):
        report("malformed frame", f"{name} is {shorten(value)}, not a list of {count} numbers")
    elif len(value) != count:
        report("malformed frame", f"{name} has {len(value)} values, not {count}")
    else:
        numbers = [_number(element) for element in value]
        if all(map(math.isfinite, numbers)):
            return numbers
        report("malformed frame", f"{name} is {shorten(value)}, not {count} finite numbers")
    return []


def _number(value: Any) -> float:
    """A JSON number as float; NaN for what is no number, infinity for what no float32 holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    return float(value) if abs(value) <= _MAX_FLOAT32 else math.inf


def _timestamp(value: Any, report: Report) -> float | None:
    if value is None:
        return None
    stamp = _number(value)
    if abs(stamp) < _MAX_STAMP:
        return stamp
    text = "text in ISO 8601, " if _is_iso_time(value) else "text, " if isinstance(value, str) else ""
    report("timestamp", f"timestamp is {text}{shorten(value)}, not a number of seconds")
    return None


def _is_iso_time(value: Any) -> bool:
    return isinstance(value, str) and re.match(r"\d{4}-?\d\d-?\d\d([T ]\d\d|$)", value) is not None


def _images(row: dict, folder: Path, cameras: Sequence[str] | None, report: Report) -> dict[str, Path]:
    """The frame's image files by camera; reports those that are not there or not inside the folder."""
    images = row.get("images")
    if images is None:
        images = {ONLY_CAMERA: row[ONLY_CAMERA]} if row.get(ONLY_CAMERA) is not None else {}
    if not isinstance(images, dict):
        report("malformed frame", f"images is {shorten(images)}, not a path for every camera")
        return {}
    if not images:
        report("malformed frame", "has no image")
    _report_twice(images, "cameras", report)
    paths = {}
    for camera in images if cameras is None else cameras:
        if camera not in images:
            report("missing image", f"has no image of camera {camera!r}, only of {shorten([*images])}")
        elif not re.fullmatch(r"\w[\w-]*", camera):
            report("malformed frame", f"camera {shorten(camera)} has other than letters, digits, - and _")
        elif (path := _image_path(images[camera], folder, report)) is not None:
            paths[camera] = path
    return paths


def _image_path(value: Any, folder: Path, report: Report) -> Path | None:
    if not isinstance(value, str) or not value:
        report("malformed frame", f"image is {shorten(value)}, not a path")
        return None
    if re.match(r"[A-Za-z]:|[/\\]", value):
        report("image path", f"image {shorten(value)} is a whole path of the machine that recorded")
        return None
    try:
        path = inside(folder, with_slashes(value, folder))
        exists = path.is_file()
    except (UserError, OSError):  # too long, among others
        report("image path", f"image {shorten(value)} leaves the episode's folder, or is no path")
        return None
    if not exists:
        report("missing image", f"image {shorten(value)} does not exist")
        return None
    return path


def with_slashes(path: str, folder: Path) -> str:
    """A path from a states file with slashes for the backslashes of Windows, unless a file here is called so."""
    return path if "\\" not in path or os.path.isfile(folder / path) else path.replace("\\", "/")


def _report_twice(row: dict, what: str, report: Report) -> None:
    if isinstance(row, JsonObject) and row.twice:
        report("malformed frame", f"has {what} twice: {shorten(row.twice)}")
