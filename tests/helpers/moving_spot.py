"""Recordings of an arm that is seen as a bright spot: where it is tells its joints, how large it is its gripper."""

import numpy as np

from dp_hf import EpisodeWriter
from dp_hf.arms.quantities import Quantities
from dp_hf.episodes.recording import Recording

NUMBERS = Quantities(("shoulder", "elbow", "gripper"), ("degrees", "degrees", "0..100"))


def course(seed: int, frames: int = 30) -> np.ndarray:
    """(frames, 3): to a place that the seed chooses, where the gripper closes, and on."""
    rng = np.random.default_rng(seed)
    place, end = rng.uniform(20, 40, 2), rng.uniform(-40, -20, 2)
    way = np.clip(np.linspace(0, 2, frames), 0, 1)[:, None], np.clip(np.linspace(-1, 1, frames), 0, 1)[:, None]
    joints = place * (3 * way[0] ** 2 - 2 * way[0] ** 3) + (end - place) * (3 * way[1] ** 2 - 2 * way[1] ** 3)
    gripper = np.where(np.arange(frames) < frames // 2, 100.0, 20.0)
    return np.c_[joints + rng.normal(0, 0.05, joints.shape), gripper]


def picture(state: np.ndarray) -> np.ndarray:
    """uint8 (48, 80, 3)."""
    rows, columns = np.mgrid[:48, :80]
    x, y = 40 + state[0] * 0.7, 24 + state[1] * 0.4
    spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (30 + state[2]))
    return (np.stack([spot, spot, 1 - spot], axis=2) * 255).astype(np.uint8)


def write_course(data_dir, name, states, pictures=None, unit_factor=1.0, numbers=NUMBERS, actors=None):
    pictures = [picture(state) for state in states] if pictures is None else pictures
    with EpisodeWriter(data_dir, name, Recording(numbers, 10)) as writer:
        for number, (image, state) in enumerate(zip(pictures, states, strict=True)):
            actor = None if actors is None else actors[number]
            writer.add_frame(image, state * [unit_factor, unit_factor, 1], timestamp=number / 10, actor=actor)
