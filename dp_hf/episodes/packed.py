"""Frames of an episode as arrays: a tenth of the memory of objects, for whoever holds all episodes at once."""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.episodes.format import ACTORS
from dp_hf.episodes.frames import Frame

_BETWEEN = b"\0"  # which no path has
_ACTORS = (None, *ACTORS)


class PackedPaths(Sequence[Path]):
    """Paths, of which most lie below `folder`."""

    def __init__(self, folder: Path, paths: Sequence[Path]):
        self.folder, self._count = folder, len(paths)
        below = f"{folder}{os.sep}"
        self._names = _BETWEEN.join(os.fsencode(str(path).removeprefix(below)) for path in paths)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Path]:
        if self._count:
            yield from (self.folder / os.fsdecode(name) for name in self._names.split(_BETWEEN))

    def __getitem__(self, index: Any) -> Any:
        names = self._names.split(_BETWEEN)[: self._count][index]
        if isinstance(index, slice):
            return [self.folder / os.fsdecode(name) for name in names]
        return self.folder / os.fsdecode(names)


class PackedFrames(Sequence[Frame]):
    """Frames that have images of the same cameras and numbers of the same widths.

    Attributes:
        indices: (T,) their positions in the JSON list.
        paths: of the images, by camera.
    """

    def __init__(self, folder: Path, frames: Sequence[Frame]):
        self.indices = np.array([frame.index for frame in frames], np.int32)
        self._states = _rows([frame.state for frame in frames])
        self._actions = _rows([frame.action for frame in frames])
        self._timestamps = _rows([None if frame.timestamp is None else (frame.timestamp,) for frame in frames])
        self._actors = np.array([_ACTORS.index(frame.actor) for frame in frames], np.uint8)
        cameras = frames[0].images if frames else ()
        self.paths: Mapping[str, PackedPaths] = {
            camera: PackedPaths(folder, [frame.images[camera] for frame in frames]) for camera in cameras
        }

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Frame]:
        paths = [iter(of_camera) for of_camera in self.paths.values()]
        for row, index in enumerate(self.indices.tolist()):
            images = dict(zip(self.paths, map(next, paths), strict=True))
            stamp = _row(self._timestamps, row)
            state, action = _row(self._states, row) or (), _row(self._actions, row)
            actor = _ACTORS[self._actors[row]]
            yield Frame(index, state, images, action, None if stamp is None else stamp[0], actor)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [*self][index]
        return next(islice(self, range(len(self))[index], None))


def _rows(rows: Sequence[tuple[float, ...] | None]) -> np.ndarray | None:
    """(T, n) float64 with NaN, which no frame has, in rows that are None; None where all are."""
    width = next((len(row) for row in rows if row is not None), None)
    if width is None:
        return None
    return np.array([(np.nan,) * width if row is None else row for row in rows], np.float64)


def _row(rows: np.ndarray | None, index: int) -> tuple[float, ...] | None:
    if rows is None or np.isnan(rows[index]).any():
        return None
    return tuple(rows[index].tolist())
