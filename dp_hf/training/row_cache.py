"""Arrays on disk with a row for every frame, built once, shared by processes, and named by all that went into them."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import torch
from filelock import FileLock
from tqdm import tqdm

from dp_hf.episodes.cells import camera_cells
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside, make_in_cache, recover
from dp_hf.models.digest import digest_of
from dp_hf.models.image_processor import PREPROCESSING_VERSION


class CachedRows:
    """A memory-mapped array, opened in the process that reads it."""

    def __init__(self, name: str, path: Path):
        self.name, self.path = name, path
        self._rows: torch.Tensor | None = None

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        if self._rows is None:
            # Copy on write: torch wants memory it could write to.
            self._rows = torch.from_numpy(np.load(self.path, mmap_mode="c"))
        # Several times faster than self._rows[rows], which copies element by element.
        return self._rows.index_select(0, rows.flatten()).unflatten(0, rows.shape)

    def __getstate__(self) -> dict:
        return {"name": self.name, "path": self.path, "_rows": None}


def build_once(path: Path, batches: Iterable[np.ndarray], shape: tuple[int, ...], dtype: str, description: str) -> Path:
    """Writes rows, batch after batch, to `path` (.npy) unless it is there; returns it.

    Other processes that want the same file wait. It gets its name when it is whole, so a build that was killed leaves
    nothing that could be taken for a cache.

    Raises:
        UserError: not enough space on the disk.
    """
    if path.exists():
        return path
    make_in_cache(path.parent)
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            return path
        recover(path.parent)
        size, free = int(np.prod(shape)) * np.dtype(dtype).itemsize, shutil.disk_usage(path.parent).free
        too_small = (
            f"{path.parent}: the cache takes {size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; choose another "
            "folder with --cache_dir, or train without with --cache none"
        )
        if size > free:
            raise UserError(too_small)
        with file_written_beside(path) as file, tqdm(total=shape[0], desc=description, unit="frame", delay=1) as bar:
            rows = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
            _allocate(file, too_small)
            start = 0
            for batch in batches:
                rows[start : start + len(batch)] = batch
                start += len(batch)
                bar.update(len(batch))
            rows.flush()
            del rows
    return path


def _allocate(file: Path, too_small: str) -> None:
    """Takes the file's space: writing into a map of a file without it would end the process when the disk is full."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with open(file, "r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, file.stat().st_size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(too_small) from error
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that cannot
            raise


def digest_images(dataset: datasets.Dataset, camera_names: Iterable[str]) -> str:
    """Of the encoded bytes of every image, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for name in camera_names:
        digest.update(f"{name} {len(dataset)};".encode())
        for image in _encoded(dataset, name):
            digest.update(len(image["bytes"]).to_bytes(8, "little"))
            digest.update(image["bytes"])
    return digest.hexdigest()


def _encoded(dataset: datasets.Dataset, name: str) -> Iterator[dict]:
    column = camera_cells(dataset, [name]).with_format("arrow")
    for table in column.iter(batch_size=256):
        assert isinstance(table, pa.Table)
        yield from table[name].to_pylist()


def digest_preprocessing(image_size: tuple[int, int]) -> str:
    """Of the size, and of the version of the resizing."""
    return digest_of(*image_size, PREPROCESSING_VERSION)
