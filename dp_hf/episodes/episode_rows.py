"""The rows of one episode of a dataset: what is wrong in them, and writing them, a few pictures at a time."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import Features

from dp_hf.arms.quantities import Quantities
from dp_hf.episodes.format import Actor
from dp_hf.episodes.images import ImageFile
from dp_hf.episodes.motion import StillFinder, motion_problems, stall_problems
from dp_hf.episodes.packed import PackedPaths
from dp_hf.episodes.parquet import MAX_SHARD_BYTES, ROWS_IN_GROUP, ParquetShards
from dp_hf.episodes.problems import Problem
from dp_hf.errors import UserError
from dp_hf.pictures import read_encoded, upright_size

# So many shards can be written, and read, at the same time, unless they would be smaller than that.
_SHARDS = 16
_MIN_SHARD_BYTES = 25_000_000


class FileOnDisk(NamedTuple):
    """An image file that was decoded before, with the bytes that it had then."""

    path: Path
    num_bytes: int

    def read(self) -> ImageFile:
        """Raises a `UserError` where it is another one by now."""
        try:
            data = read_encoded(self.path)
            if len(data) != self.num_bytes:
                raise UserError(f"has {len(data)} bytes, and had {self.num_bytes} before")
            return ImageFile(data, upright_size(data))
        except UserError as error:
            raise UserError(f"{self.path} changed while it was converted ({error}): convert again") from error


class FilesOnDisk(Sequence[FileOnDisk]):
    """Those of a camera at some positions of an episode, with the bytes (N,) of each."""

    def __init__(self, paths: PackedPaths, positions: np.ndarray, num_bytes: np.ndarray):
        self.paths, self.positions, self.num_bytes = paths, positions, num_bytes

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[FileOnDisk]:
        paths = [*self.paths]
        for position, num_bytes in zip(self.positions.tolist(), self.num_bytes.tolist(), strict=True):
            yield FileOnDisk(paths[position], num_bytes)

    def __getitem__(self, index: Any) -> Any:
        return [*self][index]


@dataclass(frozen=True)
class FilesOfEpisode:
    """The arguments of `DatasetWriter.add_episode`, with files of every camera as images."""

    name: str
    images: Mapping[str, FilesOnDisk]
    state: np.ndarray
    action: np.ndarray | None
    timestamp: np.ndarray
    frames: np.ndarray
    actor: Sequence[Actor] | None = None


@dataclass(frozen=True)
class EpisodeRows:
    """An episode of T rows.

    Attributes:
        name, index: of the episode in the dataset.
        pictures: T of them for each image column.
        states: (T, numbers) float32.
        actions: (T, numbers) float32.
        seconds: (T,) float64.
        frames: what problems call the rows; default their positions.
        actors: who acted in each; None where the dataset does not say.
    """

    name: str
    index: int
    pictures: Mapping[str, Sequence[ImageFile] | FilesOnDisk]
    states: np.ndarray
    actions: np.ndarray
    seconds: np.ndarray
    frames: Sequence[int] | np.ndarray | None
    actors: Sequence[Actor] | None = None

    @property
    def num_bytes(self) -> int:
        """Of the pictures."""
        return sum(
            int(pictures.num_bytes.sum())
            if isinstance(pictures, FilesOnDisk)
            else sum(len(picture.data) for picture in pictures)
            for pictures in self.pictures.values()
        )


class Written(NamedTuple):
    """What was found in an episode while it was written: problems, sizes of its images, a digest of its numbers."""

    problems: list[Problem]
    sizes: set[tuple[int, int]]
    digest: bytes


def write_rows(shards: ParquetShards, rows: EpisodeRows, state: Quantities, has_commands: bool) -> Written:
    """Appends an episode to the shards.

    Args:
        state: what the numbers of a state are.
        has_commands: whether the actions are commands of the same numbers.
    """
    sizes: set[tuple[int, int]] = set()
    stills = StillFinder()
    for start in range(0, len(rows.states), ROWS_IN_GROUP):
        part = slice(start, start + ROWS_IN_GROUP)
        cells: dict[str, list[dict]] = {}
        for camera, pictures in rows.pictures.items():
            files = [each.read() if isinstance(each, FileOnDisk) else each for each in pictures[part]]
            sizes.update(file.size for file in files)
            cells[camera] = [{"bytes": file.data, "path": None} for file in files]
            for file in files:
                stills.add(camera, file.data)
        states = rows.states[part]
        shards.write(
            {
                **cells,
                "state": list(states),
                "action": list(rows.actions[part]),
                "episode_index": [rows.index] * len(states),
                "frame_index": range(start, start + len(states)),
                "timestamp": (rows.seconds - rows.seconds[0])[part].astype(np.float32),
                **({} if rows.actors is None else {"actor": rows.actors[part]}),
            }
        )
    problems = motion_problems(rows.states, state, rows.actions if has_commands else None, rows.frames)
    problems += stall_problems(rows.states, state, stills.found(), rows.seconds, rows.frames)
    return Written(problems, sizes, sha256(rows.states.tobytes() + rows.actions.tobytes()).digest())


class ShardWriter:
    """One worker's share: writes groups of episodes, each into a folder of its own."""

    def __init__(self, folder: Path, features: Features, state: Quantities, has_commands: bool):
        self.folder, self.features, self.state, self.has_commands = folder, features, state, has_commands

    def __call__(self, group: Sequence[EpisodeRows]) -> list[Written]:
        folder = folder_of(self.folder, group)
        shutil.rmtree(folder, ignore_errors=True)  # of a worker that died
        with ParquetShards(folder, self.features) as shards:
            return [write_rows(shards, rows, self.state, self.has_commands) for rows in group]


def folder_of(folder: Path, group: Sequence[EpisodeRows]) -> Path:
    return folder / f"from_{group[0].index}"


def group_rows(episodes: Sequence[EpisodeRows], num_bytes: Sequence[int]) -> list[Sequence[EpisodeRows]]:
    """Episodes that lie together, in order; each group has at most the bytes of a shard, or one episode.

    Args:
        num_bytes: of the pictures of each.
    """
    max_bytes = min(MAX_SHARD_BYTES, max(_MIN_SHARD_BYTES, sum(num_bytes) // _SHARDS))
    starts: list[int] = []
    in_group = 0
    for number, of_episode in enumerate(num_bytes):
        if not starts or in_group + of_episode > max_bytes:
            starts.append(number)
            in_group = 0
        in_group += of_episode
    return [episodes[start:stop] for start, stop in pairwise([*starts, len(num_bytes)])]
