"""Turns a folder of episodes into a dataset folder, which has the layout of a dataset repository on the Hub."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from dp_hf.cameras import camera_columns
from dp_hf.episodes.actions import actions_from_commands, actions_from_states, kept_frames
from dp_hf.episodes.checks import report_other_cameras
from dp_hf.episodes.conversion_report import ConversionReport
from dp_hf.episodes.dataset_card import CARD_FILE, write_dataset_card
from dp_hf.episodes.find import find_episodes
from dp_hf.episodes.format import DEFAULT_FPS
from dp_hf.episodes.metadata import META_FILE, DatasetMeta, column_statistics
from dp_hf.episodes.parquet import DATA_FOLDER, ParquetShards, features_of
from dp_hf.episodes.reader import Episode, load_images, read_episode
from dp_hf.episodes.units import Gripper, Unit, decide_unit, to_public_units
from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside, user_path

ActionSource = Literal["auto", "recorded", "state"]

_OWN_FILES = {DATA_FOLDER, META_FILE, CARD_FILE}
OWN_COLUMNS = set(features_of(()))
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
    rows = _Rows(
        columns=_image_columns(usable[0].camera_names),
        unit=unit.unit,
        gripper=gripper or Gripper(),
        fps=rate,
        use_timestamps=fps is None,
        frame_skip=frame_skip,
        action_offset=action_offset,
        use_commands=_use_commands(usable, action_source),
    )
    try:
        with folder_written_beside(target) as folder:
            with ParquetShards(folder / DATA_FOLDER, features_of([*rows.columns.values()])) as shards:
                for episode in tqdm(usable, "Converting", unit="episode", delay=1, disable=not progress):
                    rows.write(episode, shards, strict)
            usable = _usable(episodes, root, strict)
            meta = rows.describe(usable, source=root.resolve().name)
            meta.save(folder)
            write_dataset_card(folder, meta)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error}; free space there, or choose another folder") from error
    return ConversionReport(
        output_dir=target,
        meta=meta,
        unit=unit,
        fps_reason=rate_reason,
        image_sizes=sorted(rows.image_sizes),
        gripper_doubt=rows.gripper.doubt(usable),
        skipped=[(episode.name, why) for episode in episodes if (why := episode.why_unusable)],
        left_out=[(e.name, problem) for e in usable for problem in e.problems if problem.severity == "frame"],
    )


@dataclass
class _Rows:
    """How frames become rows, and the rows written so far."""

    columns: dict[str, str]
    unit: Unit
    gripper: Gripper
    fps: float
    use_timestamps: bool
    frame_skip: int
    action_offset: int
    use_commands: bool
    states: list[np.ndarray] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    image_sizes: set[tuple[int, int]] = field(default_factory=set)

    def write(self, episode: Episode, shards: ParquetShards, strict: bool) -> None:
        """Appends an episode's rows, unless its images leave too few frames."""
        images = load_images(episode)
        if strict:
            _refuse_problems([episode])
        if episode.why_unusable is not None:
            return
        kept = kept_frames(len(episode.frames), self.frame_skip)
        states = to_public_units(episode.states, self.unit, self.gripper)
        if self.use_commands and (recorded := episode.actions) is not None:
            commands = to_public_units(recorded, self.unit, self.gripper)
            actions = actions_from_commands(commands, self.frame_skip)
        else:
            actions = actions_from_states(states, self.frame_skip, self.action_offset)
        cells = {
            column: [{"bytes": images[index][camera].data, "path": None} for index in kept]
            for camera, column in self.columns.items()
        }
        shards.write(
            {
                **cells,
                "state": list(states[kept]),
                "action": list(actions),
                "episode_index": [len(self.states)] * len(kept),
                "frame_index": range(len(kept)),
                "timestamp": self._times(episode)[kept],
            }
        )
        self.image_sizes.update(image.size for frame in images for image in frame.values())
        self.states.append(states[kept])
        self.actions.append(actions)

    def _times(self, episode: Episode) -> np.ndarray:
        """(frames,) seconds from the first frame; frames left out leave a gap."""
        if self.use_timestamps and episode.timestamps is not None:
            return episode.timestamps.astype(np.float32)
        positions = np.array([frame.index for frame in episode.frames])
        return ((positions - positions[0]) / self.fps).astype(np.float32)

    def describe(self, episodes: Sequence[Episode], source: str) -> DatasetMeta:
        return DatasetMeta(
            fps=self.fps / self.frame_skip,
            camera_names=[*self.columns.values()],
            episodes=[episode.name for episode in episodes],
            num_frames=sum(map(len, self.states)),
            statistics={
                "state": column_statistics(np.concatenate(self.states)),
                "action": column_statistics(np.concatenate(self.actions)),
            },
            action_source="recorded" if self.use_commands else "state",
            action_offset=self.action_offset,
            frame_skip=self.frame_skip,
            angle_unit_of_source=self.unit,
            source=source,
        )


def refuse_to_replace(target: Path) -> None:
    """Raises a UserError when `target` exists and is anything but a dataset that a conversion made."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file: give a folder for the dataset")
    names = {path.name for path in target.iterdir()}
    if names and META_FILE not in names:
        raise UserError(f"{target} holds other files than a dataset: give a new folder")
    if others := names - _OWN_FILES:
        raise UserError(f"{target} also holds {sorted(others)[0]}: move it away, or give a new folder")


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


def _image_columns(camera_names: Sequence[str]) -> dict[str, str]:
    """Camera -> column name."""
    columns = camera_columns({camera: camera for camera in camera_names})
    if taken := OWN_COLUMNS & set(columns.values()):
        raise UserError(f"a camera is called {sorted(taken)[0]!r}, as another column is: choose with --camera_names")
    return columns
