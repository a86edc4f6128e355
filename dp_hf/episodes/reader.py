"""Reads an episode folder as it was recorded; whatever is wrong in it becomes a `Problem`, never an exception."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dp_hf.cameras import ONLY_CAMERA
from dp_hf.episodes.find import find_failure
from dp_hf.episodes.format import ACTORS, MIN_FRAMES, STATES_FILES, Actor
from dp_hf.episodes.frames import Frame, JsonObject, read_frame, with_slashes
from dp_hf.episodes.images import ImageFile, read_images
from dp_hf.episodes.packed import FramesOnDisk, PackedFrames
from dp_hf.episodes.problems import FAILED, Problem, shorten
from dp_hf.episodes.recording import Recording, numbers_of
from dp_hf.errors import UserError
from dp_hf.files import inside, read_json_values, user_path

_MAX_FRAMES = 500_000

Image = TypeVar("Image")


@dataclass(slots=True)
class Episode:
    """A recorded episode.

    Attributes:
        name: its folder's name, after those of the folders above it in the data folder.
        path: its folder.
        frames: the usable frames, in the order of the JSON list.
        problems: everything that is wrong with it, images' contents apart.
        listed_images: every image path of the JSON list, normalised, with the positions of the frames that list it.
        recording: what its numbers are, by the file beside it; None for a myCobot's.
    """

    name: str
    path: Path
    frames: Sequence[Frame] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    listed_images: dict[str, list[int]] = field(default_factory=dict)
    recording: Recording | None = None

    @property
    def why_unusable(self) -> Problem | None:
        """The problem that rules the whole episode out, or None."""
        return next((problem for problem in self.problems if problem.severity == "episode"), None)

    @property
    def camera_names(self) -> tuple[str, ...]:
        if isinstance(self.frames, (PackedFrames, FramesOnDisk)):
            return tuple(self.packed.paths)
        return tuple(self.frames[0].images) if self.frames else ()

    @property
    def packed(self) -> PackedFrames:
        """The frames as arrays."""
        if isinstance(self.frames, FramesOnDisk):
            return self.frames.packed
        return self.frames if isinstance(self.frames, PackedFrames) else PackedFrames(self.path, self.frames)

    @property
    def states(self) -> np.ndarray:
        """(frames, n) float64; of a myCobot six angles in the recording's unit, the raw gripper value."""
        return self.packed.states.reshape(-1, len(numbers_of(self.recording))).copy()

    @property
    def actions(self) -> np.ndarray | None:
        """(frames, n) float64 recorded commands in the units of `states`; None unless every frame has one."""
        actions = self.packed.actions
        return None if actions.size == 0 or np.isnan(actions).any() else actions.copy()

    @property
    def actors(self) -> list[Actor] | None:
        """Who acted in each frame, where any frame says so: nobody in those that do not; else None."""
        actors = self.packed.actors
        return ["nobody" if actor < 0 else ACTORS[actor] for actor in actors] if (actors >= 0).any() else None

    @property
    def timestamps(self) -> np.ndarray | None:
        """(frames,) float64 from the first frame, in the recording's unit; None unless all are there and increase."""
        return _times(self.packed.stamps)


def _times(stamps: np.ndarray) -> np.ndarray | None:
    increase = len(stamps) and not np.isnan(stamps).any() and (np.diff(stamps) > 0).all()
    return stamps - stamps[0] if increase else None


def read_episode(
    path: str | os.PathLike,
    cameras: Sequence[str] | None = None,
    data_dir: str | os.PathLike | None = None,
    markers: Sequence[Path] | None = None,
) -> Episode:
    """Reads one episode folder without opening its images.

    Args:
        path: the episode's folder.
        cameras: names of the cameras to read; default all. A single unnamed camera is called `image`.
        data_dir: the folder that the episode's name is relative to; default its parent.
        markers: of failure beside it, as `find_failure` takes them.

    Returns:
        The episode. Frames that cannot be used are left out and named in `problems`.
    """
    folder = user_path(path)
    relative = folder.relative_to(data_dir) if data_dir is not None and folder != Path(data_dir) else None
    name = str(relative or folder.resolve().name).encode("utf-8", "backslashreplace").decode()
    try:
        episode = Episode(name, folder, recording=Recording.read(folder.parent))
    except UserError as error:
        return Episode(name, folder, problems=[Problem("states file", str(error))])
    if reason := find_failure(folder, markers):
        episode.problems.append(Problem(FAILED, f"marked as failed by {reason}"))

    rows = _read_states_file(folder, episode.problems)
    if rows is None:
        return episode
    frames = []
    for index, row in enumerate(rows):
        _note_listed_images(row, index, episode)
        state_dim = None if episode.recording is None else len(episode.recording.quantities)
        frame = read_frame(row, index, folder, cameras, episode.problems, state_dim)
        if frame is not None:
            frames.append(frame)
    episode.frames = frames
    _keep_common_cameras(episode)
    _report_short(episode)
    silent = [frame.index for frame in episode.frames if frame.actor is None]
    if 0 < len(silent) < len(episode.frames):
        message = f"does not say who acted, as other frames do (and {len(silent) - 1} more)"
        episode.problems.append(Problem("actor", message, silent[0]))
    stamps = np.array([np.nan if frame.timestamp is None else frame.timestamp for frame in episode.frames])
    if not np.isnan(stamps).all() and _times(stamps) is None:
        message = "some frames have no timestamp, or one that does not increase"
        episode.problems.append(Problem("timestamp", message))
    return episode


