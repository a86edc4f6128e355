"""Image files of episodes and datasets: read whole, decodable and of a kind a camera makes, or encoded from pixels."""

import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from dp_hf.errors import UserError
from dp_hf.pictures import decode, read_encoded, upright_rgb, upright_size

Picture = bytes | np.ndarray | Image.Image


@dataclass(frozen=True)
class ImageFile:
    """An image file that decodes: its bytes as they are on the disk, and its upright (width, height) in pixels."""

    data: bytes
    size: tuple[int, int]


def png_bytes(image: Image.Image) -> bytes:
    """The image as a PNG file, upright and RGB."""
    encoded = io.BytesIO()
    # Level 1 takes a third of the default level's time and about a tenth more space.
    upright_rgb(image).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


def encoded(picture: Picture, what: str) -> ImageFile:
    """A picture as the file that a dataset holds: PNG and JPEG files stay as they are, others become PNG.

    Raises:
        UserError: `what` is no picture of 8-bit colours.
    """
    if isinstance(picture, bytes):
        try:
            return ImageFile(picture, upright_size(picture))
        except UserError as error:
            raise UserError(f"{what}: its bytes are no PNG or JPEG file of 8-bit colours ({error})") from error
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise UserError(f"{what}: an image is a uint8 array (H, W, 3), not {picture.dtype} {picture.shape}")
        picture = Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        raise UserError(f"{what}: an image is bytes, an array or an 8-bit PIL image, not {type(picture).__name__}")
    try:
        picture = upright_rgb(picture)
    except UserError as error:
        raise UserError(f"{what} {error}") from error
    return ImageFile(png_bytes(picture), picture.size)


def read_image(path: Path) -> ImageFile | str:
    """Reads and decodes one file. Returns the image, or what is wrong with it."""
    try:
        data = read_encoded(path)
        return ImageFile(data, upright_rgb(decode(data, verify=True)).size)
    except UserError as error:
        return f"{path.name} {error}"


def read_images(paths: Iterable[Path]) -> Iterator[ImageFile | str]:
    """`read_image` of every path, in order, on all cores and at most a few images ahead of the caller."""
    workers = min(8, os.cpu_count() or 1)
    remaining = iter(paths)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(remaining, 4 * workers)):
            yield from pool.map(read_image, batch)
