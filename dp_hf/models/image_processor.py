"""From any image a user may hold to the uint8 tensor the policy takes: one function for training and inference."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image

from dp_hf.errors import UserError
from dp_hf.files import user_path
from dp_hf.pictures import FORMATS, decode, read_encoded, upright_rgb

ImageLike: TypeAlias = "Image.Image | str | Path | np.ndarray | torch.Tensor"


# Names the caches of resized images and of features: raise it with every change of the pixels that come out below.
PREPROCESSING_VERSION = 1


def preprocess_image(image: ImageLike, size: tuple[int, int]) -> torch.Tensor:
    """Resizes an image, whatever its aspect, with antialiased bilinear filtering.

    Args:
        image: PIL image, path, uint8 array (H, W, 3), or tensor (3, H, W) of uint8 or of floats in [0, 1]. Files and
            PIL images are turned as their EXIF orientation says, and become RGB as `upright_rgb` says.
        size: (height, width) of the result.

    Returns:
        uint8 tensor (3, height, width), RGB. The encoder scales and standardises it on its own device.

    Raises:
        UserError: the file is no PNG, JPEG, BMP or WebP or cannot be read, the picture is depth, or the shape, dtype
            or range is not one of the above.
    """
    height, width = size
    resized = as_pil(image)
    if resized.size != (width, height):
        resized = resized.resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(resized).transpose(2, 0, 1).copy())


def as_pil(image: ImageLike) -> Image.Image:
    """The image as an upright RGB PIL image; accepts and raises what `preprocess_image` does."""
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
    if isinstance(image, torch.Tensor):
        require_dense(image, "an image tensor")
        if image.ndim != 3 or image.shape[0] != 3 or not (image.is_floating_point() or image.dtype == torch.uint8):
            raise UserError(
                f"an image tensor is (3, H, W), uint8 or float in [0, 1]; got {tuple(image.shape)} {image.dtype}"
            )
        image = _as_uint8(image).permute(1, 2, 0).cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise UserError(f"an image is a PIL image, a path, an array or a tensor; got {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise UserError(f"an image array is (H, W, 3) uint8; got {image.shape} {image.dtype}")
    return Image.fromarray(np.ascontiguousarray(image))


def require_dense(tensor: torch.Tensor, name: str) -> None:
    """Raises `UserError` for a tensor that does not hold its values one beside the other: sparse, nested or meta."""
    if tensor.is_nested or tensor.is_meta or tensor.layout != torch.strided:
        kind = "nested" if tensor.is_nested else "meta" if tensor.is_meta else str(tensor.layout)
        raise UserError(f"{name} is dense, with values; got a {kind} tensor")


def _as_uint8(image: torch.Tensor) -> torch.Tensor:
    if not image.is_floating_point() or image.numel() == 0:
        return image.to(torch.uint8)
    if image.itemsize == 1:  # torch does not compare float8
        image = image.float()
    low, high = image.min().item(), image.max().item()
    # Filters overshoot by less than the half step that rounds away; NaN is in no range.
    if not (low >= -0.5 / 255 and high <= 1 + 0.5 / 255):
        raise UserError(
            f"a float image tensor is in [0, 1]; this one holds {low:.3g} to {high:.3g}: give it before it is "
            "normalised (the encoder does that), and values of 0 to 255 as uint8"
        )
    return image.clamp(0, 1).mul(255).round().to(torch.uint8)
