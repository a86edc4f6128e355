"""Recorded episodes as what is looked at: numbers over time, small pictures, problems by frame."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from dp_hf.arms.quantities import Quantities
from dp_hf.episodes.cells import camera_cells
from dp_hf.episodes.checks import CheckReport, check_episodes
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.episodes.format import ACTORS, DEFAULT_FPS, QUANTITIES, Actor
from dp_hf.episodes.metadata import META_FILE
from dp_hf.episodes.motion import Still, StillFinder, motion_problems, stall_problems
from dp_hf.episodes.problems import FAILED, Problem
from dp_hf.episodes.reader import Episode
from dp_hf.episodes.rows import column_of, numbers_of, who_acted
from dp_hf.episodes.run_file import Run
from dp_hf.episodes.timing import detect_rate, frame_times
from dp_hf.episodes.units import Gripper, to_public_units
from dp_hf.errors import UserError
from dp_hf.files import user_path
from dp_hf.pictures import decode, upright_rgb
from dp_hf.workers.workers import HERE, Workers

VIEW_SIZE = (20, 12)  # (width, height) of the pictures that are compared

Visit = Callable[[str, dict[str, list[bytes]]], None]


@dataclass(frozen=True)
class Track:
    """One episode.

    Attributes:
        name: as the recording or the dataset has it.
        state, action: what the numbers are.
        states: (T, numbers of a state) float32.
        actions: (T, numbers of an action) float32; None where none were recorded.
        seconds: (T,) from the first frame on, which increase.
        frames: (T,) the frames' numbers in the recording, by which `problems` and editing name them.
        views: every camera's pictures, (T, height, width, 3) uint8, of `VIEW_SIZE`; none where nobody asked for them.
        problems: of the check.
        run: of a recorded run, what is known beside its frames, in `seconds`.
        actors: (T,) who acted; None where nobody says so.
    """

    name: str
    state: Quantities
    states: np.ndarray
    action: Quantities
    actions: np.ndarray | None
    seconds: np.ndarray
    frames: np.ndarray
    views: dict[str, np.ndarray]
    problems: list[Problem] = field(default_factory=list)
    run: Run | None = None
    actors: list[Actor] | None = None

    @property
    def is_failed(self) -> bool:
        """Whether its recorder has marked it as failed."""
        return any(problem.kind == FAILED for problem in self.problems)


def read_tracks(
    data_dir: str | os.PathLike,
    visit: Visit | None = None,
    progress: bool = True,
    with_failed: bool = False,
    with_views: bool = True,
    workers: Workers = HERE,
) -> tuple[list[Track], list[Problem], dict[str, list[Problem]]]:
    """Every usable episode of a folder of episodes, or of a dataset.

    Args:
        visit: is given the name and, by camera, the picture files of each episode, as its views are made.
        with_failed: episodes that are only marked as failed count as usable.
        with_views: make small pictures, to compare episodes by; that reads every picture once more.
        workers: who checks a folder of episodes.

    Returns:
        The episodes; what is wrong with the whole; and the problems of each episode that cannot be used.

    Raises:
        UserError: `data_dir` is neither, or no episode is usable, or there are workers for a dataset.
    """
    root = user_path(data_dir)
    if (root / META_FILE).is_file():
        if workers != HERE:
            raise UserError(f"{root} is a dataset, which one process reads: leave --num_workers and --cluster out")
        return _of_dataset(root, visit, progress, with_views), [], {}
    report = check_episodes(root, progress, workers)
    shown = [episode for episode in report.episodes if _can_be_shown(episode, with_failed)]
    if not shown:
        why = "; ".join(f"{episode.name}: {episode.why_unusable}" for episode in report.episodes[:3])
        raise UserError(f"{root} holds no usable episode{': ' if why else ''}{why}")
    views: dict[str, dict[str, np.ndarray]] = {episode.name: {} for episode in shown}
    if with_views:
        for episode in tqdm(shown, "Looking", unit="episode", delay=1, disable=not progress):
            files = {
                camera: [frame.images[camera].read_bytes() for frame in episode.frames]
                for camera in episode.camera_names
            }
            views[episode.name] = {camera: small_views(of_camera) for camera, of_camera in files.items()}
            if visit is not None:
                visit(episode.name, files)
    unusable = {
        episode.name: [problem for problem in episode.problems if problem.severity == "episode"]
        for episode in report.episodes
        if not _can_be_shown(episode, with_failed)
    }
    return _of_episodes(shown, report, views), report.problems, unusable


def _can_be_shown(episode: Episode, with_failed: bool) -> bool:
    kinds = {problem.kind for problem in episode.problems if problem.severity == "episode"}
    return not kinds or (with_failed and kinds == {FAILED})


def _of_episodes(episodes: list[Episode], report: CheckReport, views: dict[str, dict[str, np.ndarray]]) -> list[Track]:
    rate = detect_rate(episodes)
    unit = (report.unit and report.unit.unit) or "degrees"
    tracks = []
    for episode in episodes:
        actions = episode.actions
        if episode.recording is None:
            state = QUANTITIES
            states = to_public_units(episode.states, unit, Gripper())
            actions = None if actions is None else to_public_units(actions, unit, Gripper())
        else:
            state = episode.recording.quantities
            states = episode.states.astype(np.float32)
            actions = None if actions is None else actions.astype(np.float32)
        frames = np.array([frame.index for frame in episode.frames])
        # Where the rate is not clear, which is a problem of its own, frames are counted.
        seconds = (frames - frames[0]) / DEFAULT_FPS if rate.fps is None else frame_times(episode, rate).seconds
        small, problems = views[episode.name], episode.problems
        run, acted = _run_of(episode, len(state)), episode.actors
        if run is not None and episode.timestamps is not None:
            seconds = episode.timestamps  # of the run's own clock, however many frames a busy computer dropped
        tracks.append(Track(episode.name, state, states, state, actions, seconds, frames, small, problems, run, acted))
    return tracks


def _run_of(episode: Episode, state_dim: int) -> Run | None:
    """The run that an episode is of, from the first frame on."""
    run, first = Run.read(episode.path, state_dim), episode.frames[0].timestamp
    return None if run is None or first is None else run.since(first)


def _of_dataset(folder: Path, visit: Visit | None, progress: bool, with_views: bool) -> list[Track]:
    dataset, meta = load_dataset_folder(folder)
    numbers = numbers_of(dataset, folder)
    cells = camera_cells(dataset, meta.camera_names)
    times = column_of(dataset, "timestamp", np.float64)
    acted = who_acted(dataset, folder)
    recorded = meta.action_source == "recorded"
    tracks = []
    indices = np.unique(numbers["episode_index"])
    for index in tqdm(indices, "Reading", unit="episode", delay=1, disable=not progress):
        rows = np.flatnonzero(numbers["episode_index"] == index)
        columns = cells[rows[0] : rows[-1] + 1]
        files = {camera: [cell["bytes"] for cell in columns[camera]] for camera in meta.camera_names}
        if visit is not None:
            visit(meta.episodes[index], files)
        states, actions = numbers["state"][rows], numbers["action"][rows]
        comparable = actions if recorded and meta.action == meta.state else None
        problems = motion_problems(states, meta.state, comparable)
        problems += stall_problems(states, meta.state, _stills(files), times[rows])
        views = {camera: small_views(of_camera) for camera, of_camera in files.items()} if with_views else {}
        tracks.append(
            Track(
                name=meta.episodes[index],
                state=meta.state,
                states=states,
                action=meta.action,
                actions=actions if recorded else None,
                seconds=times[rows] - times[rows[0]],
                frames=np.arange(len(rows)),
                views=views,
                problems=problems,
                actors=None if acted is None else [ACTORS[actor] for actor in acted[rows]],
            )
        )
    return tracks


def _stills(files: dict[str, list[bytes]]) -> list[Still]:
    finder = StillFinder()
    for camera, of_camera in files.items():
        for file in of_camera:
            finder.add(camera, file)
    return finder.found()


def small_views(files: Sequence[bytes]) -> np.ndarray:
    """(T, height, width, 3) uint8 of picture files, each the mean over blocks."""
    return np.stack([np.asarray(_small(upright_rgb(decode(data)))) for data in files])


def _small(image: Image.Image) -> Image.Image:
    return image.resize(VIEW_SIZE, Image.Resampling.BOX, reducing_gap=2.0)
