"""Reads the episodes of a LeRobot dataset without their images; whatever is wrong becomes a line of text."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dp_hf.episodes.problems import shorten
from dp_hf.errors import UserError
from dp_hf.files import leads_out, not_of_a_mac, read_json_values, refuse_pointer
from dp_hf.interop.lerobot.layout import ACTION, DATA_FILES, EPISODE_NAME, INFO_FILE, LeRobotInfo

# A rate that differs by more is another one, and no inexact clock.
_RATE_TOLERANCE = 0.1


@dataclass
class LeRobotEpisode:
    """One episode.

    Attributes:
        index: its `episode_index`.
        file: the data file that holds its rows.
        rows: their positions in the file.
        state, action: (rows, width) float32, as recorded; `action` is None where the dataset has none.
        timestamp: (rows,) float64 seconds from its start.
        videos: camera to (file, seconds in the file at which the episode begins).
        problem: why it cannot be used, or None.
        exported_name: what our own export calls it, or None.
    """

    index: int
    file: Path
    rows: range
    state: np.ndarray
    action: np.ndarray | None
    timestamp: np.ndarray
    videos: dict[str, tuple[Path, float]] = field(default_factory=dict)
    problem: str | None = None
    exported_name: str | None = None

    @property
    def name(self) -> str:
        return self.exported_name or f"episode_{self.index:06d}"


@dataclass
class Findings:
    """All episodes in the order of their files, the tasks they name, and what is wrong with the dataset as a whole."""

    episodes: list[LeRobotEpisode] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_episodes(info: LeRobotInfo) -> Findings:
    """Reads states, actions and the place of every image.

    Raises:
        UserError: no data file, or one without a state of the robot or with vectors of different lengths; files that
            were not downloaded; timestamps that contradict the rate.
    """
    found = Findings()
    files = not_of_a_mac(info.root.glob(DATA_FILES))
    if not files:
        raise UserError(f"{info.root} has no {DATA_FILES}: download the dataset again, with its data")
    for file in files:
        try:
            found.episodes += _episodes_of_file(info, file)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            if isinstance(error, UserError):
                raise
            found.problems.append(f"{file.relative_to(info.root)} cannot be read: {str(error).splitlines()[0]}")
    described = _described_episodes(info, found)
    _name_episodes(described, found)
    _compare_counts(info, described, found)
    _compare_rate(info, found)
    for episode in found.episodes:
        _find_videos(info, episode, described.get(episode.index))
    _compare_videos(info, found)
    return found


def _episodes_of_file(info: LeRobotInfo, file: Path) -> Iterator[LeRobotEpisode]:
    refuse_pointer(file)
    parquet = pq.ParquetFile(file)
    names = parquet.schema_arrow.names
    state_column, action_column = info.state_column, info.action_column
    if state_column not in names:
        raise UserError(f"{file}: has no column {state_column}; it has {', '.join(names)}: name it with --state_column")
    alike = [name for name in names if "action" in name.lower()] if action_column == ACTION else names
    if action_column not in names and alike:
        raise UserError(f"{file}: has no column {action_column}, but {', '.join(alike)}: name it with --action_column")
    wanted = [state_column, action_column, "timestamp", "frame_index", "episode_index"]
    table = parquet.read([name for name in wanted if name in names])
    if missing := {"frame_index", "episode_index"} - set(table.column_names):
        raise UserError(f"{file}: has no column {', '.join(sorted(missing))}; it has {', '.join(names)}")
    vectors = {name: _vectors(table[name], f"{file}: {name}") for name in table.column_names}
    with np.errstate(over="ignore"):  # becomes infinite, which is a problem of its episode
        state = vectors[state_column].astype(np.float32)
        action = vectors[action_column].astype(np.float32) if action_column in names else None
    frame_index, episode_index = (vectors[name][:, 0] for name in ("frame_index", "episode_index"))
    timestamp = vectors["timestamp"][:, 0] if "timestamp" in vectors else frame_index / info.fps
    starts = np.flatnonzero(np.diff(episode_index, prepend=np.nan) != 0)
    for start, end in pairwise([*starts, len(episode_index)]):
        rows = slice(start, end)
        of_state, of_action = state[rows], None if action is None else action[rows]
        yield LeRobotEpisode(
            index=int(episode_index[start]),
            file=file,
            rows=range(start, end),
            state=of_state,
            action=of_action,
            timestamp=timestamp[rows],
            problem=_problem_of_rows(of_state, of_action, frame_index[rows], timestamp[rows]),
        )


def _vectors(column: pa.ChunkedArray, what: str) -> np.ndarray:
    """A column of numbers, or of lists of one length, as float64 (rows, width)."""
    values = column.combine_chunks()
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type):
        if values.null_count:
            raise ValueError(f"{values.null_count} of its rows have no value")
        widths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(widths != widths[:1])[:1]:
            raise UserError(
                f"{what} of row {row} has {widths[row]} numbers, and {widths[0]} in row 0: give all as many, or leave "
                "its episode out"
            )
        values = values.flatten()
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)):
        raise UserError(f"{what} holds {values.type}, not numbers or vectors of numbers: name another column")
    array = values.to_numpy(zero_copy_only=False).astype(np.float64)
    if len(column) == 0 or len(array) % len(column):
        raise ValueError("it has no rows" if len(column) == 0 else "its vectors are not of one length")
    return array.reshape(len(column), -1)


def _problem_of_rows(
    state: np.ndarray, action: np.ndarray | None, frame_index: np.ndarray, timestamp: np.ndarray
) -> str | None:
    for name, values in (("state", state), ("action", action)):
        if values is not None and not np.isfinite(values).all():
            return f"{name} of frame {int(np.flatnonzero(~np.isfinite(values).all(1))[0])} is not finite"
    wrong = np.flatnonzero(frame_index != np.arange(len(frame_index)))
    if len(wrong):
        return f"frame_index is {frame_index[wrong[0]]:g} at row {wrong[0]}: frames are missing or out of order"
    if not np.isfinite(timestamp).all() or (np.diff(timestamp) <= 0).any():
        return "its timestamps do not increase"
    return None


def _described_episodes(info: LeRobotInfo, found: Findings) -> dict[int, dict[str, Any]]:
    """What the dataset's own list of episodes says of each."""
    records: list[Any] = []
    if info.version[0] == 3:
        for file in not_of_a_mac(info.root.glob("meta/episodes/*/*.parquet")):
            refuse_pointer(file)
            try:
                parquet = pq.ParquetFile(file)
                names = [name for name in parquet.schema_arrow.names if not name.startswith("stats/")]
                records += parquet.read(names).to_pylist()
            except (pa.ArrowException, OSError) as error:
                found.problems.append(f"{file.relative_to(info.root)} cannot be read: {error}")
    else:
        file = info.root / "meta" / "episodes.jsonl"
        try:
            records = read_json_values(file)
        except UserError as error:
            found.problems.append(str(error))
    described = {}
    for record in records:
        if isinstance(record, dict) and isinstance(record.get("episode_index"), int):
            described[record["episode_index"]] = record
        else:
            found.problems.append(f"the list of episodes has {shorten(record)}, without an episode_index")
    if not records:
        found.problems.append("the list of episodes in meta is empty")
    lists = [record["tasks"] for record in described.values() if isinstance(record.get("tasks"), list)]
    found.tasks = list(dict.fromkeys(task for tasks in lists for task in tasks if isinstance(task, str)))
    return described


