"""A bag's messages in the order in which they were written. Needs rosbags, which sorts them by the recorder's clock."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.reader import DirectoryReader
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

Messages = Iterator[tuple[Connection, int, Any]]


class _Mcap(McapReader):
    def messages(self, connections: Collection[Connection], start=None, stop=None) -> Messages:  # type: ignore[override]
        yield from self.messages_scan(connections)


class _Sqlite(Sqlite3Reader):
    def __init__(self, path: Path):
        super().__init__(Path(quote(str(path))))  # it is put into a URI as it is

    def messages(self, connections: Collection[Connection], start=None, stop=None) -> Messages:  # type: ignore[override]
        assert self.dbconn
        by_id = {connection.id: connection for connection in connections}
        marks = ", ".join("?" * len(by_id))
        query = f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY id"
        for topic, received, data in self.dbconn.execute(query, tuple(by_id)):
            yield by_id[topic], received, data


def _by_suffix(path: Path) -> Any:
    return _Mcap(path) if path.suffix == ".mcap" else _Sqlite(path)


class _Folder(DirectoryReader):
    # Where the recorder did not say what it writes, the files' names do.
    STORAGE_PLUGINS: Any = {"mcap": _Mcap, "sqlite3": _Sqlite, "": _by_suffix, None: _by_suffix}  # noqa: RUF012


class BagFile(Reader):
    """`rosbags.rosbag2.Reader`, whose `messages` come in the order in which they were written."""

    STORAGE_PLUGINS: Any = {"dir": _Folder, ".mcap": _Mcap, ".db3": _Sqlite}  # noqa: RUF012
