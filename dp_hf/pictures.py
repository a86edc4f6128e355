"""What a picture is: the one door through which encoded images and PIL images become upright RGB of 8 bits.

Training, inference, episodes and foreign datasets all pass it, so that one file means the same pixels everywhere.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps

from dp_hf.errors import UserError
from dp_hf.files import LFS_POINTER, user_path

PictureLike: TypeAlias = "Image.Image | str | Path | np.ndarray"

RECORDED_FORMATS = ("PNG", "JPEG")
"""Of files in episodes, datasets and bags."""
# Named, for Pillow would try them all, and it starts Ghostscript for EPS, whatever a file is called.
FORMATS = (*RECORDED_FORMATS, "BMP", "WEBP")
"""Of files that a caller names."""
MAX_BYTES = 200_000_000
MAX_PIXELS = 50_000_000
# Alpha is dropped, the colours below it stay, as Pillow converts.
_MODES = ("RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "CMYK", "YCbCr", "1")
_APPLE_DOUBLE = b"\0\5\x16\7"
_TURNS_ON_ITS_SIDE = (5, 6, 7, 8)


class NotAPicture(UserError):
    """A whole image whose values are no colours, such as depth."""


def pixels(image: PictureLike, size: tuple[int, int]) -> np.ndarray:
    """What a policy sees of a picture, whatever its aspect: uint8 (3, height, width), RGB.

    Args:
        image: what `as_pil` takes, and raises.
        size: (height, width) of the result.
    """
    return np.asarray(resize(as_pil(image), size)).transpose(2, 0, 1).copy()


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Of `size` (height, width), with antialiased bilinear filtering; `image` itself where it is."""
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)


def as_pil(image: Any) -> Image.Image:
    """A picture that somebody holds as an upright RGB PIL image.

    Args:
        image: PIL image, path, or uint8 array (H, W, 3). Files and PIL images are turned as their EXIF orientation
            says, and become RGB as `upright_rgb` says.

    Raises:
        UserError: the file is no PNG, JPEG, BMP or WebP or cannot be read, the picture is depth, or the shape or dtype
            is not one of the above.
    """
    if isinstance(image, (str, Path)):
        file = user_path(image)
        try:
            return upright_rgb(decode(read_encoded(file), FORMATS))
        except UserError as error:
            raise type(error)(f"{image} {error}") from error
    if isinstance(image, Image.Image):
        try:
            image.load()
            return upright_rgb(image)
        except UserError as error:
            raise type(error)(f"the image given {error}") from error
        except Exception as error:  # closed, or a lazily opened file that is cut: decoders raise many kinds
            raise UserError(f"the image given does not decode: {error}") from error
    if not isinstance(image, np.ndarray):
        raise UserError(f"an image is a PIL image, a path, an array or a tensor; got {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise UserError(f"an image array is (H, W, 3) uint8; got {image.shape} {image.dtype}")
    return Image.fromarray(np.ascontiguousarray(image))


def read_encoded(file: Path) -> bytes:
    """The bytes of a file.

    Raises:
        UserError: it cannot be read or is too large, as what follows the picture's name in a sentence.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UserError(f"is larger than {MAX_BYTES // 1_000_000} MB")
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from error


def decode(data: bytes, formats: tuple[str, ...] = RECORDED_FORMATS, *, verify: bool = False) -> Image.Image:
    """The picture in encoded bytes, decoded, as it is stored: `upright_rgb` gives its meaning.

    Args:
        formats: Pillow's names of those that are allowed.
        verify: ask for checksums and a proper end too, which decoding alone does not.

    Raises:
        UserError: why not, as what follows the picture's name in a sentence; `NotAPicture` for depth.
    """
    with _decoding(formats):
        image = _opened(data, formats)
        if verify:
            image.verify()  # and nothing can be read from it afterwards
            image = _opened(data, formats)
        image.load()
        _refuse_measurements(image)
    return image


def upright_size(data: bytes, formats: tuple[str, ...] = RECORDED_FORMATS) -> tuple[int, int]:
    """(width, height) of what `upright_rgb` makes of it, from the header alone; raises what `decode` does."""
    with _decoding(formats):
        image = _opened(data, formats)
        _refuse_measurements(image)
        # A PNG's own `getexif` would decode it all, in search of a block behind the pixels.
        turn = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    return (image.height, image.width) if turn in _TURNS_ON_ITS_SIDE else image.size


def coarse_view(data: bytes, size: tuple[int, int] = (32, 24)) -> np.ndarray:
    """(height, width) int16 grey values of a few blocks of a JPEG file, quickly; raises what `decode` does."""
    with _decoding(("JPEG",)):
        image = _opened(data, ("JPEG",))
        image.draft("L", size)
        return np.asarray(image.convert("L").resize(size, Image.Resampling.BOX), np.int16)


def upright_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB, turned as its EXIF orientation says; `image` itself where it is both.

    Grey, palette, CMYK and black-and-white pictures are converted, and alpha is dropped.

    Raises:
        NotAPicture: 16-bit, integer or float values, as what follows the picture's name in a sentence.
    """
    _refuse_measurements(image)
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        image = ImageOps.exif_transpose(image) if turned else image
    except Exception as error:  # a damaged EXIF block fails wherever its bytes end
        raise UserError(f"does not decode: its EXIF block is damaged ({error})") from error
    return image if image.mode == "RGB" else image.convert("RGB")


def _refuse_measurements(image: Image.Image) -> None:
    if image.mode in _MODES:
        return
    values = np.asarray(image)
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    raise NotAPicture(
        f"must be 8-bit colours, not {image.mode} of {low:g} to {high:g}: depth and other measurements have no one "
        "meaning as colours; leave them out, or map their range to 0 to 255 yourself"
    )


def _opened(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    if data.startswith(LFS_POINTER):
        raise UserError("is only Git LFS's pointer to the picture: run `git lfs pull` where it was cloned")
    if data.startswith(_APPLE_DOUBLE):
        raise UserError("is a Mac's metadata of a file, not the picture: take the file of that name without ._")
    image = Image.open(io.BytesIO(data), formats=formats)
    if image.width * image.height > MAX_PIXELS:
        raise UserError(f"has {image.width}x{image.height} pixels, more than {MAX_PIXELS}")
    return image


@contextmanager
def _decoding(formats: tuple[str, ...]) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Image.UnidentifiedImageError as error:
        raise UserError(f"does not decode: not a {' or '.join(formats)} file") from error
    except Exception as error:  # decoders raise SyntaxError, ValueError, struct.error, zlib.error and others
        raise UserError(f"does not decode: {error}") from error