def _name_episodes(described: dict[int, dict[str, Any]], found: Findings) -> None:
    """Gives episodes the names of our own export, where every one has another."""
    names = [described.get(episode.index, {}).get(EPISODE_NAME) for episode in found.episodes]
    if all(isinstance(name, str) and name and not leads_out(name) for name in names) and len({*names}) == len(names):
        for episode, name in zip(found.episodes, names, strict=True):
            episode.exported_name = name


def _compare_counts(info: LeRobotInfo, described: dict[int, dict[str, Any]], found: Findings) -> None:
    counts = {
        "total_episodes": len(found.episodes),
        "total_frames": sum(len(episode.rows) for episode in found.episodes),
    }
    for name, count in counts.items():
        if info.totals.get(name, count) != count:
            found.problems.append(f"info.json says {name} {info.totals[name]}, the data files hold {count}")
    seen: dict[int, LeRobotEpisode] = {}
    for episode in found.episodes:
        if episode.index in seen:
            problem = "its rows are not next to each other in the data files"
            episode.problem = seen[episode.index].problem = problem
        seen[episode.index] = episode
        length = described.get(episode.index, {}).get("length", len(episode.rows))
        if length != len(episode.rows):
            found.problems.append(f"{episode.name}: meta says {length} frames, the data files hold {len(episode.rows)}")
    if described and (absent := sorted(set(described) - set(seen))):
        found.problems.append(f"episodes without data: {', '.join(map(str, absent[:10]))}")
    if described and (unlisted := sorted(set(seen) - set(described))):
        found.problems.append(f"episodes that meta does not list: {', '.join(map(str, unlisted[:10]))}")


