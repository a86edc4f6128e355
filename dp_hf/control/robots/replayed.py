"""A robot whose camera shows a recorded episode."""

import time
from pathlib import Path

import numpy as np

from dp_hf.cameras import as_frame
from dp_hf.control.robot import Frame, Robot, RobotWrapper, Stamped
from dp_hf.episodes.format import DEFAULT_FPS
from dp_hf.episodes.images import ImageFile
from dp_hf.episodes.reader import load_images, read_episode
from dp_hf.episodes.timing import detect_rate, frame_times
from dp_hf.errors import UserError
from dp_hf.pictures import decode, upright_rgb


class ReplayedImages(RobotWrapper):
    """`robot`, but for its images, which are an episode's, at the times they were recorded.

    Args:
        robot: moves, and says where it is.
        episode: folder of a recorded episode.
        fps: frames per second of an episode without time stamps.

    Attributes:
        finished: set when the last image has been shown.

    Raises:
        UserError: the episode cannot be used.
    """

    finished: str | None = None

    def __init__(self, robot: Robot, episode: Path, fps: float = DEFAULT_FPS):
        recording = read_episode(episode)
        self._files = load_images(recording)
        if recording.why_unusable is not None:
            raise UserError(f"{episode}: {recording.why_unusable}")
        super().__init__(robot)
        rate = detect_rate([recording])
        told = rate.fps is not None and not rate.assumed
        self._times = frame_times(recording, rate).seconds if told else np.arange(len(recording.frames)) / fps
        self._shown: Stamped[Frame] | None = None
        self._started_at: float | None = None

    def read_image(self) -> Stamped[Frame]:
        now = time.monotonic()
        if self._started_at is None:
            self._started_at = now
        index = int(np.searchsorted(self._times, now - self._started_at, side="right")) - 1
        if index == len(self._files) - 1:
            self.finished = "the recorded images are over"
        shown_at = self._started_at + float(self._times[index])
        if self._shown is None or self._shown.timestamp != shown_at:
            self._shown = Stamped(_decode(self._files[index]), shown_at)
        return self._shown


def _decode(files: dict[str, ImageFile]) -> Frame:
    return as_frame({camera: np.asarray(upright_rgb(decode(file.data))) for camera, file in files.items()})
