"""Draws what augmentation makes of a recorded frame, above what disturbances of the simulator make of the scene.

    python scripts/figures/augmentation.py --config stack_cpu --data_dir DATA --random_shift 4 --light_patches 0.5

takes the options of `dp-hf train`, and writes augmentation.png: frames, each kind of augmentation alone, all together,
and below them (where it is installed) the simulator in the scenes of `dp-hf evaluate --disturbances`.
"""

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from dp_hf.cli.train import parse_config
from dp_hf.disturbances import TABLE
from dp_hf.episodes.dataset import open_data
from dp_hf.models.image_processor import preprocess_image
from dp_hf.training.augmentation import augment_images
from dp_hf.training.config import TrainConfig
from dp_hf.training.observations import LiveImages
from dp_hf.training.options import AugmentationOptions

FILE = Path("augmentation.png")
COLUMNS = 8
ENLARGED = 2
GAP = 4


def main() -> int:
    config = parse_config(sys.argv[1:])
    torch.manual_seed(config.seed)
    rows = [*augmented(config), *(disturbed(config.policy.image_size) if find_spec("mujoco") else ())]
    height, width = (ENLARGED * pixels + GAP for pixels in config.policy.image_size)
    font = ImageFont.load_default(size=14)
    label = 190
    sheet = Image.new("RGB", (label + COLUMNS * width, len(rows) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (name, images) in enumerate(rows):
        pen.text((4, row * height + height // 2 - 8), name, "black", font)
        for column, image in enumerate(images):
            picture = Image.fromarray(image.permute(1, 2, 0).numpy())
            picture = picture.resize((width - GAP, height - GAP), Image.Resampling.NEAREST)
            sheet.paste(picture, (label + column * width, row * height))
    sheet.save(FILE)
    print(f"{FILE}: {len(rows)} rows of {COLUMNS}")
    return 0


def augmented(config: TrainConfig) -> Iterator[tuple[str, torch.Tensor]]:
    """Rows of frames along the dataset: as they are, with each option alone, with all."""
    dataset, meta = open_data(config.data_dir, frame_skip=config.data.frame_skip, cache_dir=config.loading.cache_dir)
    cameras = config.data.camera_names or tuple(meta.camera_names)
    live = LiveImages(dataset, cameras[:1], config.policy.image_size)
    images = live[torch.linspace(0, len(dataset) - 1, COLUMNS).long()][:, None]
    options = config.augmentation
    kinds = {
        f"{name} {value:g}": AugmentationOptions(**{name: value}) for name, value in options.of_images.items() if value
    }
    for name, only in {"recorded": AugmentationOptions(), **kinds, "all together": options}.items():
        yield name, augment_images(images, only)[:, 0, 0].round().to(torch.uint8)


def disturbed(image_size: tuple[int, int]) -> Iterator[tuple[str, torch.Tensor]]:
    """Rows of the simulator's first frames in each of the scenes that policies are measured in, a layout each."""
    from dp_hf.simulation.environment import CubeStackingEnv

    for name, scene in TABLE.items():
        environment = CubeStackingEnv(**scene.options())
        frames = [environment.reset(seed=seed)[0]["image"] for seed in range(COLUMNS)]
        yield f"simulator: {name}", torch.stack([preprocess_image(frame, image_size) for frame in frames])
        environment.close()


if __name__ == "__main__":
    sys.exit(main())
