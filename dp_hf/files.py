"""Paths of the user, the root of the caches, and writing so that a reader sees the old or the new, never half."""

import errno
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dp_hf.errors import UserError, disk_error

if TYPE_CHECKING:  # imported where something is locked: an arm's own computer may have none
    from filelock import BaseFileLock

_LOCK = ".lock"
_REPLACED = ".replaced"
_LITTLE = 2**16  # bytes
# A value takes up to a hundred bytes in memory, and two in the file.
_MAX_JSON_BYTES = 100_000_000
_MAX_JSON_VALUES = 10_000_000
_SPACE = re.compile(r"\s*")
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def user_path(path: str | os.PathLike) -> Path:
    """`path` with a leading `~` or `~name` as the home folder.

    Raises:
        UserError: there is no such user, or no home folder, or it is no path: with a null character, or one that the
            file system has no bytes for.
    """
    try:
        if "\0" in os.fspath(path):
            raise ValueError("a null character")
        os.fsencode(path)
    except ValueError as error:
        raise UserError(f"{os.fspath(path)!r} is no path ({error})") from error
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: ~ stands for no folder here ({error}): write the whole path") from error


def user_place(place: str) -> str:
    """As `user_path`, for what may be a repository's id too, which stays as it is."""
    return str(user_path(place)) if place.startswith("~") else place


def cache_root(cache_dir: str | os.PathLike | None = None) -> Path:
    """The folder of all caches: `cache_dir`, or $DP_HF_CACHE, or ~/.cache/dp_hf."""
    return user_path(cache_dir or os.environ.get("DP_HF_CACHE") or "~/.cache/dp_hf")


def make_in_cache(folder: Path) -> None:
    """Makes a folder below `cache_root`, where it is absent.

    Raises:
        UserError: there can be no such folder.
        OSError: it may not be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"{folder} cannot be in the cache ({error.strerror}): give another --cache_dir, or DP_HF_CACHE"
        ) from error


def read_json(file: str | os.PathLike) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        UserError: what `read_json_values` raises, several values, or no object.
    """
    values = read_json_values(file)
    if len(values) != 1 or not isinstance(values[0], dict):
        found = f"a {type(values[0]).__name__}" if len(values) == 1 else f"{len(values)} values"
        raise UserError(f"{file}: holds {found}, not a JSON object; restore it")
    return values[0]


def read_json_values(file: str | os.PathLike, make_object: Callable[[list[tuple[str, Any]]], Any] = dict) -> list[Any]:
    """All JSON values in a file, one after the other: one in most files, one a line in JSON lines.

    Args:
        make_object: makes an object of its pairs of key and value.

    Raises:
        UserError: no such file, one that was not downloaded, more than memory should be given to, not UTF-8, or cut.
    """
    refuse_pointer(file)
    decoder = json.JSONDecoder(object_pairs_hook=make_object, parse_int=_whole_number)
    try:
        if os.path.getsize(file) > _MAX_JSON_BYTES:
            raise UserError(f"{file}: larger than {_MAX_JSON_BYTES // 1_000_000} MB, which is too much JSON to read")
        data = Path(file).read_bytes()
        if sum(map(data.count, (b"{", b"[", b",", b":"))) > _MAX_JSON_VALUES:
            raise UserError(f"{file}: holds more than {_MAX_JSON_VALUES:,} values, which is too much JSON to read")
        text = data.decode("utf-8-sig").strip()
        values: list[Any] = []
        end = 0
        while end < len(text) or not values:
            value, end = decoder.raw_decode(text, end)
            values.append(value)
            end = _SPACE.match(text, end).end()  # type: ignore[union-attr]
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise UserError(f"{file}: nested too deeply; restore it") from error
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file}: not JSON, or cut ({error}); restore it") from error
    return values


def _whole_number(digits: str) -> float:
    """As an int, or infinite where no float holds it, which every reader has a sentence for."""
    return int(digits) if len(digits) < sys.float_info.max_10_exp else float(digits)


def leads_out(name: str) -> bool:
    """Whether a name from a file, put into a path, leads out of the folder that it is to lie in."""
    return "\0" in name or name.startswith("/") or ".." in name.split("/")


def inside(folder: str | os.PathLike, path: str | os.PathLike) -> Path:
    """`path`, as seen from `folder`, which it must not leave, by `..` as little as by a link.

    In the Hub's cache files are links to the blobs beside the snapshot, which count as inside.

    Raises:
        UserError: it leaves the folder, or is no path.
    """
    # Texts, for this is asked of every frame, and takes five times as long of Path objects.
    whole = os.path.join(folder, path)
    try:
        written, real, root = os.path.abspath(whole), os.path.realpath(whole), os.path.realpath(folder)
    except (OSError, ValueError) as error:  # too long, a null byte
        raise UserError(f"{os.fspath(path)!r} is no path in {folder} ({error})") from error
    roots = [root]
    if f"{os.sep}snapshots{os.sep}" in root:
        of_root = Path(root)
        roots += [str(of.parents[1] / "blobs") for of in (of_root, *of_root.parents) if of.parent.name == "snapshots"]
    if not _lies_in(written, os.path.abspath(folder)) or not any(_lies_in(real, each) for each in roots):
        raise UserError(f"{os.fspath(path)!r} leaves the folder {folder}: take it out, or get the files anew")
    return Path(whole)


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def not_of_a_mac(paths: Iterable[Path]) -> list[Path]:
    """The paths, sorted, without what a Mac puts beside files and into zips: `._NAME` and `__MACOSX`."""
    return sorted(path for path in paths if not is_of_a_mac(path.name))


