"""Turns a folder of episodes into a dataset folder, which has the layout of a dataset repository on the Hub."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from dp_hf.arms import mycobot_280
from dp_hf.episodes.actions import actions_from_commands, kept_frames
from dp_hf.episodes.checks import report_other_cameras
from dp_hf.episodes.conversion_report import ConversionReport
from dp_hf.episodes.dataset_writer import DatasetWriter, refuse_to_replace
from dp_hf.episodes.find import find_episodes
from dp_hf.episodes.format import DEFAULT_FPS
from dp_hf.episodes.reader import Episode, load_images, read_episode
from dp_hf.episodes.units import Gripper, decide_unit, to_public_units
from dp_hf.errors import UserError
from dp_hf.files import user_path

ActionSource = Literal["auto", "recorded", "state"]

_FPS_RANGE = (0.5, 240.0)


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
    strict: bool = False,
    progress: bool = True,
) -> ConversionReport:
    """Converts every usable episode below `data_dir`; image files are copied into the dataset byte for byte.

    Args:
        data_dir: folder of episodes, or one episode.
        output_dir: the dataset folder; an earlier dataset there is replaced when the new one is complete.
        angle_unit: of the recording; "auto" detects it.
        fps: recorded frames a second; default from the timestamps, or 10 without any.
        frame_skip: keep every n-th frame, from the first.
        action_offset: the action is the state that many kept frames later; 0 is the state itself.
        action_source: "recorded" commands, "state", or "auto": recorded when every frame has a command.
        gripper: how recorded gripper values map to 0..100; default 0..100 with 100 = open.
        cameras: names of the cameras to convert; default those that most episodes have.
        strict: a bad episode or frame is an error, instead of being left out.
        progress: show a progress bar.

    Raises:
        UserError: no usable episode, an unclear unit, a wrong argument, an `output_dir` that holds other files;
            with `strict`, a bad episode or frame.
    """
    root, target = user_path(data_dir), user_path(output_dir)
    if frame_skip < 1 or action_offset < 0:
        raise UserError("--frame_skip must be at least 1, and --action_offset at least 0")
    refuse_to_replace(target)

    paths = tqdm(find_episodes(root), "Reading", unit="episode", delay=1, disable=not progress)
    episodes = [read_episode(path, cameras, root) for path in paths]
    report_other_cameras(episodes)
    usable = _usable(episodes, root, strict)
    unit = decide_unit(usable, angle_unit)
    assert unit.unit is not None
    rate, rate_reason = _frame_rate(usable, fps)
    gripper = gripper or Gripper()
    use_commands = _use_commands(usable, action_source)
    writer = DatasetWriter(
        target,
        usable[0].camera_names,
        mycobot_280.QUANTITIES,
        fps=rate / frame_skip,
        source=root.resolve().name,
        action_source="recorded" if use_commands else "state",
        action_offset=action_offset,
        frame_skip=frame_skip,
        angle_unit_of_source=unit.unit,
    )
    with writer:
        for episode in tqdm(usable, "Converting", unit="episode", delay=1, disable=not progress):
            images = load_images(episode)
            if strict:
                _refuse_problems([episode])
            if episode.why_unusable is not None:
                continue
            kept = kept_frames(len(episode.frames), frame_skip)
            commands = to_public_units(episode.actions, unit.unit, gripper) if use_commands else None
            writer.add_episode(
                episode.name,
                {camera: [images[index][camera].data for index in kept] for camera in usable[0].camera_names},
                to_public_units(episode.states, unit.unit, gripper)[kept],
                None if commands is None else actions_from_commands(commands, frame_skip),
                _times(episode, rate, use_timestamps=fps is None)[kept],
            )
        usable = _usable(episodes, root, strict)
    return ConversionReport(
        output_dir=target,
        meta=writer.meta,
        unit=unit,
        fps_reason=rate_reason,
        image_sizes=sorted(writer.image_sizes),
        gripper_doubt=gripper.doubt(usable),
        skipped=[(episode.name, why) for episode in episodes if (why := episode.why_unusable)],
        left_out=[(e.name, problem) for e in usable for problem in e.problems if problem.severity == "frame"],
    )


def _times(episode: Episode, fps: float, use_timestamps: bool) -> np.ndarray:
    """(frames,) seconds from the first frame; frames left out leave a gap."""
    if use_timestamps and episode.timestamps is not None:
        return episode.timestamps
    positions = np.array([frame.index for frame in episode.frames])
    return (positions - positions[0]) / fps


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
            if problem.severity in ("episode", "frame"):
                raise UserError(f"{episode.path}: {problem}; {problem.remedy}, or convert without --strict")


def _frame_rate(episodes: Sequence[Episode], fps: float | None) -> tuple[float, str]:
    """Recorded frames a second, and where that comes from."""
    if fps is not None:
        if not _FPS_RANGE[0] <= fps <= _FPS_RANGE[1]:
            raise UserError(f"--fps {fps:g} is not within {_FPS_RANGE[0]:g} to {_FPS_RANGE[1]:g}")
        return fps, "stated by --fps"
    times = [episode.timestamps for episode in episodes]
    steps = [np.diff(of_episode) for of_episode in times if of_episode is not None]
    if not steps:
        return DEFAULT_FPS, "assumed, as the frames have no timestamps; --fps states another"
    rate = round(1 / float(np.median(np.concatenate(steps))), 2)
    if not _FPS_RANGE[0] <= rate <= _FPS_RANGE[1]:
        raise UserError(f"the timestamps give {rate:g} frames a second: are they seconds? state the rate with --fps")
    return rate, "from the timestamps"


def _use_commands(episodes: Sequence[Episode], action_source: ActionSource) -> bool:
    without = [episode.name for episode in episodes if episode.actions is None]
    if action_source == "recorded" and without:
        raise UserError(
            f"{without[0]} (and {len(without) - 1} more) has frames without an action: use --action_source state"
        )
    return action_source == "recorded" or (action_source == "auto" and not without)
