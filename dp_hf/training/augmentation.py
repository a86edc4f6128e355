"""Augmentation of batches of images, on whatever device they are, in float32 and a few passes.

A window's images of one camera are changed alike, so that motion between its frames stays what it was; windows and
cameras differ. What is done to them is a row of uniform numbers, drawn with torch's own generator: a run that goes on
from a checkpoint draws what it would have drawn.
"""

import math

import torch
from torch.nn import functional as F

from dp_hf.training.options import AugmentationOptions

# Names the caches of augmented features: raise it with every change of what the options do.
AUGMENTATION_VERSION = 2

LIGHT_PATCHES = 2
PATCH_NUMBERS = 7
# RGB to luminance and the two colour axes of NTSC, in which saturation is a length and hue an angle.
YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
RGB = YIQ.inverse()
# Standard deviation of the numbers -128 to 127, all equally often.
BYTE_DEVIATION = math.sqrt((256**2 - 1) / 12)


def augment_images(
    images: torch.Tensor, options: AugmentationOptions, draws: torch.Tensor | None = None
) -> torch.Tensor:
    """Images of values 0..255, (B, n_obs_steps, n_cameras, 3, H, W), as another camera in another light might see them.

    Args:
        draws: (B, n_cameras, ...) as `draw` gives them; None draws new ones.

    Returns:
        The same shape in float32 and 0..255; `images` themselves where no option changes them.
    """
    moves = max(options.random_shift, options.random_rotation, options.random_scale, options.random_perspective)
    recolors = max(options.color_jitter, options.channel_jitter, options.hue_jitter, options.gamma_jitter)
    others = max(options.erased_patches, options.light_patches, options.random_blur, options.image_noise)
    if max(moves, recolors, others) == 0:
        return images
    batch, _, cameras = images.shape[:3]
    if draws is None:
        draws = draw(options, batch, cameras, images.device)
    move, patches, light, blur, color, noise = draws.flatten(0, 1).split(widths(options), dim=1)
    seen = images.transpose(1, 2).flatten(0, 1).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    # From the scene to the sensor.
    if moves > 0:
        seen = moved(seen, move, options)
    if options.erased_patches > 0:
        seen = erased(seen, patches)
    if options.light_patches > 0:
        seen = lit(seen, light, options.light_patches)
    if options.random_blur > 0:
        seen = blurred(seen, options.random_blur * blur.abs())
    if recolors > 0:
        seen = recolored(seen, color, options)
    if options.image_noise > 0:
        seen = noisy(seen, options.image_noise * noise.abs())
    return seen.clamp_(0, 255).unflatten(0, (batch, cameras)).transpose(1, 2)


def widths(options: AugmentationOptions) -> list[int]:
    """How many numbers say how the camera moves, what is erased, the light, blur, colours and noise."""
    return [6, PATCH_NUMBERS * options.erased_patches, PATCH_NUMBERS * LIGHT_PATCHES, 1, 8, 1]


def draw(options: AugmentationOptions, count: int, cameras: int, device: torch.device) -> torch.Tensor:
    """What to do to the images of `count` windows: uniform numbers in [-1, 1), (count, cameras, sum of `widths`)."""
    return 2 * torch.rand(count, cameras, sum(widths(options)), device=device) - 1


def moved(images: torch.Tensor, draws: torch.Tensor, options: AugmentationOptions) -> torch.Tensor:
    """Images (N, T, 3, H, W) shifted, turned, scaled and tilted by a homography; edge pixels fill in.

    Between pixels it interpolates, which served better than whole pixels (Yarats et al. 2021, arXiv:2107.09645).
    """
    height, width = images.shape[-2:]
    right, down, turn, zoom, tilt_x, tilt_y = draws.T[..., None, None]
    x, y = centered(width, images.device), centered(height, images.device)[:, None]
    angle, size = math.radians(options.random_rotation) * turn, (1 + options.random_scale) ** -zoom
    cosine, sine = size * angle.cos(), size * angle.sin()
    right, down = options.random_shift * right, options.random_shift * down
    to_x, to_y = 2 / width, 2 / height
    # Where a pixel comes from, as complex numbers: half the time of two planes that are interleaved afterwards.
    source = torch.complex(cosine * x * to_x, sine * x * to_y) + torch.complex(
        (right - sine * y) * to_x, (down + cosine * y) * to_y
    )
    if options.random_perspective > 0:
        source *= 1 / (1 + options.random_perspective * (tilt_x * x * to_x + tilt_y * y * to_y))
    grid = torch.view_as_real(source)
    seen = F.grid_sample(images.flatten(1, 2), grid, padding_mode="border", align_corners=False)
    return seen.view_as(images)


def centered(length: int, device: torch.device) -> torch.Tensor:
    """Places of `length` pixels, 0 in the middle."""
    return torch.arange(length, dtype=torch.float32, device=device) - (length - 1) / 2


