"""Draws what augmentation makes of a recorded frame, above what disturbances of the simulator make of the scene.

    python scripts/figures/augmentation.py --config stack_cpu --data_dir DATA --random_shift 4 --light_patches 0.5

takes the options of `dp-hf train`, and writes augmentation.png: frames, each kind of augmentation alone, all together,
and below them the simulator with a moved camera, another light, and shadows. All as the encoder sees them, enlarged.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from dp_hf.cli.train import parse_config
from dp_hf.episodes.dataset import open_data
from dp_hf.models.image_processor import preprocess_image
from dp_hf.simulation.environment import CubeStackingEnv
from dp_hf.training.augmentation import augment_images
from dp_hf.training.config import AugmentationOptions, TrainConfig
from dp_hf.training.observations import LiveImages

FILE = Path("augmentation.png")
COLUMNS = 8
ENLARGED = 2
GAP = 4
DISTURBANCES: dict[str, dict] = {
    "simulator": {},
    "camera_turn 1": {"camera_turn": 1.0},
    "camera_turn 3": {"camera_turn": 3.0},
    "camera_shift 10": {"camera_shift": 10.0},
    "light_jitter 0.3": {"light_jitter": 0.3},
    "shadows": {"shadows": True},
}


def main() -> int:
    config = parse_config(sys.argv[1:])
    torch.manual_seed(config.seed)
    rows = [*augmented(config), *disturbed(config.policy.image_size)]
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
    for name, only in {"recorded": AugmentationOptions(), **kinds, "all together": replace(options)}.items():
        yield name, augment_images(images, only)[:, 0, 0].round().to(torch.uint8)


def disturbed(image_size: tuple[int, int]) -> Iterator[tuple[str, torch.Tensor]]:
    """Rows of the simulator's first frame of one layout each."""
    for name, options in DISTURBANCES.items():
        environment = CubeStackingEnv(**options)
        frames = [environment.reset(seed=seed)[0]["image"] for seed in range(COLUMNS)]
        yield name, torch.stack([preprocess_image(np.asarray(frame), image_size) for frame in frames])
        environment.close()


if __name__ == "__main__":
    sys.exit(main())
