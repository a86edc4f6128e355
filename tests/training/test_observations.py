"""The caches: equal to decoding, never stale, shared, and whole or absent."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dp_hf.episodes.dataset import open_data
from dp_hf.errors import UserError
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.training.observations import LiveImages, open_observations
from dp_hf.training.records import read_metrics
from dp_hf.training.row_cache import CachedRows, build_once
from dp_hf.training.trainer import train

CPU = torch.device("cpu")
SIZE = (16, 24)


@pytest.fixture
def dataset(recording):
    return open_data(recording, frame_skip=1, report=lambda text: None)[0]


def make_policy(**options) -> DiffusionPolicyModel:
    torch.manual_seed(0)
    return DiffusionPolicyModel(image_encoder="small_cnn", image_size=SIZE, **options)


def files(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*.npy")}


def test_features_equal_live_encoding(dataset, make_config, tmp_path):
    policy = make_policy()
    cached = open_observations(dataset, policy, make_config(cache_dir=tmp_path), CPU)
    assert cached.name == "image_features"
    rows = torch.tensor([[3, 4], [35, 0], [3, 3]])
    live = policy.encode_images(LiveImages(dataset, ("image",), SIZE)[rows])
    torch.testing.assert_close(cached[rows][:, :, 0], live, rtol=0, atol=1e-6)


def test_images_equal_live_decoding(dataset, make_config, tmp_path):
    policy = make_policy(freeze_image_encoder=False)
    cached = open_observations(dataset, policy, make_config(cache_dir=tmp_path), CPU)
    rows = torch.tensor([[3, 4], [35, 0]])
    live = LiveImages(dataset, ("image",), SIZE)[rows]
    assert cached.name == "images"
    assert live.shape == (2, 2, 1, 3, *SIZE)
    assert torch.equal(cached[rows], live)


@pytest.mark.parametrize("frozen", [True, False])
def test_training_with_and_without_cache_has_the_same_losses(frozen, make_config, tmp_path):
    losses = []
    for cache in ("auto", "none"):
        config = make_config(cache=cache, output_dir=tmp_path / cache, freeze_image_encoder=frozen, log_interval=1)
        losses.append([row["loss"] for row in read_metrics(train(config)) if "loss" in row])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) if frozen else losses[0] == losses[1]


def test_a_run_with_cache_dir_leaves_nothing_elsewhere(make_config, tmp_path):
    train(make_config(num_epochs=1, cache_dir=tmp_path / "cache"))
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"datasets", "features"}
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "run"}


def test_cache_is_used_again_but_never_for_something_else(dataset, make_config, tmp_path):
    config = make_config(cache_dir=tmp_path)
    policy = make_policy()
    open_observations(dataset, policy, config, CPU)
    (first,) = files(tmp_path)
    modified = (tmp_path / "features" / first).stat().st_mtime_ns
    open_observations(dataset, make_policy(), config, CPU)
    assert files(tmp_path) == {first}
    assert (tmp_path / "features" / first).stat().st_mtime_ns == modified

    def now_has(count: int) -> bool:
        return len(files(tmp_path)) == count

    with torch.no_grad():
        policy.encoder.backbone[0].weight[0, 0, 0, 0] += 1e-6
    open_observations(dataset, policy, config, CPU)
    assert now_has(2), "a changed weight"

    policy = make_policy()
    policy.encoder.image_mean += 0.01
    open_observations(dataset, policy, config, CPU)
    assert now_has(3), "a changed buffer that is not saved"

    def brighten(row, index):
        if index != 20:
            return row
        pixels = np.asarray(row["image"]).copy()
        pixels[0, 0, 0] ^= 1
        return row | {"image": Image.fromarray(pixels)}

    changed = dataset.map(brighten, with_indices=True, features=dataset.features)
    open_observations(changed, make_policy(), config, CPU)
    assert now_has(4), "one bit of one image"
    open_observations(dataset.select(range(35)), make_policy(), config, CPU)
    assert now_has(5), "fewer frames"
    torch.manual_seed(0)
    other_size = DiffusionPolicyModel(image_encoder="small_cnn", image_size=(16, 16))
    open_observations(dataset, other_size, config, CPU)
    assert now_has(6), "another size"
    augmented = make_config(cache_dir=tmp_path, random_shift=1, cached_augmentations=2)
    open_observations(dataset, make_policy(), augmented, CPU)
    assert now_has(7), "augmented"


def test_augmented_variants(dataset, make_config, tmp_path):
    policy = make_policy()
    config = make_config(cache_dir=tmp_path, random_shift=2, color_jitter=0.2, cached_augmentations=3)
    before = torch.random.get_rng_state()
    variants = open_observations(dataset, policy, config, CPU)[torch.arange(36)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert variants.shape == (36, 4, policy.encoder.feature_dim)
    plain = open_observations(dataset, policy, make_config(cache_dir=tmp_path), CPU)[torch.arange(36)]
    assert torch.equal(variants[:, 0], plain[:, 0])
    for i in range(3):
        assert not torch.allclose(variants[:, i], variants[:, i + 1], atol=1e-3)


def test_a_variant_changes_the_frames_of_an_episode_alike(dataset, make_config, tmp_path):
    """So a window whose frames take the same variant moves as it was recorded."""
    same = dataset.map(lambda row: row | {"image": dataset[0]["image"]}, features=dataset.features)
    config = make_config(cache_dir=tmp_path, random_shift=2, light_patches=0.5, cached_augmentations=2)
    variants = open_observations(same, make_policy(), config, CPU)[torch.arange(36)].unflatten(0, (4, 9))
    torch.testing.assert_close(variants, variants[:, :1].expand_as(variants), rtol=0, atol=1e-5)
    torch.testing.assert_close(variants[0, 0, 0], variants[1, 0, 0], rtol=0, atol=1e-5)
    assert not torch.allclose(variants[0, 0, 1], variants[1, 0, 1], atol=1e-4)


def test_zero_cached_augmentations_caches_images(dataset, make_config, tmp_path):
    config = make_config(cache_dir=tmp_path, random_shift=2, cached_augmentations=0)
    assert open_observations(dataset, make_policy(), config, CPU).name == "images"


def slow_batches(on_start):
    on_start()
    for i in range(20):
        time.sleep(0.1)
        yield np.full((1, 2), i, dtype=np.float32)


def build(path: Path, on_start=lambda: None) -> None:
    build_once(path, slow_batches(on_start), (20, 2), "float32", "Building")


def test_killed_build_leaves_nothing_that_is_used(tmp_path):
    path = tmp_path / "rows.npy"
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=build, args=(path, started.set))
    process.start()
    started.wait()
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not path.exists()
    build(path)
    assert CachedRows("image_features", path)[torch.arange(20)][:, 0].tolist() == list(range(20))


def test_processes_share_one_build(tmp_path):
    path = tmp_path / "rows.npy"
    context = multiprocessing.get_context("fork")
    builds = context.Semaphore(0)
    processes = [context.Process(target=build, args=(path, builds.release)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert builds.get_value() == 1
    assert np.load(path).shape == (20, 2)


def test_too_small_a_disk(tmp_path):
    with pytest.raises(UserError, match="--cache_dir"):
        build_once(tmp_path / "rows.npy", iter(()), (2**50, 2), "float32", "Building")


def test_a_cache_has_its_space_before_the_first_row(tmp_path):
    """A map of a file without it ends the process, without a word, when the disk fills."""
    shape = (5, 2**18)

    def batches():
        (file,) = tmp_path.glob(".rows.npy.new-*/rows.npy")
        assert file.stat().st_blocks * 512 >= 5 * 2**18 * 4
        yield np.zeros(shape, dtype=np.float32)

    build_once(tmp_path / "rows.npy", batches(), shape, "float32", "Building")
