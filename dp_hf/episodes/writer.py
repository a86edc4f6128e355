"""Writes an episode folder, frame by frame; an interrupted recording never passes for a finished one."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.cameras import ONLY_CAMERA, is_camera_name
from dp_hf.episodes.format import ACTORS, FAILED_PREFIX, FRAME_FOLDER, IMAGE_NAME, STATES_FILE, Actor, unfinished
from dp_hf.episodes.images import Pixels, save_png, upright
from dp_hf.episodes.recording import Recording, numbers_of, write_recording
from dp_hf.errors import UserError
from dp_hf.files import full_disk_named, user_path


class FrameWriter:
    """Context manager that writes the frames of one episode into a folder that exists.

    Args:
        recording: what the numbers are, which the folder above it says too; None for a myCobot's.

    Attributes:
        path: the episode's folder, as errors name it.
        num_frames: frames written so far.
    """

    def __init__(self, folder: Path, recording: Recording | None = None):
        self.path = self._folder = folder
        self.recording = recording
        self.num_frames = 0
        self._keys: tuple | None = None

    def __enter__(self) -> "FrameWriter":
        self._states = open(self._folder / STATES_FILE, "w", encoding="utf-8")
        return self

    def __exit__(self, *exception) -> None:
        with full_disk_named(self.path / STATES_FILE), self._states:
            self._states.write("\n]\n" if self.num_frames else "[]\n")

    def add_frame(
        self,
        images: Pixels | Mapping[str, Pixels],
        state: np.ndarray,
        action: np.ndarray | None = None,
        timestamp: float | None = None,
        actor: Actor | None = None,
    ) -> None:
        """Records one frame.

        Args:
            images: PIL image or uint8 array (H, W, 3), RGB; for named cameras a dict of them.
            state: (n,) the arm's numbers; of a myCobot six joint angles in degrees, gripper 0..100 (100 = open).
            action: (n,) the command given at this frame, in the same units; in every frame or in none.
            timestamp: seconds, on any clock; in every frame or in none.
            actor: who acted, in a run of a policy; in every frame or in none.

        Raises:
            UserError: a wrong shape, type or value, or a frame with other parts than the first.
        """
        frame: dict[str, Any] = {}
        values = self._numbers("state", state)
        if self.recording is None:
            frame["angles"], frame["gripper_value"] = values[:6], values[6:]
        else:
            frame["state"] = values
        if isinstance(images, Mapping):
            if wrong := [camera for camera in images if not is_camera_name(camera)]:
                raise UserError(f"camera names are letters, digits, - and _: not {wrong[0]!r}")
            frame["images"] = {camera: self._save_image(image, f"{camera}_frames") for camera, image in images.items()}
        else:
            frame[ONLY_CAMERA] = self._save_image(images, FRAME_FOLDER)
        if action is not None:
            frame["action"] = self._numbers("action", action)
        if timestamp is not None:
            if not np.isfinite(timestamp):
                raise UserError(f"timestamp of frame {self.num_frames} is {timestamp}")
            frame["timestamp"] = float(timestamp)
        if actor is not None:
            if actor not in ACTORS:
                raise UserError(f"actor is one of {', '.join(ACTORS)}, not {actor!r}")
            frame["actor"] = actor

        keys = (*sorted(frame), *sorted(frame.get("images", ())))
        self._keys = self._keys or keys
        if keys != self._keys:
            raise UserError(f"frame {self.num_frames} has {keys}, the first frame has {self._keys}")
        with full_disk_named(self.path / STATES_FILE):
            self._states.write(("[\n" if self.num_frames == 0 else ",\n") + json.dumps(frame))
            self._states.flush()
        self.num_frames += 1

    def _numbers(self, what: str, values: np.ndarray) -> list[float]:
        count = len(numbers_of(self.recording))
        array = np.asarray(values, dtype=np.float32)
        if array.shape != (count,) or not np.isfinite(array).all():
            raise UserError(f"{what} is {count} finite numbers, not {array}")
        # The shortest decimal that reads back as the same float32.
        return [float(str(value)) for value in array]

    def _save_image(self, image: Pixels, folder: str) -> str:
        path = f"{folder}/{IMAGE_NAME.format(self.num_frames)}"
        picture = upright(image, path)
        (self._folder / folder).mkdir(exist_ok=True)
        with full_disk_named(self.path / path):
            save_png(picture, self._folder / path)
        return path


class EpisodeWriter(FrameWriter):
    """Context manager that records one episode into `data_dir/name`.

    Frames go into the hidden folder `.name_partial`, which becomes `name` when the context is left. After an
    exception, `fail(reason)` or no frame at all, `FAILED_EPISODE_<time>.txt` with the reason lies beside it.
    A killed process leaves the hidden folder, whose `states.json` lacks only the closing bracket.

    Args:
        data_dir: folder of episodes; made when absent.
        name: folder name of the episode; default `episode_YYYYMMDD_HHMMSS_mmm`, the time of entering.
        recording: what the numbers are, and their rate; None for a myCobot's.

    Attributes:
        path: the episode's folder, which exists after the context is left, unless it was dropped.
        num_frames: frames recorded so far.

    Raises:
        UserError: an episode of this name exists, or `data_dir` holds episodes of other numbers or another rate.
    """

    def __init__(self, data_dir: str | os.PathLike, name: str | None = None, recording: Recording | None = None):
        if name is not None and not re.fullmatch(r"episode[\w-]*", name):
            raise UserError(f"{name!r} is no name for an episode: use 'episode' and then letters, digits, - and _")
        super().__init__(user_path(data_dir), recording)
        self.data_dir = self.path
        self.name = name
        self._failure: str | None = None
        self._is_dropped = False

    def __enter__(self) -> "EpisodeWriter":
        self.data_dir.mkdir(parents=True, exist_ok=True)
        write_recording(self.data_dir, self.recording)
        while not self._reserve(self.name or _name_of_now()):
            if self.name is not None:
                raise UserError(f"{self.path} exists: give another name, or move it away")
            time.sleep(0.001)
        super().__enter__()
        return self

    def _reserve(self, name: str) -> bool:
        self.path = self.data_dir / name
        self._folder = unfinished(self.path)
        if self.path.exists():
            return False
        try:
            self._folder.mkdir()
        except FileExistsError:
            return False
        if self.path.exists():  # another writer has finished its own of this name since
            self._folder.rmdir()
            return False
        return True

    def fail(self, reason: str) -> None:
        """Marks the episode as failed: it is kept, and no reader takes it for a demonstration."""
        self._failure = reason

    def drop(self) -> None:
        """Leaves nothing of the episode behind."""
        self._is_dropped = True

    def __exit__(self, exception_type, exception, traceback) -> None:
        if self._is_dropped:
            with suppress(OSError):  # a full disk, which is why it is dropped
                self._states.close()
            shutil.rmtree(self._folder)
            return
        super().__exit__(exception_type, exception, traceback)
        if exception_type is not None:
            self._failure = f"{exception_type.__name__}: {exception}"
        elif self.num_frames == 0:
            self._failure = self._failure or "no frame was recorded"
        if self._failure is not None:
            time_of_episode = self.path.name.removeprefix("episode").removeprefix("_")
            marker = self.data_dir / f"{FAILED_PREFIX}{time_of_episode}.txt"
            with full_disk_named(marker):
                marker.write_text(f"{self.path.name}: {self._failure}\n", encoding="utf-8")
        self._folder.rename(self.path)


@contextmanager
def repeatable_episode(data_dir: Path, name: str, recording: Recording | None = None) -> Iterator[EpisodeWriter]:
    """An `EpisodeWriter` of an episode that can be recorded again, as from a seed.

    What one that was killed has begun of it is removed. An exception leaves nothing behind: whatever interrupted it, or
    a full disk, is no fault of the episode's.
    """
    with suppress(FileNotFoundError):
        shutil.rmtree(unfinished(data_dir / name))
    with EpisodeWriter(data_dir, name, recording) as writer:
        try:
            yield writer
        except BaseException:
            writer.drop()
            raise


def _name_of_now() -> str:
    return datetime.now().strftime("episode_%Y%m%d_%H%M%S_%f")[:-3]
