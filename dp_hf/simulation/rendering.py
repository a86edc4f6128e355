"""Camera images of the simulated scene."""

import os
import threading

import mujoco
import numpy as np

from dp_hf.errors import UserError
from dp_hf.simulation.headless import no_opengl

_first_rendered_in: list[int] = []  # the process; a forked one inherits the list with its parent's number


class _Renderers(threading.local):
    """A thread's own, one with shadows and one without: smoothed edges are a matter of the context."""

    def __init__(self):
        self.by_shadows: dict[bool, mujoco.Renderer] = {}


class CameraRenderer:
    """Renders named cameras of a model off screen.

    An OpenGL context belongs to a thread: each thread that asks for an image gets one with its first. Copies, pickled
    ones too, begin without.

    Args:
        model: the scene.
        image_size: height and width in pixels.

    Attributes:
        shadows: shadows and smoothed edges, about ten times slower on a CPU; may be changed from image to image.

    Raises:
        UserError: the images are larger than the scene allows.
    """

    def __init__(self, model: mujoco.MjModel, image_size: tuple[int, int], shadows: bool = False):
        largest = (model.vis.global_.offheight, model.vis.global_.offwidth)
        if not all(0 < pixels <= limit for pixels, limit in zip(image_size, largest, strict=True)):
            raise UserError(f"image_size {image_size}: the scene's images are 1 x 1 to {largest[0]} x {largest[1]}")
        self.model = model
        self.image_size = image_size
        self.shadows = shadows
        self._of_thread = _Renderers()

    def __reduce__(self):
        return CameraRenderer, (self.model, self.image_size, self.shadows)

    def render(self, data: mujoco.MjData, camera: str) -> np.ndarray:
        """The image of `camera`, uint8 (H, W, 3).

        Raises:
            UserError: no OpenGL library was found, or this process was forked from one that had rendered.
        """
        _require_own_process()
        renderers = self._of_thread.by_shadows
        if self.shadows not in renderers:
            renderers[self.shadows] = self._open()
        renderer = renderers[self.shadows]
        renderer.update_scene(data, camera)
        return renderer.render()

    def _open(self) -> mujoco.Renderer:
        self.model.vis.quality.offsamples = 4 if self.shadows else 0
        try:
            renderer = mujoco.Renderer(self.model, *self.image_size)
        except Exception as error:  # each OpenGL library fails in its own way
            raise no_opengl(error) from error
        flags = renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self.shadows
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        return renderer

    def close(self) -> None:
        """Frees this thread's contexts; those of other threads end with them."""
        renderers = self._of_thread.by_shadows
        while renderers and os.getpid() in _first_rendered_in:
            renderers.popitem()[1].close()


def _require_own_process() -> None:
    """OpenGL's threads and locks do not survive a fork: what they would have done is waited for without end."""
    if not _first_rendered_in:
        _first_rendered_in.append(os.getpid())
    if os.getpid() not in _first_rendered_in:
        raise UserError(
            "this process was forked from one that had rendered, which OpenGL does not survive: start it anew, as "
            'with AsyncVectorEnv(..., context="spawn") or multiprocessing.get_context("spawn")'
        )
