"""Image files of episodes and datasets: read whole, decodable and of a kind a camera makes, or encoded from pixels."""

import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from dp_hf.errors import UserError
from dp_hf.pictures import decode, read_encoded, upright_rgb, upright_size

Pixels = np.ndarray | Image.Image
Picture = bytes | Pixels


@dataclass(frozen=True)
class ImageFile:
    """An image file that decodes: its bytes as they are on the disk, and its upright (width, height) in pixels."""

    data: bytes
    size: tuple[int, int]


def upright(picture: Pixels, what: str) -> Image.Image:
    """A picture that is held in memory, as an upright RGB one.

    Raises:
        UserError: `what` is no picture of 8-bit colours.
    """
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise UserError(f"{what}: an image is a uint8 array (H, W, 3), not {picture.dtype} {picture.shape}")
        picture = Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        raise UserError(f"{what}: an image is a uint8 array or an 8-bit PIL image, not {type(picture).__name__}")
    try:
        return upright_rgb(picture)
    except UserError as error:
        raise UserError(f"{what} {error}") from error


def save_png(image: Image.Image, file: Path | BinaryIO) -> None:
    """Writes an upright RGB image as a PNG file."""
    # Level 1 takes a third of the default level's time and about a tenth more space.
    image.save(file, "PNG", compress_level=1)


def png_bytes(image: Image.Image) -> bytes:
    """The image as a PNG file, upright and RGB."""
    file = io.BytesIO()
    save_png(upright_rgb(image), file)
    return file.getvalue()


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
    image = upright(picture, what)
    return ImageFile(png_bytes(image), image.size)


def read_image(path: Path) -> ImageFile | str:
    """Reads and decodes one file. Returns the image, or what is wrong with it."""
    try:
        data = read_encoded(path)
        return ImageFile(data, upright_rgb(decode(data, verify=True)).size)
    except UserError as error:
        return f"{path.name} {error}"


def read_images(paths: Iterable[Path], threads: int | None = None) -> Iterator[ImageFile | str]:
    """`read_image` of every path, in order, at most a few images ahead of the caller.

    Args:
        threads: that read; 1 reads in the caller's own. Default as many as there are cores.
    """
    workers = threads or min(8, os.cpu_count() or 1)
    if workers == 1:
        yield from map(read_image, paths)
        return
    remaining = iter(paths)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(remaining, 4 * workers)):
            yield from pool.map(read_image, batch)
