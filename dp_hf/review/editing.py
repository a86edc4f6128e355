"""Writes edited recordings: a new folder of episodes, or a new dataset; what they were made of stays as it is."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.episodes.cells import camera_cells
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.episodes.dataset_writer import DatasetWriter
from dp_hf.episodes.format import STATES_FILE, STATES_FILES, Actor
from dp_hf.episodes.metadata import META_FILE, DatasetMeta
from dp_hf.episodes.reader import Episode, read_episode
from dp_hf.episodes.recording import Recording, write_recording
from dp_hf.episodes.rows import column_of, numbers_of
from dp_hf.episodes.timing import detect_rate
from dp_hf.episodes.units import detect_unit
from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside, inside, read_json_values, user_path
from dp_hf.review.edits import Edits, Piece, Span, plan
from dp_hf.review.tracks import read_tracks

# Of two datasets, what has to be the same where they are merged.
_ALIKE = ("camera_names", "state", "action", "fps", "action_source", "action_offset", "frame_skip")


@dataclass(frozen=True)
class EditReport:
    """What was made: episodes and frames of the result, and a line for each episode that is not what it was."""

    output_dir: Path
    num_episodes: int
    num_frames: int
    said: list[str]

    def __str__(self) -> str:
        return "\n".join([*self.said, f"{self.output_dir}: episodes: {self.num_episodes}, frames: {self.num_frames}"])


def edit(
    data_dirs: Sequence[str | os.PathLike], output_dir: str | os.PathLike, edits: Edits, progress: bool = True
) -> EditReport:
    """Makes a new folder of episodes of folders of episodes, or a new dataset of datasets.

    Episodes that cannot be used are left out, and said. Statistics and actions made of states are made anew.

    Args:
        data_dirs: one, or several that are merged in this order.
        output_dir: is not there yet.

    Raises:
        UserError: an edit that cannot be, folders of different kinds or that do not fit together, an `output_dir` that
            is there.
    """
    roots, target = [user_path(each) for each in data_dirs], user_path(output_dir)
    _require_new(target, roots)
    kinds = {(root / META_FILE).is_file() for root in roots}
    if len(kinds) > 1:
        raise UserError(
            "some of these are datasets, others folders of episodes: convert the episodes first, or edit apart"
        )
    read = [read_tracks(root, progress=progress, with_views=False) for root in roots]
    said = [f"{name}: left out, {problems[0]}" for _, _, unusable in read for name, problems in unusable.items()]
    pieces, of_edits = plan([tracks for tracks, _, _ in read], edits)
    write = _write_dataset if kinds == {True} else _write_folder
    num_frames = write(roots, target, pieces)
    return EditReport(target, len(pieces), num_frames, said + of_edits)


def _require_new(target: Path, roots: Sequence[Path]) -> None:
    if target.exists():
        raise UserError(f"{target} is there already: nothing is edited in place, give a new --output_dir")
    whole = Path(os.path.abspath(target))
    for root in roots:
        if whole.is_relative_to(os.path.abspath(root)):
            raise UserError(f"{target} lies in {root}, and would be read with it: give an --output_dir beside it")
    if len({os.path.realpath(root) for root in roots}) < len(roots):
        raise UserError("a folder is given twice: its episodes would count double")


def _write_dataset(roots: Sequence[Path], target: Path, pieces: Sequence[Piece]) -> int:
    loaded = [load_dataset_folder(root) for root in roots]
    metas = [meta for _, meta in loaded]
    first = replace(metas[0], has_actors=any(meta.has_actors for meta in metas))
    for root, meta in zip(roots, metas, strict=True):
        for field in _ALIKE:
            if getattr(meta, field) != getattr(first, field):
                found = f"{getattr(first, field)} and {getattr(meta, field)}"
                raise UserError(f"{roots[0]} and {root} have different {field}, {found}: they cannot be merged")
    writer = DatasetWriter.like(first, target, source=", ".join(dict.fromkeys(meta.source for meta in metas)))
    writer.warnings += [warning for meta in metas for warning in _of_the_whole(meta)]
    numbers = [numbers_of(dataset, root) for (dataset, _), root in zip(loaded, roots, strict=True)]
    cells = [camera_cells(dataset, meta.camera_names) for dataset, meta in loaded]
    times = [column_of(dataset, "timestamp", np.float64) for dataset, _ in loaded]
    who_acted = [[*dataset["actor"]] if meta.has_actors else None for dataset, meta in loaded]
    with writer:
        for piece in pieces:
            images: dict[str, list[bytes]] = {camera: [] for camera in first.camera_names}
            states, actions, seconds = [], [], []
            actors: list[Actor] = []
            end = 0.0
            for span in piece.spans:
                of_source = numbers[span.source]
                index = metas[span.source].episodes.index(span.episode)
                begin = int(np.flatnonzero(of_source["episode_index"] == index)[0])
                rows = slice(begin + span.first, begin + span.last + 1)
                columns = cells[span.source][rows]
                for camera in images:
                    images[camera] += [cell["bytes"] for cell in columns[camera]]
                states.append(of_source["state"][rows])
                actions.append(of_source["action"][rows])
                own = times[span.source][rows]
                of_span = who_acted[span.source]
                actors += ["person"] * len(own) if of_span is None else of_span[rows]
                seconds.append(own - own[0] + end)
                end = float(seconds[-1][-1]) + 1 / first.fps
            recorded = first.action_source == "recorded"
            writer.add_episode(
                piece.name,
                images,
                np.concatenate(states),
                np.concatenate(actions) if recorded else None,
                np.concatenate(seconds),
                actor=actors if first.has_actors else None,
            )
    return writer.num_frames


def _of_the_whole(meta: DatasetMeta) -> list[str]:
    """The warnings that are of no single episode; those are made anew."""
    return [warning for warning in meta.warnings if not any(warning.startswith(f"{name}:") for name in meta.episodes)]


def _write_folder(roots: Sequence[Path], target: Path, pieces: Sequence[Piece]) -> int:
    episodes = {
        (span.source, span.episode): read_episode(_place(roots[span.source], span.episode), data_dir=roots[span.source])
        for piece in pieces
        for span in piece.spans
    }
    recordings = {key: episode.recording for key, episode in episodes.items()}
    _require_one_kind([*episodes.values()])
    num_frames = 0
    with folder_written_beside(target) as folder:
        for piece in pieces:
            place = folder / piece.name
            place.parent.mkdir(parents=True, exist_ok=True)
            write_recording(place.parent, recordings[piece.spans[0].source, piece.spans[0].episode])
            place.mkdir()
            num_frames += _write_episode(place, piece, episodes)
    return num_frames


def _place(root: Path, name: str) -> Path:
    """The folder of an episode; `root` itself, where that is one."""
    return root if any((root / each).is_file() for each in STATES_FILES) else root / name


def _require_one_kind(episodes: Sequence[Episode]) -> None:
    """Raises a UserError where a conversion would not take the episodes together."""
    first = episodes[0]
    for episode in episodes:
        if episode.recording != first.recording:
            here, there = (_in_words(each.recording) for each in (first, episode))
            raise UserError(f"{first.path} has {here}, {episode.path} {there}: they cannot be merged")
        if episode.camera_names != first.camera_names:
            cameras = f"{[*first.camera_names]} and {[*episode.camera_names]}"
            raise UserError(f"{first.path} and {episode.path} have other cameras, {cameras}: they cannot be merged")
    if first.recording is None and (unit := detect_unit(episodes)).contradicting:
        raise UserError(
            f"{unit.reason}: they cannot be merged; convert each with its --angle_unit and merge the datasets"
        )
    if (rate := detect_rate(episodes)).contradicting:
        raise UserError(f"{rate.reason}: they cannot be merged")


def _in_words(recording: Recording | None) -> str:
    return "the numbers of a myCobot" if recording is None else f"{recording.quantities} at {recording.fps:g} a second"


def _write_episode(place: Path, piece: Piece, episodes: dict[tuple[int, str], Episode]) -> int:
    """Copies rows as they are in the JSON, and their image files."""
    rows: list[dict[str, Any]] = []
    for number, span in enumerate(piece.spans):
        episode = episodes[span.source, span.episode]
        own = _rows(episode, span)
        prefix = "" if number == 0 else f"joined_{number}/"
        usable = {frame.index: frame for frame in episode.frames}
        for index in range(span.first, span.last + 1):
            frame = usable.get(index)
            for image in [] if frame is None else frame.images.values():
                copy = place / prefix / image.relative_to(episode.path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(image, copy)
        rows += [_moved(row, prefix) for row in _with_later_stamps(own, rows)]
    text = ",\n".join(json.dumps(row) for row in rows)
    (place / STATES_FILE).write_text(f"[\n{text}\n]\n", encoding="utf-8")
    return len(rows)


def _rows(episode: Episode, span: Span) -> list[Any]:
    file = next(name for name in STATES_FILES if (episode.path / name).exists())
    values = read_json_values(inside(episode.path, file))
    rows = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return rows[span.first : span.last + 1]


def _with_later_stamps(rows: list[Any], before: list[Any]) -> list[Any]:
    """The rows, their timestamps a usual step behind those of the rows before."""
    stamps, earlier = ([stamp for row in each if (stamp := _stamp(row)) is not None] for each in (rows, before))
    if len(stamps) < len(rows) or len(earlier) < max(2, len(before)):
        return rows
    step = float(np.median(np.diff(np.array(earlier, np.float64))))
    return [
        row | {"timestamp": stamp - stamps[0] + earlier[-1] + step} for row, stamp in zip(rows, stamps, strict=True)
    ]


def _stamp(row: Any) -> float | None:
    stamp = row.get("timestamp") if isinstance(row, dict) else None
    return float(stamp) if isinstance(stamp, (int, float)) and not isinstance(stamp, bool) else None


def _moved(row: Any, prefix: str) -> Any:
    """The row, its images below `prefix`."""
    if not prefix or not isinstance(row, dict):
        return row
    moved = dict(row)
    if isinstance(row.get("image"), str):
        moved["image"] = prefix + row["image"].replace("\\", "/")
    if isinstance(row.get("images"), dict):
        moved["images"] = {camera: prefix + str(path).replace("\\", "/") for camera, path in row["images"].items()}
    return moved
