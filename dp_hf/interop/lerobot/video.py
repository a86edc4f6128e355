"""Frames out of video files and into them, by PyAV."""

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from dp_hf.errors import UserError

CODEC = "libx264"
# Every second frame is a key frame, so that single frames are found quickly, as LeRobot has it.
CODEC_OPTIONS = {"g": "2", "crf": "18"}
PIXEL_FORMAT = "yuv420p"


class ImageError(ValueError):
    """An image that cannot be had: a video is absent or broken, a frame is missing, or does not decode."""


def read_frames(path: Path, times: Sequence[float], tolerance: float) -> Iterator[Image.Image]:
    """The frames nearest to given times.

    Args:
        times: seconds from the start of the video, increasing.
        tolerance: how far, in seconds, a frame may be from the time that it is for.

    Raises:
        ImageError: the file is absent or broken, or has no frame close enough to one of the times.
    """
    av = _import_av()
    if not os.path.isfile(path):
        raise ImageError("the file is absent")
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if times[0] > 1:
                container.seek(int(times[0] / stream.time_base), stream=stream)
            decoded = (frame for frame in container.decode(stream) if frame.time is not None)
            try:
                frame = next(decoded, None)
                for time in times:
                    while frame is not None and frame.time < time - tolerance:
                        frame = next(decoded, None)
                    if frame is None or frame.time > time + tolerance:
                        found = "ends before" if frame is None else f"goes on at {frame.time:.3f} s after a gap at"
                        raise ImageError(f"it {found} {time:.3f} s")
                    yield frame.to_image()
            finally:
                # Its threads may still decode and log, which needs the interpreter; a decoder that is collected waits
                # for them without letting it go.
                stream.codec_context.flush_buffers()
    except (av.FFmpegError, IndexError) as error:
        raise ImageError(f"it cannot be decoded ({error})") from error


class VideoWriter:
    """Encodes RGB frames of one size into an H.264 file, which is whole after `close`.

    Attributes:
        path: the file.
        num_frames: frames written so far.

    Raises:
        UserError: the size is odd, which the pixel format does not allow.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]):
        av = _import_av()
        if size[0] % 2 or size[1] % 2:
            raise UserError(
                f"images of {size[0]}x{size[1]} pixels do not fit a video, whose sides are even: keep images"
            )
        self.path, self.num_frames = path, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream(CODEC, Fraction(fps).limit_denominator(1000), options=CODEC_OPTIONS)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = PIXEL_FORMAT

    def write(self, image: np.ndarray) -> None:
        """Appends a frame, uint8 (H, W, 3)."""
        import av

        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        self.num_frames += 1

    def close(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()


def _import_av():
    try:
        import av
    except ImportError as error:
        raise UserError('videos need PyAV: pip install "dp_hf[lerobot]"') from error
    return av
