"""Where training takes what the policy sees: images decoded live, resized images on disk, or encoder features on disk.

A frozen encoder that sees unchanged images gives the same features in every epoch, so they are computed once; with
augmentation, several variants of each frame are. Where the encoder learns, the resized images are kept instead.
"""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import datasets
import numpy as np
import torch

from dp_hf.episodes.cells import camera_cells, cell_picture
from dp_hf.episodes.rows import column_of
from dp_hf.files import cache_root
from dp_hf.models.digest import digest_module, digest_of
from dp_hf.models.image_processor import preprocess_image
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.training.augmentation import AUGMENTATION_VERSION, augment_images, draw
from dp_hf.training.config import TrainConfig
from dp_hf.training.row_cache import (
    CachedRows,
    build_once,
    digest_images,
    digest_preprocessing,
)
from dp_hf.training.windows import Observations

BUILD_BATCH = 32


class LiveImages:
    """Images (..., n_cameras, 3, H, W) uint8, decoded and resized when they are asked for."""

    name = "images"

    def __init__(self, dataset: datasets.Dataset, camera_names: tuple[str, ...], image_size: tuple[int, int]):
        self.dataset = camera_cells(dataset, camera_names)
        self.camera_names, self.image_size = camera_names, image_size

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        unique, inverse = rows.unique(return_inverse=True)
        columns = self.dataset[unique.tolist()]
        cameras = [
            torch.stack([preprocess_image(cell_picture(cell, name), self.image_size) for cell in columns[name]])
            for name in self.camera_names
        ]
        return torch.stack(cameras, dim=1)[inverse]


def open_observations(
    dataset: datasets.Dataset,
    policy: DiffusionPolicyModel,
    config: TrainConfig,
    device: torch.device,
    images: str | None = None,
) -> Observations:
    """The fastest source of what the policy sees that `config` allows; builds its cache where there is none.

    Args:
        policy: on `device`.
        images: their `digest_images`, where it is known already.
    """
    cameras, image_size = tuple(policy.config.camera_names), tuple(policy.config.image_size)
    live = LiveImages(dataset, cameras, image_size)
    if config.loading.cache == "none":
        return live
    folder = cache_root(config.loading.cache_dir)
    key = digest_of(images or digest_images(dataset, cameras), digest_preprocessing(image_size))
    frozen = policy.config.freeze_image_encoder
    if not frozen or (config.augmentation.changes_images and config.loading.cached_augmentations == 0):
        shape = (len(dataset), len(cameras), 3, *image_size)
        batches = (images.numpy() for images in _all_images(live))
        path = build_once(folder / "images" / f"{key}.npy", batches, shape, "uint8", "Caching images")
        return CachedRows("images", path)

    variants = config.loading.cached_augmentations if config.augmentation.changes_images else 0
    key = digest_of(key, digest_module(policy.encoder), device.type)
    if variants:
        key = digest_of(key, variants, AUGMENTATION_VERSION, config.augmentation.of_images)
    shape = (len(dataset), 1 + variants, policy.encoder.feature_dim * len(cameras))
    episodes = torch.from_numpy(column_of(dataset, "episode_index", np.int64))
    batches = _encode_variants(live, episodes, policy, config, variants, device)
    path = build_once(folder / "features" / f"{key}.npy", batches, shape, "float32", "Encoding images")
    return CachedRows("image_features", path)


def _all_images(live: LiveImages) -> Iterator[torch.Tensor]:
    """Batches of all images in order, decoded by threads a few batches ahead."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future] = deque()
        for rows in torch.arange(len(live.dataset)).split(BUILD_BATCH):
            pending.append(pool.submit(live.__getitem__, rows))
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@torch.no_grad()
def _encode_variants(
    live: LiveImages,
    episode_index: torch.Tensor,
    policy: DiffusionPolicyModel,
    config: TrainConfig,
    variants: int,
    device: torch.device,
) -> Iterator[np.ndarray]:
    """Batches of features (B, 1 + variants, F): of the image as it is, then of augmented ones.

    A variant changes all frames of an episode alike, as the frames of a window are.
    """
    options = config.augmentation
    _, episode = torch.unique_consecutive(episode_index, return_inverse=True)
    policy.eval()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        draws = [draw(options, int(episode.max()) + 1, len(live.camera_names), device) for _ in range(variants)]
        for images, rows in zip(_all_images(live), episode.to(device).split(BUILD_BATCH), strict=True):
            images = images.to(device).unsqueeze(1)
            seen = [images, *(augment_images(images, options, variant[rows]) for variant in draws)]
            features = torch.cat([policy.encode_images(variant) for variant in seen], dim=1)
            yield features.float().cpu().numpy()
