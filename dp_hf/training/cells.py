"""The pictures in a dataset's rows."""

from typing import Any

from PIL import Image

from dp_hf.errors import UserError
from dp_hf.pictures import decode, upright_rgb


def cell_picture(cell: dict[str, Any], camera: str) -> Image.Image:
    """The upright RGB picture of an image cell that `datasets` has not decoded (it would try every format there is).

    Raises:
        UserError: the cell has no bytes, or no PNG or JPEG picture in them.
    """
    if not cell.get("bytes"):
        raise UserError(f"an image of {camera} is not embedded in the dataset: convert its episodes again")
    try:
        return upright_rgb(decode(cell["bytes"]))
    except UserError as error:
        raise UserError(f"an image of {camera} in the dataset {error}") from error
