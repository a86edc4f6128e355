"""Frames of an episode as arrays, a tenth of objects' size; of all episodes at once they lie on disk."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dp_hf.episodes.format import ACTORS
from dp_hf.episodes.frames import Frame
from dp_hf.list_on_disk import ListOnDisk

if TYPE_CHECKING:  # which is about units, and those about episodes
    from dp_hf.episodes.motion import Still

_BETWEEN = b"\0"  # which no path has


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
        states: (T, n) float64.
        actions: (T, n) float64, NaN where a frame has none.
        stamps: (T,) float64, NaN where a frame has none.
        actors: (T,) int8, who acted as a position in `ACTORS`, -1 where a frame does not say.
        paths: of the images, by camera.

    Once the images were looked at:

    Attributes:
        num_bytes: (T,) int64 of their files, by camera.
        sizes: how many of them there are of every (camera, (width, height)).
        stills: runs of frames in which a camera shows one picture.
    """

    def __init__(
        self,
        folder: Path,
        frames: Sequence[Frame],
        num_bytes: Mapping[str, np.ndarray] | None = None,
        sizes: Counter | None = None,
        stills: "Sequence[Still]" = (),
    ):
        self.indices = np.array([frame.index for frame in frames], np.int32)
        self.states = _rows([frame.state for frame in frames])
        self.actions = _rows([frame.action for frame in frames])
        self.stamps = np.array([np.nan if frame.timestamp is None else frame.timestamp for frame in frames], np.float64)
        self.actors = np.array([-1 if frame.actor is None else ACTORS.index(frame.actor) for frame in frames], np.int8)
        cameras = frames[0].images if frames else ()
        self.paths: Mapping[str, PackedPaths] = {
            camera: PackedPaths(folder, [frame.images[camera] for frame in frames]) for camera in cameras
        }
        self.num_bytes, self.sizes, self.stills = num_bytes or {}, sizes or Counter(), stills

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Frame]:
        images = zip(*self.paths.values(), strict=True)
        columns = (self.indices, self.states, self.actions, self.stamps, self.actors)
        for paths, (index, state, action, stamp, actor) in zip(
            images, zip(*(column.tolist() for column in columns), strict=True), strict=True
        ):
            yield Frame(
                index,
                tuple(state),
                dict(zip(self.paths, paths, strict=True)),
                tuple(action) if action and action[0] == action[0] else None,
                stamp if stamp == stamp else None,
                ACTORS[actor] if actor >= 0 else None,
            )

    def __getitem__(self, index: Any) -> Any:
        return [*self][index]


class FramesOnDisk(Sequence[Frame]):
    """`PackedFrames` that are appended to a list, and read back from there whenever they are asked for."""

    __slots__ = ("_count", "_index", "_list")

    def __init__(self, frames: PackedFrames, on_disk: ListOnDisk[PackedFrames]):
        self._list, self._index, self._count = on_disk, len(on_disk), len(frames)
        on_disk.append(frames)

    @property
    def packed(self) -> PackedFrames:
        """The frames as arrays."""
        return self._list[self._index]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.packed)

    def __getitem__(self, index: Any) -> Any:
        return self.packed[index]


def _rows(rows: Sequence[tuple[float, ...] | None]) -> np.ndarray:
    """(T, n) float64 with NaN in rows that are None; n is 0 where all are."""
    width = next((len(row) for row in rows if row is not None), 0)
    none = (np.nan,) * width
    return np.array([none if row is None else row for row in rows], np.float64).reshape(len(rows), width)
