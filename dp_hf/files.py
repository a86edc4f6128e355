"""Writing folders so that a reader sees the old one or the new one, never half of either."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder_written_beside(target: Path) -> Iterator[Path]:
    """Yields a new hidden folder beside `target` that takes its place when the context is left normally.

    An exception removes the new folder and leaves `target` as it was. Parent folders are made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new-{uuid.uuid4().hex[:8]}")
    old = new.with_name(new.name.replace(".new-", ".old-"))
    new.mkdir()
    try:
        yield new
        if target.exists():
            target.rename(old)
        new.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
