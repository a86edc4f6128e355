"""What was seen in an episode's images, kept so that who was cut off does not decode them again."""

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from dp_hf import __version__
from dp_hf.episodes.motion import Still
from dp_hf.errors import UserError
from dp_hf.files import cache_root
from dp_hf.kept_lines import KeptLines


class SeenImage(NamedTuple):
    """An image that decoded: (width, height), and the bytes of its file."""

    size: tuple[int, int]
    num_bytes: int


@dataclass(frozen=True)
class SeenImages:
    """Of one episode.

    Attributes:
        images: of every frame and camera, in order; a text is what is wrong with one.
        stills: runs of frames in which a camera shows one picture.
    """

    images: Sequence[SeenImage | str]
    stills: Sequence[Still]

    def to_record(self, paths: Iterable[Path]) -> dict[str, str]:
        """JSON, with what tells whether the files are still the same."""
        return {"files": _state_of(paths), "images": json.dumps(self.images), "stills": json.dumps(self.stills)}

    @classmethod
    def from_record(cls, record: dict[str, Any] | None, paths: Sequence[Path]) -> "SeenImages | None":
        """None where it is of other files, or damaged."""
        try:
            if record is None or record["files"] != _state_of(paths):
                return None
            images = [each if isinstance(each, str) else _seen(*each) for each in json.loads(record["images"])]
            stills = [Still(*each) for each in json.loads(record["stills"])]
        except (ValueError, TypeError, KeyError):
            return None
        return cls(images, stills) if len(images) == len(paths) else None


def keep_seen(data_dir: Path, cameras: Sequence[str] | None) -> AbstractContextManager[KeptLines | None]:
    """The records of an unfinished look at the episodes of a folder; None where there is no cache to keep them in."""
    identity = {"version": __version__}
    try:
        file = _file_of(data_dir, cameras)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            return KeptLines(file, identity, "seen images")
        except UserError:  # of another version, or damaged: nothing is lost but time
            file.unlink()
            return KeptLines(file, identity, "seen images")
    except (OSError, UserError):
        return nullcontext()


def forget_seen(data_dir: Path, cameras: Sequence[str] | None) -> None:
    """Once all is done: whoever looks again, looks at the images."""
    with suppress(OSError, UserError):  # there is no cache, others look too, or it holds more
        file = _file_of(data_dir, cameras)
        file.unlink(missing_ok=True)
        file.parent.rmdir()
        file.parent.parent.rmdir()


def _file_of(data_dir: Path, cameras: Sequence[str] | None) -> Path:
    name = sha256(f"{data_dir.resolve()} {cameras}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return cache_root() / "seen_images" / f"{name}.jsonl"


def _seen(size: Sequence[int], num_bytes: int) -> SeenImage:
    width, height = size
    return SeenImage((int(width), int(height)), int(num_bytes))


def _state_of(paths: Iterable[Path]) -> str:
    digest = sha256()
    for path in paths:
        status = path.stat()
        digest.update(os.fsencode(f"{path} {status.st_size} {status.st_mtime_ns}\n"))
    return digest.hexdigest()