def erased(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Rectangles of one colour, sides up to a quarter of the height (DeVries and Taylor 2017, arXiv:1708.04552)."""
    height, width = images.shape[-2:]
    x, y = centered(width, images.device), centered(height, images.device)[:, None]
    for numbers in draws.split(PATCH_NUMBERS, dim=1):
        center_x, center_y, half_width, half_height = numbers[:, :4].T[..., None, None]
        # Half sides of a fortieth to an eighth.
        across = (x - width / 2 * center_x).abs() < height * (0.1 * half_width.abs() + 0.025)
        down = (y - height / 2 * center_y).abs() < height * (0.1 * half_height.abs() + 0.025)
        color = 127.5 * (1 + numbers[:, None, 4:, None, None])
        images = images.lerp_(color, (across & down)[:, None, None].float())
    return images


def lit(images: torch.Tensor, draws: torch.Tensor, strength: float) -> torch.Tensor:
    """Brighter or darker within ellipses with soft edges; the large ones are half the picture."""
    height, width = images.shape[-2:]
    # Half the resolution does, for what is soft. In halves of the picture's height.
    rows, columns = -(-height // 2), -(-width // 2)
    y = centered(rows, images.device)[:, None] * (2 / rows)
    x = centered(columns, images.device) * (2 / rows)
    light = torch.ones(len(images), rows, columns, device=images.device)
    for numbers in draws.split(PATCH_NUMBERS, dim=1):
        center_x, center_y, turn, *sizes, edge, change = numbers.T[..., None, None]
        right, down = x - center_x * width / height, y - center_y
        # Half axes of 0.15 to 2.4, and edges of 0.03 to 0.5 of them.
        along, across = (0.6 * 4**size for size in sizes)
        cosine, sine = (math.pi * turn).cos(), (math.pi * turn).sin()
        u, v = (cosine * right + sine * down) / along, (cosine * down - sine * right) / across
        inside = ((1 - (u * u + v * v).sqrt_()) / (0.12 * 4**edge)).sigmoid_()
        light *= 1 + strength * change * inside
    light = F.interpolate(light[:, None], (height, width), mode="bilinear", align_corners=False)
    return images.mul_(light[:, None])


def blurred(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Gaussian blur with `sigma` (N, 1) pixels, as a product with a matrix for rows and one for columns.

    Quicker than a convolution with a kernel for each image; at the edge the pixels within it share the weights.
    """
    height, width = images.shape[-2:]
    rows, columns = blur_matrices(height, sigma), blur_matrices(width, sigma)
    across = images.flatten(1, 3) @ columns.mT
    return rows[:, None, None] @ across.view_as(images)


def blur_matrices(length: int, sigma: torch.Tensor) -> torch.Tensor:
    """(N, length, length): the weights of all pixels of a line in each of the blurred line."""
    place = centered(length, sigma.device)
    distance = place - place[:, None]
    # Without the limit most are so small that processors become slow.
    return (-0.5 * (distance / sigma.clamp(min=1e-3)[..., None]).square()).clamp(min=-20).softmax(dim=-1)


def recolored(images: torch.Tensor, draws: torch.Tensor, options: AugmentationOptions) -> torch.Tensor:
    """One 3x3 matrix and offset for light, white balance, contrast, saturation and hue; then the exponent."""
    brightness, contrast, saturation = 1 + options.color_jitter * draws[:, :3].T
    gains = 1 + options.channel_jitter * draws[:, 3:6]
    hue = math.pi * options.hue_jitter * draws[:, 6]
    chroma = torch.zeros(len(images), 3, 3, device=images.device)
    chroma[:, 0, 0] = 1
    chroma[:, 1, 1] = chroma[:, 2, 2] = saturation * hue.cos()
    chroma[:, 1, 2] = -saturation * hue.sin()
    chroma[:, 2, 1] = saturation * hue.sin()
    matrix = (brightness[:, None] * gains)[..., None] * (RGB.to(images.device) @ chroma @ YIQ.to(images.device))
    # Contrast is about the mean of the window, so that its frames stay alike.
    mean = images.flatten(1).mean(dim=1)
    offset = matrix.sum(dim=2) * ((1 - contrast) * mean)[:, None]
    matrix = matrix * contrast[:, None, None]
    steps = images.shape[1]
    matrix, offset = (part.repeat_interleave(steps, dim=0) for part in (matrix, offset))
    colors = torch.baddbmm(offset[..., None], matrix, images.flatten(0, 1).flatten(2)).view_as(images)
    if options.gamma_jitter > 0:
        exponent = (1 + options.gamma_jitter) ** draws[:, 7, None, None, None, None]
        # Logarithm and exponential in place take a third of the time of a power.
        colors = colors.div_(255).clamp_(1e-6, 1).log_().mul_(exponent).exp_().mul_(255)
    return colors.clamp_(0, 255)


def noisy(images: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """Noise of its own for every pixel of every frame, standard deviation (N, 1).

    Equally distributed, from bits: on a CPU six times as fast as a normal distribution, and a sum over a few pixels is
    one.
    """
    words = torch.empty(-(-images.numel() // 8), dtype=torch.int64, device=images.device).random_(-(2**63), None)
    noise = words.view(torch.int8)[: images.numel()].view(images.shape).to(torch.float32).add_(0.5)
    return images.addcmul_(noise, deviation[..., None, None, None] / BYTE_DEVIATION)
