"""A worse camera: exposure, blur, noise and compression of its pictures."""

import io

import numpy as np
from PIL import Image, ImageFilter

NOISE = 5.0  # standard deviation, of 255
BLUR = 1.0  # standard deviation, pixels
EXPOSURE = 0.2  # largest change, as a fraction
JPEG_LOSS = 50  # 100 less the quality


class Sensor:
    """The camera of one episode.

    Args:
        strength: 1 stands for the constants of this module, other values for all in proportion; 0 changes nothing.
        rng: draws the exposure now, and the noise of every picture.
    """

    def __init__(self, strength: float, rng: np.random.Generator):
        self.strength = strength
        self.rng = rng
        self.exposure = 1 + strength * EXPOSURE * rng.uniform(-1, 1)
        self.quality = round(max(1, 100 - strength * JPEG_LOSS))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """What the camera makes of a picture, uint8 (H, W, 3)."""
        if self.strength == 0:
            return image
        blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(self.strength * BLUR)))
        exposed = max(self.exposure, 0) * blurred.astype(np.float32)
        noise = self.strength * NOISE * self.rng.standard_normal(image.shape, np.float32)
        noisy = np.clip(np.rint(exposed + noise), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=self.quality)
        return np.asarray(Image.open(buffer))
