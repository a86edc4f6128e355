"""Small smooth pictures at little cost without a GPU, for the task files beside it that draw with mujoco."""

import mujoco
import numpy as np

COSTLY = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)


def renderer_of(model, height, width, off=COSTLY):
    """Draws pictures twice as large, to be `halved`, without multisampling and what is to be `off`."""
    model.vis.quality.offsamples = 0
    renderer = mujoco.Renderer(model, 2 * height, 2 * width)
    for flag in off:
        renderer.scene.flags[flag] = False
    return renderer


def halved(pixels):
    """A picture (2 height, 2 width, 3) as one of half the size, the mean of four pixels each; uint8."""
    height, width, _ = pixels.shape
    fours = pixels.astype(np.uint16).reshape(height // 2, 2, width // 2, 2, 3)
    return (fours.sum((1, 3)) // 4).astype(np.uint8)
