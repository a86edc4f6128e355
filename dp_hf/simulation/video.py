"""Rollouts side by side in one video."""

import math
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from dp_hf.files import file_written_beside
from dp_hf.simulation.rollouts import RolloutResult

BORDER = 4  # pixels
NUM_COLUMNS = 4  # rollouts in a row
MAX_FPS = 30
RUNNING, SUCCESS, FAILURE = (70, 74, 80), (46, 170, 90), (205, 60, 50)


def write_grid(results: Sequence[RolloutResult], path: str | Path, fps: float) -> None:
    """Writes the rollouts that kept their frames as a grid, in real time.

    Each stays on its last frame, framed green if it succeeded and red if not, until all have ended.

    Args:
        results: rollouts of one image size.
        path: a .mp4 or .gif file.
        fps: steps a second; frames are left out where there are more than 30.
    """
    results = [result for result in results if result.frames]
    if not results:
        raise ValueError("no rollout kept its frames")
    every = math.ceil(fps / MAX_FPS)
    num_frames = max(len(result.frames) for result in results) + round(fps)  # a second of the outcomes
    num_columns = min(NUM_COLUMNS, len(results))
    num_rows = math.ceil(len(results) / num_columns)
    blank = np.zeros_like(_tile(results[0], 0))
    grid = []
    for step in range(0, num_frames, every):
        tiles = [_tile(result, step) for result in results]
        tiles += [blank] * (num_rows * num_columns - len(tiles))
        rows = [np.hstack(tiles[row * num_columns : (row + 1) * num_columns]) for row in range(num_rows)]
        grid.append(np.vstack(rows))
    with file_written_beside(path) as file:
        if file.suffix == ".gif":
            iio.imwrite(file, grid, duration=1000 * every / fps, loop=0)
        else:
            iio.imwrite(file, grid, fps=fps / every, codec="libx264", macro_block_size=2)


def _tile(result: RolloutResult, step: int) -> np.ndarray:
    """The frame of one rollout at a step, with a border in the colour of its outcome."""
    last = len(result.frames) - 1
    color = RUNNING if step <= last else SUCCESS if result.success else FAILURE
    frame = result.frames[min(step, last)]
    height, width, _ = frame.shape
    tile = np.empty((height + 2 * BORDER, width + 2 * BORDER, 3), np.uint8)
    tile[:] = color
    tile[BORDER:-BORDER, BORDER:-BORDER] = frame
    return tile
