"""A camera of noise, as a plugin registers one with LeRobot."""

from dataclasses import dataclass

import numpy as np
from lerobot.cameras.camera import Camera
from lerobot.cameras.configs import CameraConfig


@CameraConfig.register_subclass("noise")
@dataclass
class NoiseCameraConfig(CameraConfig):
    pass


class NoiseCamera(Camera):
    is_connected = False

    def __init__(self, config):
        super().__init__(config)
        self.random = np.random.default_rng(0)

    def connect(self, warmup=True):
        self.is_connected = True

    def disconnect(self):
        self.is_connected = False

    @staticmethod
    def find_cameras():
        return []

    def read(self, color_mode=None):
        return self.random.integers(0, 255, (self.height, self.width, 3), dtype=np.uint8)

    def async_read(self, timeout_ms=0):
        return self.read()

    def read_latest(self, max_age_ms=500):
        return self.read()
