"""Augmentation of batches of images, on whatever device they are."""

import torch

GRAY = (0.299, 0.587, 0.114)


def augment_images(images: torch.Tensor, random_shift: int = 0, color_jitter: float = 0.0) -> torch.Tensor:
    """Shifts and recolours images of values 0..255, (B, n_obs_steps, n_cameras, 3, H, W); the same shape.

    What belongs to one of the batch is changed alike, so that motion between its frames stays what it was.
    """
    if random_shift > 0:
        images = shift(images.flatten(1, 3), random_shift).view_as(images)
    if color_jitter > 0:
        images = jitter(images.float(), color_jitter)
    return images


def shift(images: torch.Tensor, pixels: int) -> torch.Tensor:
    """Moves images (B, C, H, W) by up to `pixels` each way; edge pixels fill in (Yarats et al. 2021, DrQ)."""
    batch, channels, height, width = images.shape
    device = images.device
    down, right = torch.randint(-pixels, pixels + 1, (2, batch, 1), device=device)
    rows = (torch.arange(height, device=device) + down).clamp(0, height - 1)
    columns = (torch.arange(width, device=device) + right).clamp(0, width - 1)
    item = torch.arange(batch, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[:, None, None]
    return images[item, channel, rows[:, None, :, None], columns[:, None, None, :]]


def jitter(images: torch.Tensor, strength: float) -> torch.Tensor:
    """Brightness, contrast and saturation times a factor in 1 +- strength; images (B, ..., 3, H, W), 0..255."""
    shape = (3, len(images), *[1] * (images.ndim - 1))
    brightness, contrast, saturation = 1 + strength * (2 * torch.rand(shape, device=images.device) - 1)
    images = images * brightness
    mean = images.mean(dim=(-3, -2, -1), keepdim=True)
    images = (images - mean) * contrast + mean
    weights = torch.tensor(GRAY, device=images.device).view(3, 1, 1)
    gray = (images * weights).sum(dim=-3, keepdim=True)
    return ((images - gray) * saturation + gray).clamp(0, 255)