def is_of_a_mac(name: str) -> bool:
    """Whether a file or folder is one that a Mac adds: the metadata of another, of the same name but for `._`."""
    return name.startswith("._") or name in ("__MACOSX", ".DS_Store")


def refuse_pointer(file: str | os.PathLike) -> None:
    """Raises `UserError` for what Git LFS leaves in the place of a large file that it has not downloaded."""
    with suppress(OSError), open(file, "rb") as stream:
        if stream.read(len(LFS_POINTER)) == LFS_POINTER:
            raise UserError(f"{file}: only Git LFS's pointer to the file; run `git lfs pull` where it was cloned")


@contextmanager
def folder_written_beside(target: str | os.PathLike) -> Iterator[Path]:
    """Yields a new folder that takes the place of the folder `target` when the context is left normally.

    An exception leaves `target` as it was, and nothing beside it. Parent folders are made.
    """
    with _hidden_beside(target) as (new, target):
        new.mkdir()
        yield new
        if target.exists():
            target.rename(new.with_name(_REPLACED))
        new.rename(target)


@contextmanager
def file_written_beside(target: str | os.PathLike) -> Iterator[Path]:
    """Yields the path to write a file to, of the same name, that takes the place of `target` when the context is left.

    An exception leaves `target` as it was, and nothing beside it. Parent folders are made.
    """
    with _hidden_beside(target) as (new, target):
        yield new
        new.replace(target)


@contextmanager
def locked(folder: str | os.PathLike, patience: float = 0) -> Iterator[None]:
    """Makes the folder, of `--output_dir`; within the context no other process has it locked.

    The lock ends with the process that holds it, however that ends.

    Args:
        patience: seconds to wait for it.

    Raises:
        UserError: another process has it, or the folder cannot be made.
    """
    from filelock import Timeout

    folder = Path(folder)
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder / _LOCK, patience)
    except Timeout as error:
        raise UserError(
            f"{folder}: another run writes into it and is not over: wait for it, end its process, or choose another "
            "--output_dir"
        ) from error
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); choose another --output_dir") from error
    try:
        yield
    finally:
        # Before it is released: whoever waits for it sees that it is gone, and makes a new one.
        (folder / _LOCK).unlink(missing_ok=True)
        lock.release()
        if is_new:
            with suppress(OSError):  # not empty
                folder.rmdir()


def _lock(path: Path, patience: float) -> "BaseFileLock":
    from filelock import FileLock

    while True:
        lock = FileLock(path, timeout=patience)
        lock.acquire()
        if path.exists():
            return lock
        lock.release()


def recover(folder: str | os.PathLike) -> None:
    """Clears up in `folder` after writers that were killed; every further writing into it does so too.

    What they had begun is removed, and a folder that had stepped aside for it comes back. What a living process is
    writing is left alone.
    """
    from filelock import FileLock, Timeout

    for hidden in Path(folder).glob(".*.new-*"):
        if not (hidden / _LOCK).is_file():
            continue
        # Whoever is between two renames is done in a moment.
        timeout = 10 if (hidden / _REPLACED).exists() else 0
        # Else it is being written, was just removed, is not ours, or lies where nothing can be locked.
        with suppress(Timeout, OSError, NotImplementedError), FileLock(hidden / _LOCK, timeout=timeout):
            _remove(hidden)


@contextmanager
def full_disk_named(target: Path) -> Iterator[None]:
    """Around the writing of `target`: the `OSError` of a full disk names it.

    Libraries that write by themselves have other errors; with no space left there, theirs counts as one too.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        behind = disk_error(error)
        if behind is None and _space_left(target) > _LITTLE:
            raise
        if behind is not None and behind is error:
            if error.filename is None or f".{target.name}.new-" in str(error.filename):
                error.filename = str(target)
            raise
        number = errno.ENOSPC if behind is None else behind.errno
        raise OSError(number, "the disk is full", str(target)) from error


def _space_left(path: Path) -> int:
    """Bytes, where `path` is or is to be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


@contextmanager
def _hidden_beside(target: str | os.PathLike) -> Iterator[tuple[Path, Path]]:
    """Yields a path in a new hidden folder beside `target`, and `target` as an absolute path.

    The folder is locked while this process lives, which tells `recover` what was left behind by a killed one.
    """
    target = Path(os.path.abspath(target))
    with full_disk_named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        recover(target.parent)
        lock = _lock_new_folder(target)
    hidden = Path(lock.lock_file).parent
    try:
        with full_disk_named(target):
            yield hidden / target.name, target
    finally:
        _remove(hidden)
        lock.release()


def _lock_new_folder(target: Path) -> "BaseFileLock":
    from filelock import FileLock, Timeout

    while True:
        hidden = target.with_name(f".{target.name}.new-{uuid.uuid4().hex[:8]}")
        hidden.mkdir()
        lock = FileLock(hidden / _LOCK, timeout=0)
        # Another writer of the same target may take the folder for a left one until it is locked.
        with suppress(Timeout, FileNotFoundError):
            lock.acquire()
            if (hidden / _LOCK).exists():
                return lock
            lock.release()


def _remove(hidden: Path) -> None:
    target = hidden.with_name(hidden.name[1:].rpartition(".new-")[0])
    stopped_between_renames = (hidden / target.name).exists() and (hidden / _REPLACED).exists()
    if stopped_between_renames and not target.exists():
        (hidden / _REPLACED).rename(target)
    for path in (hidden / target.name, hidden / _REPLACED, hidden):  # the lock goes last
        shutil.rmtree(path, ignore_errors=True)
