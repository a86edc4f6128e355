"""A camera at this computer, read in a thread so that the latest frame is always at hand."""

import threading
import time
from dataclasses import dataclass

import numpy as np

from dp_hf.control.robot import Stamped
from dp_hf.errors import UserError


@dataclass(frozen=True)
class CameraConfig:
    """Which camera, and what it is asked for."""

    source: str = "0"
    """number of the camera, or a video file, a stream's address or anything else that OpenCV opens"""
    width: int = 424
    """pixels"""
    height: int = 240
    """pixels"""
    fps: int = 30
    """frames per second"""


class OpenCvCamera:
    """The latest frame of a camera, RGB.

    Raises:
        UserError: OpenCV is not installed, or the camera cannot be opened.
    """

    def __init__(self, config: CameraConfig):
        try:
            import cv2
        except ImportError as error:
            raise UserError(f"the camera needs OpenCV: pip install 'dp_hf[mycobot]' ({error})") from error
        self._capture = cv2.VideoCapture(int(config.source) if config.source.isdecimal() else config.source)
        if not self._capture.isOpened():
            raise UserError(f"camera {config.source} cannot be opened: is it plugged in, and free?")
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.height)
        self._capture.set(cv2.CAP_PROP_FPS, config.fps)
        self._latest: Stamped[np.ndarray] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._grab, name="camera", daemon=True)
        self._thread.start()

    def _grab(self) -> None:
        while not self._closing.is_set():
            ok, bgr = self._capture.read()
            if ok:
                self._latest = Stamped(np.ascontiguousarray(bgr[..., ::-1]), time.monotonic())
            else:
                time.sleep(0.01)  # unplugged, or the file's end; the watchdog notices

    def read(self) -> Stamped[np.ndarray] | None:
        """The latest frame, or None before the first."""
        return self._latest

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._capture.release()
