"""Records in a file of JSON lines, each kept as it comes: whoever was cut off goes on from there."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dp_hf.errors import UserError
from dp_hf.files import file_written_beside
from dp_hf.list_on_disk import ListOnDisk

_SECONDS = 1.0  # from one time to the next that records are brought to the disk itself


class KeptLines:
    """Context manager: a file that begins with what its records depend on, and has a record in every further line.

    Half a line, of a run that was killed, is cut off.

    Args:
        file: JSON lines; made where there is none.
        identity: what the records depend on; JSON.
        what: the records are, in a message.

    Attributes:
        records: those of earlier runs, and then those appended; on disk.

    Raises:
        UserError: the file holds records of another identity, or is damaged.
    """

    def __init__(self, file: Path, identity: Mapping[str, Any], what: str):
        self.file = file
        self.remedy = "give another --output_dir, or remove that file"
        with file_written_beside(file) as new, open(new, "w", encoding="utf-8") as stream:
            self.records: ListOnDisk[dict[str, Any]] = ListOnDisk(file.parent)
            lines = _whole_lines(file)
            try:
                first = next(lines, json.dumps(identity) + "\n")
                found, wanted = json.loads(first), json.loads(json.dumps(identity))
                differing = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
                stream.write(first)
                for line in lines:
                    record = json.loads(line)
                    if not isinstance(record, dict):
                        raise ValueError("a line is no JSON object")
                    self.records.append(record)
                    stream.write(line)
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                raise self.damaged(error) from error
            if differing:
                raise UserError(f"{file} holds {what} with another {', '.join(differing)}: {self.remedy}")

    def damaged(self, error: Exception) -> UserError:
        return UserError(f"{self.file} is damaged ({error!r}): {self.remedy}")

    def __enter__(self) -> "KeptLines":
        self._stream = open(self.file, "a", encoding="utf-8")
        self._synchronized = -_SECONDS
        return self

    def __exit__(self, *exception) -> None:
        self._stream.close()

    def append(self, record: dict[str, Any]) -> None:
        """Writes the record: no end of this process loses it. One of the machine loses at most those of a second."""
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()
        if time.monotonic() > self._synchronized + _SECONDS:
            os.fsync(self._stream.fileno())
            self._synchronized = time.monotonic()
        self.records.append(record)


def read_identity(file: Path) -> dict[str, Any] | None:
    """What the records of a file depend on; None where there is no such file, or no whole line in it."""
    try:
        first = next(_whole_lines(file), None)
        return None if first is None else dict(json.loads(first))
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{file} is damaged ({error!r}): remove it") from error


def _whole_lines(file: Path) -> Iterator[str]:
    if file.exists():
        with open(file, encoding="utf-8") as stream:
            yield from (line for line in stream if line.endswith("\n"))
