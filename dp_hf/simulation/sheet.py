"""What a camera sees in each scene of the table of disturbances, on one picture."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image, ImageDraw

from dp_hf.disturbances import TABLE
from dp_hf.simulation.environment import CubeStackingEnv
from dp_hf.simulation.expert import StackingExpert
from dp_hf.simulation.push import NUM_STEPS
from dp_hf.simulation.stacking import make_environment

LABEL = 14  # pixels of height


def write_sheet(path: str | Path, seeds: Sequence[int], camera: str = "front", scenes: Iterable[str] = TABLE) -> None:
    """Writes a PNG with two scenes side by side, each on the layouts of `seeds`: as the episode begins, and where the
    arm is pushed, at the height of the push."""
    strips = [_strip(scene, seeds, camera) for scene in scenes]
    strips += [np.full_like(strips[0], 255)] * (len(strips) % 2)
    gap = np.full((len(strips[0]), LABEL, 3), 255, np.uint8)
    pairs = [np.hstack([left, gap, right]) for left, right in zip(strips[::2], strips[1::2], strict=True)]
    Image.fromarray(np.vstack(pairs)).save(path)


def _strip(scene: str, seeds: Sequence[int], camera: str) -> np.ndarray:
    """The scene's name above its pictures at half size."""
    env = make_environment(cameras=(camera,), **TABLE[scene].options())
    pictures = np.hstack([_picture(env, seed) for seed in seeds])
    env.close()
    label = Image.new("RGB", (pictures.shape[1], LABEL), "white")
    ImageDraw.Draw(label).text((2, 1), scene, fill="black")
    return np.vstack([np.asarray(label), pictures])


def _picture(env: gymnasium.Env, seed: int) -> np.ndarray:
    scene = env.unwrapped
    assert isinstance(scene, CubeStackingEnv)
    observation, _ = env.reset(seed=seed)
    expert = StackingExpert(env)
    expert.reset()
    num_steps = scene.push.start + NUM_STEPS // 2 if scene.episode.push else 0
    for _ in range(num_steps):
        observation, *_ = env.step(expert())
    return np.asarray(Image.fromarray(observation[scene.image_keys[0]]).reduce(2))
