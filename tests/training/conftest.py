"""A small recording and a run that takes a second or two."""

from pathlib import Path

import numpy as np
import pytest
from accelerate.state import AcceleratorState, GradientState

from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.training.config import TrainConfig

NUM_EPISODES, NUM_FRAMES = 4, 9


@pytest.fixture(scope="session")
def recording(tmp_path_factory) -> Path:
    """Four episodes of nine frames in which a bright square stands where the arm is going."""
    folder = tmp_path_factory.mktemp("recording")
    rng = np.random.default_rng(0)
    for episode in range(NUM_EPISODES):
        start, goal = rng.uniform(-60, 60, (2, 7))
        start[6], goal[6] = 100, 20
        with EpisodeWriter(folder, name=f"episode_20250101_00000{episode}_000") as writer:
            for i in range(NUM_FRAMES):
                image = rng.integers(0, 60, (36, 64, 3), dtype=np.uint8)
                x = int((goal[0] + 60) / 120 * 54)
                image[10:20, x : x + 10] = 250
                writer.add_frame(image, start + (goal - start) * i / (NUM_FRAMES - 1), timestamp=0.1 * i)
    return folder


@pytest.fixture
def make_config(recording, tmp_path):
    """A function that makes the configuration of a run of 4 epochs of 7 updates, dropout and average included."""

    def make(**options) -> TrainConfig:
        small = {
            "data_dir": str(recording),
            "output_dir": tmp_path / "run",
            "frame_skip": 1,
            "validation_fraction": 0.25,
            "image_size": (16, 24),
            "image_encoder": "small_cnn",
            "pretrained_backbone": "none",
            "hidden_dim": 32,
            "num_mlp_layers": 2,
            "diffusion_timesteps": 10,
            "batch_size": 4,
            "num_epochs": 4,
            "learning_rate": 1e-3,
            "lr_scheduler": "cosine",
            "lr_warmup_steps": 2,
            "ema_decay": 0.9,
            "log_interval": 2,
            "validation_interval": 2,
        }
        return TrainConfig.from_options(**small | options)

    return make


@pytest.fixture(autouse=True)
def fresh_accelerate():
    """Accelerate remembers the precision and the processes of the first Accelerator of a Python process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
