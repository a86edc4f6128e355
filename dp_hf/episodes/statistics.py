"""Statistics of a dataset's numbers that come an episode at a time, to the last bit as of all of them at once."""

from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import numpy as np

from dp_hf.list_on_disk import ListOnDisk


class Statistics:
    """Of every column of rows that are added.

    Args:
        folder: on whose disk the rows wait for their mean, from which they deviate.

    Attributes:
        low, high: (n,) the lowest and highest of each, once there are rows.
    """

    low: np.ndarray
    high: np.ndarray

    def __init__(self, folder: Path):
        self._rows: ListOnDisk[np.ndarray] = ListOnDisk(folder)

    def add(self, rows: np.ndarray) -> None:
        """Takes the rows (T, n) of an episode."""
        known = np.concatenate([[self.low, self.high], rows]) if self._rows else rows
        self.low, self.high = known.min(axis=0), known.max(axis=0)
        self._rows.append(rows)

    def of_columns(self) -> dict[str, list[float]]:
        """As `column_statistics` of all rows."""
        count, width = sum(map(len, self._rows)), len(self.low)
        mean = _sum((rows.astype(np.float64) for rows in self._rows), width) / count
        squares = ((rows.astype(np.float64) - mean) ** 2 for rows in self._rows)
        deviation = np.sqrt(_sum(squares, width) / count)
        found = {"min": self.low, "max": self.high, "mean": mean, "std": deviation}
        return {name: values.astype(np.float64).tolist() for name, values in found.items()}

    def close(self) -> None:
        """Gives the disk's space back; nothing is asked for after that."""
        self._rows.close()


def _sum(parts: Iterator[np.ndarray], width: int) -> np.ndarray:
    """(width,) of the rows of all parts, added in the order in which numpy adds those of one array.

    That is one row after the other, but for a single column: it is added in pairs, and small enough for memory.
    """
    if width == 1:
        return np.concatenate([*parts]).sum(axis=0)
    return reduce(lambda sums, rows: np.concatenate([sums, rows]).sum(axis=0, keepdims=True), parts).sum(axis=0)
