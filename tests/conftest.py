"""What tests share: a tiny pipeline, a random frame, and the real recordings where they are at hand."""

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    """No test reads or fills the user's caches."""
    monkeypatch.setenv("DP_HF_CACHE", str(tmp_path / "dp_hf_cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "datasets_cache"))


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    """Messages with long paths of temporary files are not broken into lines."""
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def frame() -> np.ndarray:
    """uint8 (240, 424, 3)."""
    return np.random.default_rng(0).integers(0, 256, (240, 424, 3), dtype=np.uint8)


@pytest.fixture
def make_pipeline():
    """A function that makes a tiny pipeline with random weights; keyword arguments go to the policy's config.

    The weights are those of the test, in every run of it.
    """
    import torch
    from diffusers import DDPMScheduler

    from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer

    torch.manual_seed(0)

    def make(num_train_timesteps=20, prediction_type="epsilon", **config):
        config = {"image_encoder": "small_cnn", "image_size": (32, 56), "hidden_dim": 32} | config
        rng = np.random.default_rng(0)
        low, high = np.array([-160.0] * 6 + [0.0]), np.array([160.0] * 6 + [100.0])
        rows = {7: rng.uniform(low, high, (100, 7))}  # of a myCobot; of other arms any numbers
        states, actions = (
            rows.get(width := config.get(f"{kind}_dim", 7), rng.uniform(-1, 1, (100, width)))
            for kind in ("state", "action")
        )
        scheduler = DDPMScheduler(num_train_timesteps, prediction_type=prediction_type)
        return DiffusionPolicyPipeline(DiffusionPolicyModel(**config), scheduler, Normalizer.from_data(states, actions))

    return make


@pytest.fixture
def real_data() -> Path:
    """Folder of real recordings beside the checkout; the test is skipped where there is none."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real recordings beside the checkout")
    return folder


@pytest.fixture
def record_episode():
    """A function that records an episode of a moving arm in degrees: `record_episode(data_dir, name, num_frames=8)`.

    Frame i of seed s has its own image and state, so rows can be told apart; returns the episode's folder.
    """
    from dp_hf.episodes.writer import EpisodeWriter

    def record(data_dir, name=None, num_frames=8, seed=0, cameras=None, with_actions=False, fps=None):
        rng = np.random.default_rng(seed)
        with EpisodeWriter(data_dir, name) as writer:
            for index in range(num_frames):
                image = rng.integers(0, 256, (24, 42, 3), dtype=np.uint8)
                state = np.array([*rng.uniform(-150, 150, 6), rng.uniform(0, 100)], dtype=np.float32)
                writer.add_frame(
                    image if cameras is None else {camera: image for camera in cameras},
                    state,
                    action=state + 1 if with_actions else None,
                    timestamp=100 + index / fps if fps else None,
                )
        return writer.path

    return record


@pytest.fixture
def hub():
    """A Hub on the loopback and its address."""
    from local_hub import serve_hub

    with serve_hub() as (hub, address):
        yield hub, address


@pytest.fixture
def client(hub, tmp_path):
    """Runs Python code in a fresh process whose Hub is the local one and whose cache is empty."""

    def run(*arguments: str, offline: bool = False) -> str:
        environment = os.environ | {
            "HF_ENDPOINT": hub[1],
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": "hf_test",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "1" if offline else "0",
        }
        result = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run
