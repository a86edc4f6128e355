"""Whether a worker on another machine sees the folders that the command does, and not others that are called so."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dp_hf.errors import UserError
from dp_hf.files import user_path

_ENTRIES = 3


@contextlib.contextmanager
def witnesses(reads: Sequence[Path], writes: Sequence[Path]) -> Iterator[list[str]]:
    """Paths that a worker has to find, too: some of what lies in folders that are read, and a file that lies where
    others will be written for as long as this lasts."""
    with contextlib.ExitStack() as stack:
        found = [path for folder in reads for path in _entries(user_path(folder).absolute())]
        for folder in (user_path(folder).absolute() for folder in writes):
            place = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
            mark, path = tempfile.mkstemp(prefix=".seen_by_workers_", dir=place)
            os.close(mark)
            stack.callback(Path(path).unlink, missing_ok=True)
            found.append(path)
        yield found


def require_seen(paths: Sequence[str]) -> None:
    """Raises a `UserError` unless all of them are there."""
    for path in paths:
        if not os.path.lexists(path):
            raise UserError(
                f"a worker does not see {Path(path).parent} as the command does: with --cluster, data and outputs lie "
                "on a disk that all machines share, under the same path"
            )


def _entries(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []  # the command itself says so
    return [str(folder / name) for name in sorted(os.listdir(folder))[:_ENTRIES]]