def load_images(episode: Episode) -> list[dict[str, ImageFile]]:
    """Reads the images of all frames, by camera. Frames whose images do not decode are taken out of the episode."""
    return list(good_images(episode, read_images(image_paths(episode))))


def image_paths(episode: Episode) -> list[Path]:
    """Of all frames and cameras, in order."""
    return [path for frame in episode.frames for path in frame.images.values()]


def good_images(episode: Episode, images: Iterator[Image | str]) -> Iterator[dict[str, Image]]:
    """The images of each frame by camera; frames that have a bad one are taken out once all were asked for.

    Args:
        images: of the `image_paths`; a text is what is wrong with one.
    """
    frames = []
    for frame in episode.frames:
        of_frame = {camera: next(images) for camera in frame.images}
        reasons = [image for image in of_frame.values() if isinstance(image, str)]
        episode.problems.extend(Problem("corrupt image", reason, frame.index) for reason in reasons)
        if not reasons:
            frames.append(frame)
            yield {camera: image for camera, image in of_frame.items() if not isinstance(image, str)}
    episode.frames = frames
    _report_short(episode)


def _report_short(episode: Episode) -> None:
    if len(episode.frames) < MIN_FRAMES and episode.why_unusable is None:
        first = next((f" ({problem})" for problem in episode.problems if problem.severity == "frame"), "")
        message = f"has {len(episode.frames)} usable frames, fewer than {MIN_FRAMES}{first}"
        episode.problems.append(Problem("short episode", message))


def _note_listed_images(row: Any, index: int, episode: Episode) -> None:
    if not isinstance(row, dict):
        return
    images = row.get("images")
    for value in (row.get(ONLY_CAMERA), *(images.values() if isinstance(images, dict) else ())):
        if isinstance(value, str) and value:
            path = os.path.normpath(with_slashes(value, episode.path))
            episode.listed_images.setdefault(path, []).append(index)


def _read_states_file(folder: Path, problems: list[Problem]) -> list | None:
    files = [folder / name for name in STATES_FILES if (folder / name).exists()]
    if not files:
        problems.append(Problem("states file", f"has no {', '.join(STATES_FILES[:-1])} or {STATES_FILES[-1]}"))
        return None
    if len(files) > 1:
        problems.append(Problem("two states files", f"has both {' and '.join(file.name for file in files)}"))
    file = files[0]
    try:
        values = read_json_values(inside(folder, file.name), JsonObject)
        rows = values[0] if len(values) == 1 and file.suffix == ".json" else values
        if not isinstance(rows, list):
            raise UserError(f"it holds {shorten(rows)}, not a list of frames")
        if len(rows) > _MAX_FRAMES:
            raise UserError(f"it lists {len(rows)} frames, more than {_MAX_FRAMES}")
    except UserError as error:
        reason = str(error).replace(f"{file}: ", "")
        problems.append(Problem("states file", f"{file.name} cannot be read: {reason}"))
        return None
    return rows


def _keep_common_cameras(episode: Episode) -> None:
    """Leaves out the frames whose cameras are not those of most frames."""
    cameras = [tuple(sorted(frame.images)) for frame in episode.frames]
    if len(set(cameras)) < 2:
        return
    common = Counter(cameras).most_common(1)[0][0]
    for frame, names in zip(episode.frames, cameras, strict=True):
        if names != common:
            message = f"has images of {shorten(names)}, most frames have {shorten(common)}"
            episode.problems.append(Problem("missing image", message, frame.index))
    episode.frames = [frame for frame, names in zip(episode.frames, cameras, strict=True) if names == common]
