"""Records the demonstrations of a described task's expert as a dataset; goes on where an earlier run ended."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dp_hf.cameras import as_frame, by_camera, camera_columns
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.episodes.dataset_folder import refuse_to_replace
from dp_hf.episodes.dataset_writer import DatasetWriter
from dp_hf.episodes.metadata import META_FILE, DatasetMeta
from dp_hf.episodes.parquet import DATA_FOLDER
from dp_hf.episodes.rows import numbers_of
from dp_hf.errors import UserError
from dp_hf.files import locked, user_path
from dp_hf.simulation.layouts import DEMONSTRATIONS, layout_seeds
from dp_hf.simulation.recording import RecordingReport, record_layouts
from dp_hf.simulation.rollouts import rollout
from dp_hf.simulation.task import Task
from dp_hf.tasks.environment import TaskExpert
from dp_hf.workers.workers import HERE, Workers

_EPISODE = re.compile(r"seed_(\d+)")
_ROWS = 100  # read at once


def record_dataset(
    task: Task,
    output_dir: str | Path,
    num_episodes: int,
    first_seed: int = 0,
    noise: float | None = None,
    cameras: Sequence[str] = (),
    workers: Workers = HERE,
) -> RecordingReport:
    """Records until the dataset in `output_dir` holds `num_episodes` demonstrations that succeeded.

    Each demonstration lies in a dataset of its own, in the folder `.NAME_recording` beside it, until all are there.

    Args:
        output_dir: the dataset's folder; what it has from this task counts.
        first_seed: layouts are those of the seeds from here on.
        noise: on every number of an action that is no gripper; default as the task says.
        cameras: that are recorded; default the task's.
        workers: where they run.

    Raises:
        UserError: the task has no expert, the folder holds another dataset, another process records into it, the seeds
            ran out, or the expert keeps failing.
    """
    if task.make_expert is None:
        raise UserError(f"{task.name} has no expert that could demonstrate it: name one in its task file (expert)")
    possible = layout_seeds(DEMONSTRATIONS, first_seed)
    target = user_path(output_dir).absolute()
    refuse_to_replace(target)
    deviations = _noise(task, noise)
    description = _description(task, deviations, cameras or task.cameras)
    parts = target.with_name(f".{target.name}_recording")
    with locked(parts):
        if (target / META_FILE).is_file():
            _require_same(target, description)
        folders = _finished(target, parts, description)
        done = {_seed(name) for folder in folders for name in DatasetMeta.load(folder).episodes}
        setup = partial(_Recorder, task, parts, description, deviations)
        num_recorded, num_failed = record_layouts(setup, num_episodes - len(done), possible, done, workers)
        if (folders := _finished(target, parts, description)) != [target]:
            _put_together(target, folders, description)
        for folder in folders:
            if folder != target:
                shutil.rmtree(folder)
    with suppress(OSError):  # somebody else may have begun to record
        parts.rmdir()
    return RecordingReport(len(done) + num_recorded, num_recorded, num_failed)


def _noise(task: Task, noise: float | None) -> tuple[float, ...]:
    if noise is None:
        return task.noise
    noisy = [index for index in range(len(task.action)) if index not in task.action.grippers]
    if noise and len(units := {task.action.units[index] for index in noisy}) > 1:
        raise UserError(
            f"--noise {noise:g} would be of {' and of '.join(sorted(units))}: say in the task file (noise) what it is "
            "for each number of an action"
        )
    return tuple(noise if index in noisy else 0.0 for index in range(len(task.action)))


def _description(task: Task, noise: tuple[float, ...], cameras: Sequence[str]) -> dict[str, Any]:
    """Arguments of the `DatasetWriter`."""
    with_noise = f", noise {', '.join(f'{deviation:g}' for deviation in noise)}" if any(noise) else ""
    return {
        "cameras": tuple(cameras),
        "state": task.state,
        "action": task.action,
        "fps": task.fps,
        "source": f"{_source_prefix(task)} {task.origin}{with_noise})",
    }


def is_recorded_from(meta: DatasetMeta, task: Task) -> bool:
    """Whether a dataset is of demonstrations of a task of this name, whatever else its file says by now."""
    return meta.source.startswith(_source_prefix(task))


def _source_prefix(task: Task) -> str:
    return f"{task.name} (task file"


def _finished(target: Path, parts: Path, description: dict[str, Any]) -> list[Path]:
    """The datasets there are: of an earlier run, and of single demonstrations of one that was cut off.

    What is half written, or in the earlier run's dataset by now, is removed.
    """
    is_old = (target / META_FILE).is_file()
    known = DatasetMeta.load(target).episodes if is_old else []
    for folder in parts.iterdir():
        if folder.is_dir() and (not _EPISODE.fullmatch(folder.name) or folder.name in known):
            shutil.rmtree(folder)
    singles = sorted((folder for folder in parts.iterdir() if folder.is_dir()), key=lambda path: _seed(path.name))
    for single in singles:
        _require_same(single, description)
    return ([target] if is_old else []) + singles


def _require_same(folder: Path, description: dict[str, Any]) -> None:
    meta = DatasetMeta.load(folder)
    cameras = [*camera_columns({name: name for name in description["cameras"]}).values()]
    found = (meta.source, meta.fps, meta.state, meta.action, meta.camera_names)
    wanted = *(description[name] for name in ("source", "fps", "state", "action")), cameras
    for one, other in zip(found, wanted, strict=True):
        if one != other:
            raise UserError(
                f"{folder} was recorded with {one}, not with {other}: give the same arguments and task file, or "
                "another --output_dir"
            )


def _seed(name: str) -> int:
    match = _EPISODE.fullmatch(name)
    if match is None:
        raise UserError(f"{name!r} is no demonstration that was recorded here: give another --output_dir")
    return int(match[1])


class _Recorder:
    """One process' share: records the demonstration of a seed and tells whether it succeeded."""

    def __init__(self, task: Task, parts: Path, description: dict[str, Any], noise: tuple[float, ...]):
        self.parts, self.description, self.noise = parts, description, noise
        self.env = task.make_environment(cameras=description["cameras"])

    def __call__(self, seed: int) -> bool:
        expert = TaskExpert(self.env, self.noise, seed)
        frames: list[Any] = []
        result = rollout(self.env, expert, seed, expert.add_noise, lambda *frame: frames.append(frame))
        if not result.success:
            return False
        images, states, actions = zip(*frames, strict=True)
        pictures: dict[str, Any] = {name: [by_camera(image)[name] for image in images] for name in by_camera(images[0])}
        name = f"seed_{seed}"
        with DatasetWriter(self.parts / name, **self.description) as writer:
            writer.add_episode(name, as_frame(pictures), states, actions)
        return True


