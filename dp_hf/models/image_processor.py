"""From any image a user may hold to the uint8 tensor the policy takes: one function for training and inference."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from dp_hf.errors import UserError
from dp_hf.files import user_path

ImageLike: TypeAlias = "Image.Image | str | Path | np.ndarray | torch.Tensor"


# Names the caches of resized images and of features: raise it with every change of the pixels that come out below.
PREPROCESSING_VERSION = 1


def preprocess_image(image: ImageLike, size: tuple[int, int]) -> torch.Tensor:
    """Resizes an image, whatever its aspect, with antialiased bilinear filtering.

    Args:
        image: PIL image, path, uint8 array (H, W, 3), or tensor (3, H, W) of uint8 or of floats in [0, 1].
        size: (height, width) of the result.

    Returns:
        uint8 tensor (3, height, width), RGB. The encoder scales and standardises it on its own device.

    Raises:
        UserError: the file cannot be read, or the shape or dtype is not one of the above.
    """
    height, width = size
    resized = as_pil(image)
    if resized.size != (width, height):
        resized = resized.resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(resized).transpose(2, 0, 1).copy())


def as_pil(image: ImageLike) -> Image.Image:
    """The image as an RGB PIL image; accepts and raises what `preprocess_image` does."""
    if isinstance(image, (str, Path)):
        try:
            with Image.open(user_path(image)) as file:
                return file.convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise UserError(f"{image}: cannot be read as an image ({error})") from error
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if isinstance(image, torch.Tensor):
        if image.is_floating_point():
            image = image.clamp(0, 1).mul(255).round().to(torch.uint8)
        if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.uint8:
            raise UserError(
                f"an image tensor is (3, H, W), uint8 or float in [0, 1]; got {tuple(image.shape)} {image.dtype}"
            )
        image = image.permute(1, 2, 0).cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise UserError(f"an image is a PIL image, a path, an array or a tensor; got {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UserError(f"an image array is (H, W, 3) uint8; got {image.shape} {image.dtype}")
    return Image.fromarray(np.ascontiguousarray(image))
