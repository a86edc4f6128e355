"""Turns a folder of episodes into a dataset folder, which has the layout of a dataset repository on the Hub."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from dp_hf.episodes.actions import actions_from_commands, actors_of_kept, kept_frames
from dp_hf.episodes.checks import report_other_cameras
from dp_hf.episodes.conversion_report import ConversionReport
from dp_hf.episodes.dataset_folder import refuse_to_replace
from dp_hf.episodes.dataset_writer import DatasetWriter
from dp_hf.episodes.episode_rows import FilesOfEpisode, FilesOnDisk
from dp_hf.episodes.examination import examine
from dp_hf.episodes.find import explore
from dp_hf.episodes.format import MIN_FRAMES, RECORDING_FILE, part_name
from dp_hf.episodes.motion import unwrap
from dp_hf.episodes.problems import LINK, Problem
from dp_hf.episodes.reader import Episode
from dp_hf.episodes.recording import Recording, numbers_of
from dp_hf.episodes.seen_images import forget_seen
from dp_hf.episodes.timing import FrameTimes, Rate, decide_rate, frame_times, report_holes
from dp_hf.episodes.units import Gripper, UnitVerdict, decide_unit, to_public_units
from dp_hf.errors import UserError
from dp_hf.files import user_path
from dp_hf.workers.workers import HERE, Workers

ActionSource = Literal["auto", "recorded", "state"]


def convert_episodes(
    data_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    *,
    angle_unit: Literal["auto", "degrees", "radians"] = "auto",
    fps: float | None = None,
    frame_skip: int = 1,
    action_offset: int = 1,
    action_source: ActionSource = "auto",
    gripper: Gripper | None = None,
    cameras: Sequence[str] | None = None,
    unwrap_angles: bool = False,
    strict: bool = False,
    progress: bool = True,
    workers: Workers = HERE,
) -> ConversionReport:
    """Converts every usable episode below `data_dir`; image files are copied into the dataset byte for byte.

    An episode with a hole in time becomes an episode for every part between its holes, NAME.part1 and so on.

    Args:
        data_dir: folder of episodes, or one episode.
        output_dir: the dataset folder; an earlier dataset there is replaced when the new one is complete.
        angle_unit: of the recording; "auto" detects it.
        fps: recorded frames a second, evenly spaced; default from the timestamps, or 10 without any.
        frame_skip: keep every n-th frame, from the first.
        action_offset: the action is the state that many kept frames later; 0 is the state itself.
        action_source: "recorded" commands, "state", or "auto": recorded when every frame has a command.
        gripper: how recorded gripper values map to 0..100; default 0..100 with 100 = open.
        cameras: names of the cameras to convert; default those that most episodes have.
        unwrap_angles: let angles that wrap go on: 179, 181 degrees in place of 179, -179.
        strict: a bad episode or frame is an error, instead of being left out, and so is every warning, and a rate that
            is assumed.
        progress: show a progress bar.
        workers: who reads, decodes and writes. The dataset is the same whoever does.

    Raises:
        UserError: no usable episode, an unclear unit or rate, a wrong argument, an `output_dir` that holds other files;
            with `strict`, what it forbids.
    """
    root, target = user_path(data_dir), user_path(output_dir)
    if frame_skip < 1 or action_offset < 0:
        raise UserError("--frame_skip must be at least 1, and --action_offset at least 0")
    refuse_to_replace(target)

    findings = explore(root)
    links = [(str(path.relative_to(root)), LINK) for path in findings.links]
    if strict and links:
        raise UserError(f"{root / links[0][0]}: {LINK}; {LINK.remedy}, or convert without --strict")
    episodes = examine(findings.episodes, root, workers, "Reading", cameras, only_usable=True, progress=progress)
    report_other_cameras(episodes)
    if links and not episodes:
        raise UserError(f"{root} holds no episodes, but {links[0][0]} {LINK}; {LINK.remedy}")
    usable = _usable(episodes, root, strict)
    recording = _recording(usable, stated=[angle_unit != "auto", gripper is not None])
    unit = decide_unit(usable, angle_unit) if recording is None else None
    rate = decide_rate(usable, fps, strict)
    assert rate.fps is not None
    gripper = gripper or Gripper()
    doubts = _doubts(usable, unit, rate, gripper)
    quantities = numbers_of(recording)

    def in_public_units(raw: np.ndarray) -> np.ndarray:
        if unit is None:
            return raw.astype(np.float32)
        assert unit.unit is not None
        return to_public_units(raw, unit.unit, gripper)

    if strict and doubts:
        raise UserError(f"{root}: {doubts[0]}; or convert without --strict")
    use_commands = _use_commands(usable, action_source)
    writer = DatasetWriter(
        target,
        usable[0].camera_names,
        quantities,
        fps=rate.fps / frame_skip,
        source=root.resolve().name,
        action_source="recorded" if use_commands else "state",
        action_offset=action_offset,
        frame_skip=frame_skip,
        angle_unit_of_source=(unit and unit.unit) or "as recorded",
        has_actors=any(episode.actors for episode in usable),
    )
    writer.warnings += doubts
    parts: list[tuple[Episode, list[tuple[str, slice]]]] = []
    for episode in usable:
        times = frame_times(episode, rate)
        report_holes(episode, times)
        parts.append((episode, [*_parts(episode, times).items()]))
    usable = _usable(episodes, root, strict)

    def files_of(episode: Episode, parts: list[tuple[str, slice]]) -> Iterator[FilesOfEpisode]:
        packed, acted, times = episode.packed, episode.actors, frame_times(episode, rate)
        states = in_public_units(episode.states)
        commands = in_public_units(episode.actions) if use_commands and episode.actions is not None else None
        if unwrap_angles:
            states, commands = unwrap(states, quantities, commands)
        for name, part in parts:
            kept = part.start + kept_frames(part.stop - part.start, frame_skip)
            files = {
                camera: FilesOnDisk(paths, kept, packed.num_bytes[camera][kept])
                for camera, paths in packed.paths.items()
            }
            actions = None if commands is None else actions_from_commands(commands[part], frame_skip)
            indices = packed.indices[kept]
            actors = None if acted is None else actors_of_kept(acted[part], frame_skip)
            yield FilesOfEpisode(name, files, states[kept], actions, times.seconds[kept], indices, actors)

    with writer:
        # Made when its turn comes: what the frames are is on disk, and never of all episodes in memory.
        found = writer.add_files((files for each in parts for files in files_of(*each)), workers, progress)
        whole = (episode for episode, of_episode in parts for _ in of_episode)
        for episode, problems in zip(whole, found, strict=True):
            episode.problems.extend(problems)
        if strict:
            _refuse_problems(episodes)
    forget_seen(root, cameras)
    return ConversionReport(
        output_dir=target,
        meta=writer.meta,
        unit=unit,
        fps_reason=rate.reason,
        image_sizes=sorted(writer.image_sizes),
        skipped=[(episode.name, why) for episode in episodes if (why := episode.why_unusable)],
        doubts=doubts,
        left_out=[(e.name, problem) for e in usable for problem in e.problems if problem.severity == "frame"],
        warnings=links + [(e.name, problem) for e in usable for problem in e.problems if problem.severity == "warning"],
        notes=[(e.name, problem) for e in usable for problem in e.problems if problem.severity == "note"],
    )


def _recording(episodes: Sequence[Episode], stated: Sequence[bool]) -> Recording | None:
    """What the file beside the episodes says of their numbers; None for those of a myCobot.

    Args:
        stated: whether a unit, or a gripper's range, is said by the caller.

    Raises:
        UserError: episodes of other numbers lie together, or both say what the numbers are.
    """
    first = episodes[0]
    own = numbers_of(first.recording)
    for episode in episodes:
        if difference := own.difference(numbers_of(episode.recording)):
            raise UserError(
                f"{first.name} and {episode.name} are of two arms: the second {difference}; convert the episodes of one"
                " from a folder of their own"
            )
    if first.recording is not None and any(stated):
        file = first.path.parent / RECORDING_FILE
        raise UserError(
            f"{file} says that the numbers are {own}: leave out --angle_unit, --gripper_open and --gripper_range"
        )
    return first.recording


def _doubts(episodes: Sequence[Episode], unit: UnitVerdict | None, rate: Rate, gripper: Gripper) -> list[str]:
    """What speaks against how the recording as a whole is read, each with its remedy."""
    doubts = [f"the rate is {rate.reason}"] if rate.assumed else []
    if unit is None:
        return doubts
    if unit.doubtful:
        doubts.append(f"the angle unit is doubtful: {unit.reason}; state it with --angle_unit")
    if doubt := gripper.doubt(episodes):
        doubts.append(f"{doubt}; state the recorded range with --gripper_range MIN MAX")
    return doubts


def _parts(episode: Episode, times: FrameTimes) -> dict[str, slice]:
    """The frames between holes, by the name of the dataset's episode that they become.

    Parts that are too short are reported; where no part is left, the episode is unusable.
    """
    if not times.holes:
        return {episode.name: slice(0, len(episode.frames))}
    parts = {}
    cuts = [0, *times.holes, len(episode.frames)]
    for number, (start, stop) in enumerate(pairwise(cuts), 1):
        if stop - start >= MIN_FRAMES:
            parts[part_name(episode.name, number)] = slice(start, stop)
            continue
        first, last = (int(episode.packed.indices[position]) for position in (start, stop - 1))
        message = f"to frame {last}: left out, fewer than {MIN_FRAMES} frames beside a hole"
        episode.problems.append(Problem("short part", message, first))
    if not parts:
        message = f"has no {MIN_FRAMES} frames in a row without a hole in time"
        episode.problems.append(Problem("short episode", message))
    return parts


def _usable(episodes: Sequence[Episode], root: Path, strict: bool) -> list[Episode]:
    """The episodes to convert.

    Raises:
        UserError: there is none; or `strict` and one of them, or one of their frames, is bad.
    """
    if strict:
        _refuse_problems(episodes)
    usable = [episode for episode in episodes if episode.why_unusable is None]
    if usable:
        return usable
    if not episodes:
        raise UserError(f"{root} holds no episodes, that is folders with a states.json")
    reasons = "; ".join(f"{episode.name}: {episode.why_unusable}" for episode in episodes[:3])
    raise UserError(f"none of the {len(episodes)} episodes in {root} is usable: {reasons}")


def _refuse_problems(episodes: Iterable[Episode]) -> None:
    for episode in episodes:
        for problem in episode.problems:
            if problem.is_error(strict=True):
                raise UserError(f"{episode.path}: {problem}; {problem.remedy}, or convert without --strict")


def _use_commands(episodes: Sequence[Episode], action_source: ActionSource) -> bool:
    without = [episode.name for episode in episodes if episode.actions is None]
    if action_source == "recorded" and without:
        raise UserError(
            f"{without[0]} (and {len(without) - 1} more) has frames without an action: use --action_source state"
        )
    return action_source == "recorded" or (action_source == "auto" and not without)