def _put_together(target: Path, folders: Sequence[Path], description: dict[str, Any]) -> None:
    """Writes the demonstrations of several datasets as one, with the bytes of their pictures as they are."""
    with DatasetWriter(target, **description) as writer:
        for folder in folders:
            for name, columns in _recorded(folder):
                states, actions = columns.pop("state"), columns.pop("action")
                writer.add_episode(name, as_frame(columns), states, actions)


def _recorded(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and columns of each demonstration of a dataset: state, action, and of every camera the pictures' bytes."""
    meta = DatasetMeta.load(folder)
    try:
        for index, rows in groupby(_rows(folder), lambda row: row["episode_index"]):
            episode = [*rows]
            columns: dict[str, Any] = {column: [row[column] for row in episode] for column in ("state", "action")}
            columns |= {camera: [row[camera]["bytes"] for row in episode] for camera in meta.camera_names}
            yield meta.episodes[index], columns
    except (pa.ArrowException, OSError, LookupError, TypeError) as error:
        raise UserError(f"{folder} cannot be read ({error!r}): remove it, and it is recorded again") from error


def recorded_actions(folder: Path) -> Iterator[tuple[int, np.ndarray]]:
    """The seed of each demonstration of a dataset that was recorded here, and its actions (frames, n)."""
    dataset, meta = load_dataset_folder(folder)
    numbers = numbers_of(dataset, folder)
    for index in dict.fromkeys(numbers["episode_index"].tolist()):
        yield _seed(meta.episodes[index]), numbers["action"][numbers["episode_index"] == index]


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for shard in sorted((folder / DATA_FOLDER).glob("train-*.parquet")):
        for batch in pq.ParquetFile(shard).iter_batches(_ROWS):
            yield from batch.to_pylist()
