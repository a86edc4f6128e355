"""Examines recorded episodes, each by itself: what can be read, and whether every image decodes."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dp_hf.episodes.format import IMAGE_SUFFIXES
from dp_hf.episodes.motion import Still, StillFinder
from dp_hf.episodes.problems import Problem, shorten
from dp_hf.episodes.reader import Episode, good_images, read_episode
from dp_hf.files import is_of_a_mac
from dp_hf.workers.workers import Workers


@dataclass(frozen=True)
class Examined:
    """An episode all of whose frames can be used.

    Attributes:
        episode: with the problems of its image files.
        sizes: how many images of every (camera, (width, height)).
        stills: runs of frames in which a camera shows one picture.
        num_bytes: of every frame's image files, by camera.
    """

    episode: Episode
    sizes: Counter
    stills: list[Still]
    num_bytes: dict[str, list[int]]


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

    Args:
        paths: the episodes' folders.
        data_dir, cameras: as of `read_episode`.
        only_usable: leave the images alone of an episode that is not usable whatever they are, and files that no frame
            lists.
    """
    # What other processes work on shares the cores with them.
    threads = None if workers.is_here else 1
    setup = partial(_Examiner, data_dir, cameras, only_usable, threads)
    return workers.map(setup, paths, description, progress)


class _Examiner:
    def __init__(self, data_dir: Path, cameras: Sequence[str] | None, only_usable: bool, threads: int | None):
        self.data_dir, self.cameras, self.only_usable, self.threads = data_dir, cameras, only_usable, threads

    def __call__(self, path: Path) -> Examined:
        episode = read_episode(path, self.cameras, self.data_dir)
        sizes: Counter = Counter()
        if self.only_usable and episode.why_unusable is not None:
            return Examined(episode, sizes, [], {})
        if not self.only_usable:
            _report_listed_twice(episode)
            _report_unlisted(episode)
        num_bytes: dict[str, list[int]] = {camera: [] for camera in episode.camera_names}
        stills = StillFinder()
        for images in good_images(episode, self.threads):
            for camera, image in images.items():
                sizes[camera, image.size] += 1
                num_bytes[camera].append(len(image.data))
                stills.add(camera, image.data)
        episode.listed_images.clear()  # which nobody asks for from here on
        return Examined(episode, sizes, stills.found(), num_bytes)


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
