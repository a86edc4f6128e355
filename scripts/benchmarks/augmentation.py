"""Augmentation: milliseconds a batch of our own, of torchvision's v2 transforms and of kornia (if it is there).

python scripts/benchmarks/augmentation.py
python scripts/benchmarks/augmentation.py --threads 2

All draw anew for every image of a uint8 batch, but where the row says otherwise, and give float images.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from measuring import machine, report
from torchvision.transforms import v2

from dp_hf.cli.arguments import parse, run
from dp_hf.training.augmentation import augment_images
from dp_hf.training.options import AugmentationOptions

GEOMETRY = {"random_shift": 4.0, "random_rotation": 3.0, "random_scale": 0.05}
COLOR = {"color_jitter": 0.2, "hue_jitter": 0.1}
REST = {
    **{"random_perspective": 0.05, "channel_jitter": 0.1, "gamma_jitter": 0.3, "light_patches": 0.5},
    **{"random_blur": 0.7, "image_noise": 3.0, "erased_patches": 2},
}


@dataclass
class AugmentationArguments:
    """Times augmentation of one batch on the CPU."""

    batch_size: int = 32
    """Images."""
    height: int = 60
    """Of an image, pixels."""
    width: int = 106
    """Of an image, pixels."""
    threads: int = 1
    """CPU threads of torch."""
    repeats: int = 100
    """Timings of each row, of which the least counts: the machine may be busy."""
    json: bool = False
    """Print JSON instead of tables."""


def main() -> int:
    return run(benchmark, parse(AugmentationArguments, None, "augmentation.py"))


def benchmark(arguments: AugmentationArguments) -> None:
    torch.set_num_threads(arguments.threads)
    images = torch.randint(0, 256, (arguments.batch_size, 3, arguments.height, arguments.width), dtype=torch.uint8)
    rows = ours(images) | torchvision(images) | (kornia(images) if find_spec("kornia") else {})
    times = []
    for name, function in rows.items():
        function()
        wall, cpu = zip(*(clocks(function) for _ in range(arguments.repeats)), strict=True)
        times.append({"what": name, "ms a batch": 1000 * min(wall), "ms of CPU": 1000 * min(cpu)})
    shape = "x".join(map(str, images.shape))
    report({"machine": machine(), "tables": {f"Augmentation of {shape} uint8": times}}, arguments.json)


def clocks(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall and of all threads: on a busy machine the second is the one to look at."""
    start = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def ours(images: torch.Tensor) -> dict[str, Callable]:
    kinds = {
        "shift, rotation, scale": GEOMETRY,
        "brightness, contrast, saturation, hue": COLOR,
        "both": GEOMETRY | COLOR,
        **{f"{name} alone": {name: value} for name, value in REST.items()},
        "everything": GEOMETRY | COLOR | REST,
        "everything but blur": GEOMETRY | COLOR | REST | {"random_blur": 0},
    }
    windows = images[:, None, None]

    def augment(strengths: dict) -> Callable:
        options = AugmentationOptions(**strengths)
        return lambda: augment_images(windows, options)

    return {f"dp_hf: {name}": augment(strengths) for name, strengths in kinds.items()}


def torchvision(images: torch.Tensor) -> dict[str, Callable]:
    share = tuple(4 / size for size in (images.shape[3], images.shape[2]))
    geometry = v2.RandomAffine(3, share, (0.95, 1.05), interpolation=v2.InterpolationMode.BILINEAR)
    color = v2.ColorJitter(0.2, 0.2, 0.2, 0.05)
    both = v2.Compose([geometry, color])

    def each(transform: Callable) -> Callable:
        return lambda: torch.stack([transform(image) for image in images]).float()

    return {
        "torchvision: shift, rotation, scale (black edges)": each(geometry),
        "torchvision: brightness, contrast, saturation, hue": each(color),
        "torchvision: both": each(both),
        "torchvision: both, the same for the whole batch": lambda: both(images).float(),
    }


def kornia(images: torch.Tensor) -> dict[str, Callable]:
    from kornia import augmentation as K

    share = tuple(4 / size for size in (images.shape[3], images.shape[2]))
    geometry = K.RandomAffine(3.0, share, (0.95, 1.05), padding_mode="border", p=1.0)
    color = K.ColorJiggle(0.2, 0.2, 0.2, 0.05, p=1.0)
    size = (5, 5)
    everything = [
        *(geometry, K.RandomPerspective(0.05, p=1.0), color, K.RandomRGBShift(0.1, 0.1, 0.1, p=1.0)),
        *(K.RandomGamma((0.77, 1.3), p=1.0), K.RandomGaussianIllumination(p=1.0)),
        *(K.RandomGaussianBlur(size, (0.01, 0.7), p=1.0), K.RandomGaussianNoise(std=3 / 255, p=1.0)),
        *(K.RandomErasing((0.002, 0.03), p=1.0),) * 2,
    ]
    kinds = {
        "shift, rotation, scale": [geometry],
        "brightness, contrast, saturation, hue": [color],
        "both": [geometry, color],
        "about everything": everything,
    }

    def all_of(steps: list) -> Callable:
        sequence = torch.nn.Sequential(*steps)
        return lambda: 255 * sequence(images.float() / 255)

    return {f"kornia: {name}": all_of(steps) for name, steps in kinds.items()}


if __name__ == "__main__":
    sys.exit(main())
