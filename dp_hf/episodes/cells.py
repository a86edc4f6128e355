"""The pictures in a dataset's rows: decoded here alone, for `datasets` would try every format there is."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import datasets
import numpy as np
from PIL import Image

from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.errors import UserError
from dp_hf.pictures import decode, upright_rgb

_Rows = TypeVar("_Rows", datasets.Dataset, datasets.IterableDataset)


def require_cameras(camera_names: Iterable[str], meta: DatasetMeta, data_name: str) -> None:
    """Raises a UserError unless the dataset has all of them."""
    if missing := sorted(set(camera_names) - set(meta.camera_names)):
        raise UserError(f"{data_name} has no camera {', '.join(missing)}; it has {', '.join(meta.camera_names)}")


def undecoded(dataset: _Rows, camera_names: Sequence[str]) -> _Rows:
    """The rows with image cells for `cell_picture` in those columns."""
    for name in camera_names:
        dataset = dataset.cast_column(name, datasets.Image(decode=False))
    return dataset


def camera_cells(dataset: datasets.Dataset, camera_names: Sequence[str]) -> datasets.Dataset:
    """The columns of these cameras alone, undecoded: made once, for that takes longer the larger the dataset is."""
    return undecoded(dataset.select_columns(list(camera_names)), camera_names)


def row_pictures(cells: datasets.Dataset, rows: Sequence[int]) -> list[dict[str, Image.Image]]:
    """For each of `rows` of `camera_cells`, in their order, the picture of each camera.

    Raises:
        UserError: what `cell_picture` raises.
    """
    columns = cells[list(rows)]
    return [{name: cell_picture(columns[name][row], name) for name in columns} for row in range(len(rows))]


def window_pictures(cells: datasets.Dataset, rows: np.ndarray) -> list[list[dict[str, Image.Image]]]:
    """For each window of `rows` (windows, steps) the pictures of its steps, as `row_pictures` has them."""
    pictures = row_pictures(cells, rows.ravel().tolist())
    return [pictures[start : start + rows.shape[1]] for start in range(0, rows.size, rows.shape[1])]


def cell_picture(cell: dict[str, Any], camera: str) -> Image.Image:
    """The upright RGB picture of an image cell that `datasets` has not decoded.

    Raises:
        UserError: the cell has no bytes, or no PNG or JPEG picture in them.
    """
    if not cell.get("bytes"):
        raise UserError(f"an image of {camera} is not embedded in the dataset: convert its episodes again")
    try:
        return upright_rgb(decode(cell["bytes"]))
    except UserError as error:
        raise UserError(f"an image of {camera} in the dataset {error}") from error
