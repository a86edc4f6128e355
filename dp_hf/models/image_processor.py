"""From any image a user may hold to the uint8 tensor the policy takes: one function for training and inference."""

from typing import TypeAlias

import numpy as np
import torch

from dp_hf.errors import UserError
from dp_hf.pictures import PictureLike, pixels

ImageLike: TypeAlias = "PictureLike | torch.Tensor"

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
        UserError: what `as_pil` raises, or a tensor of another shape, dtype or range.
    """
    return torch.from_numpy(pixels_of_any(image, size))


def pixels_of_any(image: ImageLike, size: tuple[int, int]) -> np.ndarray:
    """`preprocess_image` as an array."""
    return pixels(_as_array(image) if isinstance(image, torch.Tensor) else image, size)


def _as_array(image: torch.Tensor) -> np.ndarray:
    """A tensor's picture, uint8 (H, W, 3)."""
    require_dense(image, "an image tensor")
    if image.ndim != 3 or image.shape[0] != 3 or not (image.is_floating_point() or image.dtype == torch.uint8):
        raise UserError(
            f"an image tensor is (3, H, W), uint8 or float in [0, 1]; got {tuple(image.shape)} {image.dtype}"
        )
    return _as_uint8(image).permute(1, 2, 0).cpu().numpy()


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
