"""Examines recorded episodes, each by itself: what can be read, and whether every image decodes."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dp_hf.episodes.format import IMAGE_SUFFIXES
from dp_hf.episodes.images import read_images
from dp_hf.episodes.motion import Still, StillFinder
from dp_hf.episodes.packed import PackedFrames
from dp_hf.episodes.problems import Problem, shorten
from dp_hf.episodes.reader import Episode, good_images, image_paths, read_episode
from dp_hf.episodes.seen_images import SeenImage, SeenImages, keep_seen
from dp_hf.files import is_of_a_mac
from dp_hf.workers.workers import Workers


@dataclass(frozen=True)
class Examined:
    """An episode all of whose frames can be used.

    Attributes:
        episode: with the problems of its image files.
        frames: those of the episode.
        sizes: how many images of every (camera, (width, height)).
        stills: runs of frames in which a camera shows one picture.
        num_bytes: of every frame's image files, by camera; (frames,) int64.
    """

    episode: Episode
    frames: PackedFrames
    sizes: Counter
    stills: list[Still]
    num_bytes: dict[str, np.ndarray]


def examine(
    paths: Sequence[Path],
    data_dir: Path,
    workers: Workers,
    description: str,
    cameras: Sequence[str] | None = None,
    only_usable: bool = False,
    progress: bool = True,
) -> list[Examined]:
    """Reads episodes and decodes all their images.

    What was seen in them is kept until `forget_seen`: after an interruption they are not decoded again.

    Args:
        paths: the episodes' folders.
        data_dir, cameras: as of `read_episode`.
        only_usable: leave the images alone of an episode that is not usable whatever they are, and files that no frame
            lists.
    """
    setup = partial(_Examiner, data_dir, cameras, only_usable, None if workers.takes_threads else 1)
    examined: dict[Path, Examined] = {}
    with keep_seen(data_dir, cameras) as kept:
        known = {record.get("episode"): record for record in kept.records} if kept is not None else {}
        items = [(path, known.get(_key(path))) for path in paths]
        with closing(workers.as_finished(setup, items, description, progress)) as results:
            for (path, _), (found, record) in results:
                examined[path] = found
                if kept is not None and record is not None:
                    kept.append({"episode": _key(path), **record})
    return [examined[path] for path in paths]


def _key(path: Path) -> str:
    return os.fsencode(path).hex()


class _Examiner:
    def __init__(self, data_dir: Path, cameras: Sequence[str] | None, only_usable: bool, threads: int | None):
        self.data_dir, self.cameras, self.only_usable, self.threads = data_dir, cameras, only_usable, threads

    def __call__(self, item: tuple[Path, dict[str, str] | None]) -> tuple[Examined, dict[str, str] | None]:
        """Returns a record of what was seen too, if it was not known before."""
        path, known = item
        episode = read_episode(path, self.cameras, self.data_dir)
        if self.only_usable and episode.why_unusable is not None:
            return Examined(episode, PackedFrames(path, []), Counter(), [], {}), None
        if not self.only_usable:
            _report_listed_twice(episode)
            _report_unlisted(episode)
        paths = image_paths(episode)
        seen, record = SeenImages.from_record(known, paths), None
        if seen is None:
            seen = self._look(paths, episode)
            record = seen.to_record(paths)
        return _examined(episode, path, seen), record

    def _look(self, paths: Sequence[Path], episode: Episode) -> SeenImages:
        images: list[SeenImage | str] = []
        stills = StillFinder()
        files = read_images(paths, self.threads)
        for frame in episode.frames:
            of_frame = [next(files) for _ in frame.images]
            images += [each if isinstance(each, str) else SeenImage(each.size, len(each.data)) for each in of_frame]
            good = [each for each in of_frame if not isinstance(each, str)]
            if len(good) == len(of_frame):
                for camera, each in zip(frame.images, good, strict=True):
                    stills.add(camera, each.data)
        return SeenImages(images, stills.found())


def _examined(episode: Episode, path: Path, seen: SeenImages) -> Examined:
    sizes: Counter = Counter()
    num_bytes: dict[str, list[int]] = {camera: [] for camera in episode.camera_names}
    for images in good_images(episode, iter(seen.images)):
        for camera, image in images.items():
            sizes[camera, image.size] += 1
            num_bytes[camera].append(image.num_bytes)
    # All episodes are held at once from here on, and nobody asks for what is listed.
    episode.listed_images.clear()
    episode.frames = frames = PackedFrames(path, episode.frames)
    of_cameras = {camera: np.array(of_camera, np.int64) for camera, of_camera in num_bytes.items()}
    return Examined(episode, frames, sizes, [*seen.stills], of_cameras)


def _report_listed_twice(episode: Episode) -> None:
    for path, frames in episode.listed_images.items():
        if len(frames) > 1:
            message = f"image {shorten(path)} is listed {len(frames)} times, first in frame {frames[0]}"
            episode.problems.append(Problem("duplicate image", message, frames[1]))


def _report_unlisted(episode: Episode) -> None:
    if not episode.listed_images:
        return
    unlisted = []
    for folder, _, names in os.walk(episode.path):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), episode.path)
            is_image = name.lower().endswith(IMAGE_SUFFIXES) and not is_of_a_mac(name)
            if is_image and path not in episode.listed_images:
                unlisted.append(path)
    if unlisted:
        first = ", ".join(map(shorten, sorted(unlisted)[:3]))
        message = f"no frame lists {len(unlisted)} of the images: {first}{', ...' if len(unlisted) > 3 else ''}"
        episode.problems.append(Problem("unlisted image", message))
