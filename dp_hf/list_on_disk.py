"""A list in an unnamed file: for what each episode brings along, where all of them together do not fit into memory."""

import os
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import IO, Any, TypeVar

from dp_hf.errors import UserError
from dp_hf.files import full_disk_named

Value = TypeVar("Value")


class ListOnDisk(Sequence[Value]):
    """Values are appended, and read back when they are asked for: 8 bytes of memory each.

    The file has no name and is gone with the list, however this process ends. A part of the list, `values[2:5]`, reads
    it too; it is pickled as a list of its values, for no other process has the file. What is read is not to be changed.

    Args:
        folder: on whose disk it lies; by default where the system keeps temporary files.

    Raises:
        UserError: there is no such place.
        OSError: its disk is full; names the folder.
    """

    def __init__(self, folder: Path | None = None):
        try:
            self.folder = Path(tempfile.gettempdir()) if folder is None else folder
        except FileNotFoundError as error:
            raise UserError(f"temporary files have no place ({error}): free space there, or set TMPDIR") from error
        with full_disk_named(self.folder):
            self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115, read as long as the list is
        self._close = weakref.finalize(self, _close, self._file)
        self._starts = array("Q")
        self._at_hand: tuple[int, Any] = -1, None  # who goes through the list asks for a value several times
        self._lock = Lock()  # a part is pickled by another thread

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Any) -> Any:
        found = range(len(self))[index]
        return _Part(self, found) if isinstance(found, range) else self._read(found)

    def append(self, value: Value) -> None:
        """Writes it at the end of the file."""
        with self._lock, full_disk_named(self.folder):
            start = self._file.seek(0, os.SEEK_END)
            pickle.dump(value, self._file, pickle.HIGHEST_PROTOCOL)
            self._file.flush()
            self._starts.append(start)

    def close(self) -> None:
        """Gives the disk's space back; no value is read after that."""
        self._close()

    def _read(self, index: int) -> Value:
        with self._lock:
            if self._at_hand[0] != index:
                self._file.seek(self._starts[index])
                self._at_hand = index, pickle.load(self._file)  # by nobody else: there is no name to open it by
            return self._at_hand[1]


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # a full disk has no place for what is left of the value either
        file.close()


class _Part(Sequence[Value]):
    def __init__(self, whole: ListOnDisk[Value], indices: range):
        self.whole, self.indices = whole, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        found = self.indices[index]
        return _Part(self.whole, found) if isinstance(found, range) else self.whole[found]

    def __reduce__(self) -> tuple:
        return list, ([*self],)
