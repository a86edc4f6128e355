"""The viewer: a folder with one page, which a browser opens from the disk and without a network, and data beside it."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dp_hf.episodes.problems import Problem
from dp_hf.episodes.run_file import Run
from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside, user_path
from dp_hf.pictures import decode, upright_rgb
from dp_hf.review.motion import Mark, stretches
from dp_hf.review.ranking import SUSPECT, Scored, rank
from dp_hf.review.tracks import Track, read_tracks

TEMPLATE = Path(__file__).with_name("page.html")
PAGE, DATA = "index.html", "data"
# Browsers draw pictures of a few thousand pixels each way.
_COLUMNS, _PER_SHEET = 8, 64
_JPEG_QUALITY = 80


@dataclass(frozen=True)
class Viewed:
    """The page that was written, and what is on it."""

    page: Path
    num_episodes: int
    num_suspect: int


def write_page(
    data_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    picture_width: int = 212,
    source: str | None = None,
    progress: bool = True,
) -> Viewed:
    """Writes a page that shows the episodes of a folder or a dataset.

    Args:
        output_dir: an earlier page there is replaced.
        picture_width: pixels; narrower pictures stay as they are.
        source: what the page calls it; default the folder's name.

    Raises:
        UserError: nothing usable there, or an `output_dir` that holds other files than a page.
    """
    root, target = user_path(data_dir), user_path(output_dir)
    refuse_to_replace(target)
    with folder_written_beside(target) as folder:
        (folder / DATA).mkdir()
        numbers: dict[str, int] = {}
        cameras: list[list[dict[str, Any]]] = []

        def visit(name: str, files: dict[str, list[bytes]]) -> None:
            numbers[name] = len(numbers)
            cameras.append(_write_sheets(folder / DATA, numbers[name], files, picture_width))

        tracks, problems, unusable = read_tracks(root, visit, progress, with_failed=True)
        scored = {each.track.name: each for each in _ranked(tracks)}
        rows: list[dict[str, Any]] = []
        for track in tracks:
            each = scored[track.name]
            _write_script(
                folder / DATA / f"{len(rows)}.js",
                f"EPISODE({len(rows)},",
                _episode(each, cameras[numbers[track.name]]),
                ")",
            )
            rows.append(_row(each))
        said = [str(problem) for problem in problems]
        said += [f"left out: {name}: {of_episode[0]}" for name, of_episode in unusable.items()]
        index = {"source": source or str(data_dir), "suspect_from": SUSPECT, "problems": said, "episodes": rows}
        _write_script(folder / DATA / "index.js", "window.RECORDINGS=", index, "")
        (folder / PAGE).write_bytes(TEMPLATE.read_bytes())
    return Viewed(target / PAGE, len(rows), sum(bool(row["suspect"]) for row in rows))


def refuse_to_replace(target: Path) -> None:
    """Raises a UserError when `target` exists and is anything but a page that was written here."""
    if not target.exists():
        return
    others = {path.name for path in target.iterdir()} - {PAGE, DATA} if target.is_dir() else {target.name}
    if others or (any(target.iterdir()) and not (target / DATA / "index.js").is_file()):
        raise UserError(f"{target} holds other than a page ({sorted(others)[:1]}): give a new --output_dir")


def _ranked(tracks: list[Track]) -> list[Scored]:
    """Ranked where they can be compared: a page shows episodes of several arms, and failed ones, each by itself."""
    alike: dict[Any, list[Track]] = {}
    for track in tracks:
        alike.setdefault(track.name if track.is_failed else (track.state, *track.views), []).append(track)
    return [scored for group in alike.values() for scored in rank(group)]


def _row(each: Scored) -> dict[str, Any]:
    """What the list of episodes says."""
    events = [mark.measure for mark in _marks_of_run(each.track)]
    return {
        "name": each.track.name,
        "frames": len(each.track.frames),
        "seconds": round(float(each.track.seconds[-1]), 3),
        "score": None if each.comparison is None else round(each.score, 2),
        "suspect": each.suspect,
        "problems": sorted({problem.kind for problem in each.track.problems if problem.severity != "note"}),
        "events": list(dict.fromkeys(events)),
    }


def _episode(each: Scored, cameras: list[dict[str, Any]]) -> dict[str, Any]:
    """What is shown of an episode."""
    track = each.track
    marks = [_mark_of_problem(problem, track) for problem in track.problems]
    marks += [_mark(mark) for mark in (*each.marks, *_marks_of_run(track))]
    run = track.run or Run()
    # An action's numbers are drawn with the state's of the same name.
    actions = track.actions
    by_name = {} if actions is None else dict(zip(track.action.names, actions.T, strict=True))
    return {
        "labels": list(track.state.labels),
        "states": _rounded(track.states),
        "actions": [_rounded(by_name[name]) if name in by_name else None for name in track.state.names],
        "seconds": _rounded(track.seconds),
        "frames": track.frames.tolist(),
        "cameras": cameras,
        "marks": sorted(
            marks, key=lambda mark: (mark["kind"] == "turns", -1 if mark["start"] is None else mark["start"])
        ),
        "measures": [
            [name, value if isinstance(value, str) else float(f"{value:.4g}"), each.deviations.get(name)]
            for name, value in each.measures.items()
        ],
        "chunks": [{"times": _rounded(chunk.times), "actions": _rounded(chunk.positions)} for chunk in run.chunks],
        "scores": [
            {**vars(score), "times": _rounded(score.times), "values": _rounded(score.values)} for score in run.scores
        ],
    }


def _marks_of_run(track: Track) -> list[Mark]:
    """Alarms and holds of a recorded run, and where a person acted."""
    run = track.run or Run()

    def frame(time: float) -> int:
        return min(int(np.searchsorted(track.seconds, time)), len(track.seconds) - 1)

    marks = []
    for alarm in run.alarms:
        at = frame(alarm.time)
        marks.append(Mark("alarm", at, at + 1, alarm.reason.removeprefix("alarm: ")))
    marks += [Mark("hold", frame(hold.start), frame(hold.end) + 1, hold.reason) for hold in run.holds]
    for start, stop in stretches(np.array([actor == "person" for actor in track.actors or ()], bool)):
        seconds = track.seconds[stop - 1] - track.seconds[start]
        marks.append(Mark("person", start, stop, f"a person acts for {seconds:.1f} s"))
    return marks


def _mark(mark: Mark) -> dict[str, Any]:
    return {"kind": mark.measure, "start": mark.start, "stop": mark.stop, "what": mark.what, "check": False}


def _mark_of_problem(problem: Problem, track: Track) -> dict[str, Any]:
    """At the frame that it is of; at the next one that could be used, where that one could not."""
    start = None
    if problem.frame is not None:
        start = min(int(np.searchsorted(track.frames, problem.frame)), len(track.frames) - 1)
    what = problem.message if start is None or track.frames[start] == problem.frame else str(problem)
    return {
        "kind": problem.kind,
        "start": start,
        "stop": None if start is None else start + 1,
        "what": f"{what}; {problem.remedy}",
        "check": problem.severity != "note",
    }


def _write_sheets(folder: Path, number: int, files: dict[str, list[bytes]], picture_width: int) -> list[dict[str, Any]]:
    """Writes every camera's pictures, side by side in a few JPEG files; how to find them there."""
    cameras = []
    for position, (camera, pictures) in enumerate(files.items()):
        first = upright_rgb(decode(pictures[0]))
        width = min(picture_width, first.width)
        size = width, max(1, round(first.height * width / first.width))
        sheets: list[str] = []
        for start in range(0, len(pictures), _PER_SHEET):
            some = pictures[start : start + _PER_SHEET]
            rows = -(-len(some) // _COLUMNS)
            sheet = Image.new("RGB", (size[0] * min(_COLUMNS, len(some)), size[1] * rows))
            for cell, data in enumerate(some):
                picture = upright_rgb(decode(data)).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
                sheet.paste(picture, (cell % _COLUMNS * size[0], cell // _COLUMNS * size[1]))
            sheets.append(f"{number}_{position}_{len(sheets)}.jpg")
            sheet.save(folder / sheets[-1], quality=_JPEG_QUALITY)
        cameras.append({"name": camera, "size": size, "columns": _COLUMNS, "per_sheet": _PER_SHEET, "sheets": sheets})
    return cameras


def _write_script(file: Path, before: str, content: dict[str, Any], after: str) -> None:
    """A script, for a page on the disk may load scripts and pictures, and no other files."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    file.write_text(f"{before}{text}{after};\n", encoding="utf-8")


def _rounded(values: np.ndarray) -> Sequence[Any]:
    """As numbers of JSON, with five digits behind the point."""
    return np.round(np.asarray(values, np.float64), 5).tolist()
