"""A camera at this computer, read in a thread so that the latest frame is always at hand."""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from dp_hf.control.robot import Stamped
from dp_hf.errors import RunFailed, UserError
from dp_hf.ranges import Range

logger = logging.getLogger(__name__)

FIRST = "0"
# Of width to height: 424x240 and 640x360 are the same picture, 640x480 is not.
ASPECT_TOLERANCE = 0.03
# Seconds that a read under way has to end.
CLOSE_TIMEOUT = 2.0
# Seconds without a frame after which a camera is opened again, and between two attempts.
REOPEN_AFTER = 1.0


@dataclass(frozen=True)
class CameraConfig:
    """Which camera, and what it is asked for."""

    source: str | None = None
    """number of the camera, or a video file, a stream's address or anything else that OpenCV opens; default 0"""
    width: Annotated[int, Range(1, 65536)] = 424
    """pixels, as in the policy's recordings; a camera that gives another shape is refused"""
    height: Annotated[int, Range(1, 65536)] = 240
    """pixels"""
    fps: Annotated[int, Range(1, 1000)] = 30
    """frames per second"""


class OpenCvCamera:
    """The latest frame of a camera, RGB. A camera that is unplugged is opened again and again until it is back.

    Raises:
        UserError: OpenCV is not installed, the camera cannot be opened, or its pictures have another aspect than was
            asked for: a policy would see them squashed.
    """

    def __init__(self, config: CameraConfig):
        try:
            import cv2
        except ImportError as error:
            raise UserError(f"the camera needs OpenCV: pip install 'dp_hf[mycobot]' ({error})") from error
        if not (config.width > 0 and config.height > 0):
            raise UserError(f"camera.width and camera.height are pixels, got {config.width} and {config.height}")
        self._cv2 = cv2
        self._config = config
        self._source = source = config.source or FIRST
        # A file that has come to its end would begin anew.
        self._live = source.isdecimal() or "://" in source or Path(source).is_char_device()
        self._latest: Stamped[np.ndarray] | None = None
        self._refused: str | None = None
        self._capture = self._open()
        if not self._capture.isOpened():
            raise UserError(f"camera {source} cannot be opened: is it plugged in, and free?")
        try:
            self._grab_one()
        except UserError:
            self._capture.release()
            raise
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._grab, name="camera", daemon=True)
        self._thread.start()

    def _open(self) -> Any:
        cv2, config, source = self._cv2, self._config, self._source
        capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.height)
        capture.set(cv2.CAP_PROP_FPS, config.fps)
        return capture

    def _require_size(self, picture: np.ndarray) -> None:
        config, (height, width) = self._config, picture.shape[:2]
        if (width, height) == (config.width, config.height):
            return
        given = f"camera {self._source} gives {width}x{height}, not the {config.width}x{config.height} asked for"
        if abs(width / height * config.height / config.width - 1) > ASPECT_TOLERANCE:
            raise UserError(
                f"{given}, and of another aspect: where the policy's recordings have it too, ask for it "
                f"(--camera.width {width} --camera.height {height})"
            )
        logger.warning("%s; the aspect is the same", given)

    def _grab(self) -> None:
        tried, lost = time.monotonic(), False
        try:
            while not self._closing.is_set():
                if self._grab_one():
                    if lost:
                        logger.warning("camera %s is back", self._source)
                    tried, lost = time.monotonic(), False
                elif self._live and time.monotonic() - tried > REOPEN_AFTER:
                    if not lost:
                        logger.warning("camera %s gives no frames: trying to open it again", self._source)
                        _silence(self._cv2)
                    self._capture.release()
                    self._capture = self._open()
                    tried, lost = time.monotonic(), True
                else:
                    time.sleep(0.01)  # the watchdog notices
        except Exception as error:  # another camera has taken its place, or what OpenCV raises
            self._refused = str(error)

    def _grab_one(self) -> bool:
        ok, bgr = self._capture.read()
        if ok:
            if self._latest is None or bgr.shape != self._latest.value.shape:
                self._require_size(bgr)
            self._latest = Stamped(np.ascontiguousarray(bgr[..., ::-1]), time.monotonic())
        return ok

    def read(self) -> Stamped[np.ndarray] | None:
        """The latest frame, or None before the first.

        Raises:
            RunFailed: the camera has come to give pictures of another aspect.
        """
        if self._refused is not None:
            raise RunFailed(self._refused)
        return self._latest

    def close(self) -> None:
        self._closing.set()
        self._thread.join(CLOSE_TIMEOUT)
        if not self._thread.is_alive():  # an unplugged camera or a stream may keep a read waiting for ever
            self._capture.release()


def _silence(cv2: Any) -> None:
    """Without OpenCV's own lines, which it has for every attempt to open a camera."""
    set_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel  # 4, 5
    set_level(0)
