"""Recordings to measure with: 424x240 PNG frames that take as long to decode as a camera's."""

from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from dp_hf.episodes.writer import EpisodeWriter


def write_recordings(folder: Path, episodes: int, frames: int) -> Path:
    """Episodes of smooth scenes with a camera's noise, which PNG cannot compress, and random joint angles."""
    rng = np.random.default_rng(0)
    for episode in tqdm(range(episodes), desc="recording", leave=False):
        scene = Image.fromarray(rng.integers(0, 256, (6, 10, 3), dtype=np.uint8)).resize((424, 240))
        states = np.cumsum(rng.normal(size=(frames, 7)), axis=0)
        states[:, 6] = 50 + 50 * np.sin(states[:, 6])
        with EpisodeWriter(folder, f"episode_{episode:03d}") as writer:
            for state in states:
                image = np.asarray(scene) + rng.normal(0, 3, (240, 424, 3))
                writer.add_frame(image.clip(0, 255).astype(np.uint8), state)
    return folder
