"""Writes rows with embedded images as the numbered parquet files that `datasets` and the Hub read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value

from dp_hf.episodes.format import STATE_DIM

DATA_FOLDER = "data"
MAX_SHARD_BYTES = 500_000_000
ROWS_IN_GROUP = 100


def features_of(
    camera_names: Sequence[str], state_dim: int = STATE_DIM, action_dim: int = STATE_DIM, has_actors: bool = False
) -> Features:
    """The columns of a dataset: one image for every camera, state, action, indices, time, and maybe who acted."""
    return Features(
        {
            **{camera: Image(mode="RGB") for camera in camera_names},
            "state": List(Value("float32"), length=state_dim),
            "action": List(Value("float32"), length=action_dim),
            "episode_index": Value("int64"),
            "frame_index": Value("int64"),
            "timestamp": Value("float32"),
            **({"actor": Value("string")} if has_actors else {}),
        }
    )


class ParquetShards:
    """Context manager that spreads rows over `train-NNNNN-of-NNNNN.parquet` in a folder.

    Image bytes are stored as they are given, in groups of at most 100 rows, so that a viewer or a streaming
    reader need not load a whole file.
    """

    def __init__(self, folder: Path, features: Features, max_shard_bytes: int = MAX_SHARD_BYTES):
        self.folder = folder
        self.schema = features.arrow_schema
        self.max_shard_bytes = max_shard_bytes
        self._shards: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._bytes_in_shard = 0

    def __enter__(self) -> "ParquetShards":
        self.folder.mkdir()  # what a command had begun that is over is not begun anew
        return self

    def write(self, columns: dict[str, Any]) -> None:
        """Appends rows given as columns; images as {"bytes": ..., "path": None}."""
        num_rows = len(next(iter(columns.values())))
        for first in range(0, num_rows, ROWS_IN_GROUP):  # arrow copies the images: a group at a time
            group = {name: values[first : first + ROWS_IN_GROUP] for name, values in columns.items()}
            batch = pa.RecordBatch.from_pydict(group, schema=self.schema)
            if self._writer is not None and self._bytes_in_shard + batch.nbytes > self.max_shard_bytes:
                self._close()
            if self._writer is None:
                self._shards.append(self.folder / f"{len(self._shards)}.parquet")
                self._writer = pq.ParquetWriter(self._shards[-1], self.schema)
                self._bytes_in_shard = 0
            self._writer.write_batch(batch)
            self._bytes_in_shard += batch.nbytes

    def adopt(self, folder: Path) -> None:
        """Appends the shards of a folder within this one."""
        self._close()
        self._shards += sorted(folder.iterdir())

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __exit__(self, exception_type, exception, traceback) -> None:
        self._close()
        for number, shard in enumerate(self._shards):
            shard.rename(self.folder / f"train-{number:05d}-of-{len(self._shards):05d}.parquet")
        for folder in {shard.parent for shard in self._shards} - {self.folder}:
            folder.rmdir()
