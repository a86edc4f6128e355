"""The statistics that LeRobot keeps of every column: of an episode, and of them all."""

from collections.abc import Sequence
from typing import Any

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
# Every 4th pixel of every 4th line tells as much of an image's brightness as all of them.
_PIXEL_STRIDE = 4

Statistics = dict[str, list[Any]]


def of_rows(rows: np.ndarray) -> Statistics:
    """Of a column (rows,) or (rows, width): lists of one number for each of the width."""
    rows = rows.reshape(len(rows), -1).astype(np.float64)
    found = {name: getattr(rows, name)(axis=0).tolist() for name in ("min", "max", "mean", "std")}
    quantiles = {name: np.quantile(rows, q, axis=0).tolist() for name, q in QUANTILES.items()}
    return {**found, "count": [len(rows)], **quantiles}


class ImageHistogram:
    """Counts the pixel values of a camera's images, from which all statistics follow."""

    def __init__(self) -> None:
        self.counts = np.zeros((3, 256), dtype=np.int64)
        self.num_images = 0

    def add(self, image: np.ndarray) -> None:
        """Counts an image, uint8 (H, W, 3)."""
        pixels = image[::_PIXEL_STRIDE, ::_PIXEL_STRIDE].reshape(-1, 3)
        self.counts += np.stack([np.bincount(channel, minlength=256) for channel in pixels.T])
        self.num_images += 1

    def include(self, other: "ImageHistogram") -> None:
        """Counts the images of another one, too."""
        self.counts += other.counts
        self.num_images += other.num_images

    def statistics(self) -> Statistics:
        """Of the three channels in [0, 1], each number as [[x]], the shape (3, 1, 1) that LeRobot gives images."""
        values = np.arange(256) / 255
        share = self.counts / self.counts.sum(axis=1, keepdims=True)
        mean = share @ values
        std = np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
        below = np.cumsum(share, axis=1)
        found = {
            "min": values[np.argmax(self.counts > 0, axis=1)],
            "max": values[255 - np.argmax(self.counts[:, ::-1] > 0, axis=1)],
            "mean": mean,
            "std": std,
            **{name: values[np.argmax(below >= q, axis=1)] for name, q in QUANTILES.items()},
        }
        return {**{name: _as_image(list(row)) for name, row in found.items()}, "count": [self.num_images]}


def _as_image(channels: Sequence[float]) -> list[list[list[float]]]:
    return [[[float(value)]] for value in channels]
