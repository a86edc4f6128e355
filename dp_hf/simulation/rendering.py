"""Camera images of the simulated scene."""

from importlib.util import find_spec

import mujoco
import numpy as np

from dp_hf.simulation.headless import no_opengl


class CameraRenderer:
    """Renders named cameras of a model off screen. The OpenGL context is made on the first image.

    Args:
        model: the scene.
        image_size: height and width in pixels.

    Attributes:
        shadows: shadows and smoothed edges, about ten times slower on a CPU; may be changed from image to image.
    """

    def __init__(self, model: mujoco.MjModel, image_size: tuple[int, int], shadows: bool = False):
        self.model = model
        self.image_size = image_size
        self.shadows = shadows
        self._renderers: dict[bool, mujoco.Renderer] = {}  # with shadows or without: a context's edges are for good

    def render(self, data: mujoco.MjData, camera: str) -> np.ndarray:
        """The image of `camera`, uint8 (H, W, 3).

        Raises:
            UserError: no OpenGL library was found.
        """
        if self.shadows not in self._renderers:
            self._renderers[self.shadows] = self._open()
        renderer = self._renderers[self.shadows]
        renderer.update_scene(data, camera)
        return renderer.render()

    def _open(self) -> mujoco.Renderer:
        if find_spec("triton"):
            # Triton, which torch imports when it pleases, crashes when Mesa has loaded its own LLVM before.
            import triton  # noqa: F401
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
        while self._renderers:
            self._renderers.popitem()[1].close()
