"""Examines recorded episodes, each by itself: what can be read, and whether every image decodes."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.episodes.find import failure_markers
from dp_hf.episodes.format import IMAGE_SUFFIXES
from dp_hf.episodes.images import read_images
from dp_hf.episodes.motion import StillFinder
from dp_hf.episodes.packed import FramesOnDisk, PackedFrames
from dp_hf.episodes.problems import Problem, shorten
from dp_hf.episodes.reader import Episode, good_images, image_paths, read_episode
from dp_hf.episodes.recording import Recording
from dp_hf.episodes.seen_images import SeenImage, SeenImages, keep_seen
from dp_hf.files import is_of_a_mac
from dp_hf.list_on_disk import ListOnDisk
from dp_hf.workers.workers import Workers


def examine(
    paths: Sequence[Path],
    data_dir: Path,
    workers: Workers,
    description: str,
    cameras: Sequence[str] | None = None,
    only_usable: bool = False,
    progress: bool = True,
) -> list[Episode]:
    """Reads episodes and decodes all their images.

    Their problems are with those of the image files, and all their frames can be used; these lie on disk, in the cache
    or among temporary files. What was seen is kept until `forget_seen`: after an interruption it is not decoded again.

    Args:
        paths: the episodes' folders.
        data_dir, cameras: as of `read_episode`.
        only_usable: leave the images alone of an episode that is not usable whatever they are, and files that no frame
            lists.
    """
    setup = partial(_Examiner, data_dir, cameras, only_usable, None if workers.takes_threads else 1)
    episodes: dict[Path, Episode] = {}
    recordings: dict[Recording | None, Recording | None] = {}
    with keep_seen(data_dir, cameras) as kept:
        frames: ListOnDisk[PackedFrames] = ListOnDisk(None if kept is None else kept.file.parent)
        records: Sequence[dict[str, Any]] = [] if kept is None else kept.records
        known = {record.get("episode"): index for index, record in enumerate(records)}
        items = ((path, records[known[key]] if (key := _key(path)) in known else None) for path in paths)
        with closing(workers.as_finished(setup, items, description, progress, len(paths))) as results:
            for (path, _), (episode, record) in results:
                # All are held at once: each has its frames on disk, and shares what it has in common with others.
                episode.frames = FramesOnDisk(episode.packed, frames)
                episode.path, episode.recording = path, recordings.setdefault(episode.recording, episode.recording)
                episodes[path] = episode
                if kept is not None and record is not None:
                    kept.append({"episode": _key(path), **record})
    return [episodes[path] for path in paths]


def _key(path: Path) -> str:
    return os.fsencode(path).hex()


class _Examiner:
    def __init__(self, data_dir: Path, cameras: Sequence[str] | None, only_usable: bool, threads: int | None):
        self.data_dir, self.cameras, self.only_usable, self.threads = data_dir, cameras, only_usable, threads
        self.markers_in = cache(failure_markers)  # a folder of many episodes is listed once, not by each of them

    def __call__(self, item: tuple[Path, dict[str, str] | None]) -> tuple[Episode, dict[str, str] | None]:
        """Returns a record of what was seen too, if it was not known before."""
        path, known = item
        episode = read_episode(path, self.cameras, self.data_dir, self.markers_in(path.parent))
        if not self.only_usable:
            _report_listed_twice(episode)
            _report_unlisted(episode)
        episode.listed_images.clear()  # nobody asks for them from here on
        if self.only_usable and episode.why_unusable is not None:
            episode.frames = ()
            return episode, None
        paths = image_paths(episode)
        seen, record = SeenImages.from_record(known, paths), None
        if seen is None:
            seen = self._look(paths, episode)
            record = seen.to_record(paths)
        _pack(episode, seen)
        return episode, record

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


def _pack(episode: Episode, seen: SeenImages) -> None:
    sizes: Counter = Counter()
    num_bytes: dict[str, list[int]] = {camera: [] for camera in episode.camera_names}
    for images in good_images(episode, iter(seen.images)):
        for camera, image in images.items():
            sizes[camera, image.size] += 1
            num_bytes[camera].append(image.num_bytes)
    of_cameras = {camera: np.array(of_camera, np.int64) for camera, of_camera in num_bytes.items()}
    episode.frames = PackedFrames(episode.path, episode.frames, of_cameras, sizes, seen.stills)


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