def _compare_rate(info: LeRobotInfo, found: Findings) -> None:
    """Raises a UserError where the timestamps are of another rate than the set says it has."""
    steps = [np.diff(episode.timestamp) for episode in found.episodes if episode.problem is None]
    step = float(np.median(np.concatenate(steps))) if any(map(len, steps)) else 1 / info.fps
    if abs(step * info.fps - 1) > _RATE_TOLERANCE:
        raise UserError(
            f"{info.root / INFO_FILE}: fps is {info.fps:g}, and the timestamps of the data files are {step:.4g} s "
            f"apart, {1 / step:.4g} a second: correct the one that is wrong"
        )


def _find_videos(info: LeRobotInfo, episode: LeRobotEpisode, record: dict[str, Any] | None) -> None:
    for camera, kind in info.cameras.items():
        if kind != "video":
            continue
        if info.version[0] == 2:
            values = {"episode_chunk": episode.index // info.files_in_chunk, "episode_index": episode.index}
            episode.videos[camera] = (info.path(info.video_path, video_key=camera, **values), 0.0)
        elif record is not None:
            place: list[Any] = [
                record.get(f"videos/{camera}/{key}") for key in ("chunk_index", "file_index", "from_timestamp")
            ]
            if all(isinstance(value, (int, float)) for value in place):
                chunk, file, start = place
                if not all(math.isfinite(value) and value >= 0 for value in place):
                    episode.problem = episode.problem or (
                        f"meta says that its video of {camera} is in chunk {chunk}, file {file}, from {start} s on"
                    )
                    continue
                path = info.path(info.video_path, video_key=camera, chunk_index=int(chunk), file_index=int(file))
                episode.videos[camera] = (path, float(start))


def _compare_videos(info: LeRobotInfo, found: Findings) -> None:
    """Marks episodes whose stretches of one video overlap: at most one of them can be right."""
    stretches: dict[tuple[str, Path], list[tuple[float, float, LeRobotEpisode]]] = {}
    for episode in found.episodes:
        for camera, (file, start) in episode.videos.items():
            if episode.problem is None:
                end = start + float(episode.timestamp[-1])
                stretches.setdefault((camera, file), []).append((start, end, episode))
    for (camera, _), of_file in stretches.items():
        of_file.sort(key=lambda stretch: stretch[0])
        for (start, end, episode), (next_start, _, following) in pairwise(of_file):
            if next_start < end + 0.5 / info.fps:
                problem = (
                    f"meta says that the video of {camera} shows {episode.name} from {start:g} to {end:g} s, and "
                    f"{following.name} from {next_start:g} s on"
                )
                episode.problem, following.problem = episode.problem or problem, problem
