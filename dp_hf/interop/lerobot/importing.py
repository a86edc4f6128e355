"""A LeRobot dataset to a dataset of ours."""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from dp_hf.arms.quantities import UNITS, Quantities, told_apart
from dp_hf.cameras import camera_columns
from dp_hf.episodes.dataset_folder import refuse_to_replace
from dp_hf.episodes.dataset_writer import DatasetWriter
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.episodes.motion import unwrap
from dp_hf.episodes.parquet import features_of
from dp_hf.errors import UserError
from dp_hf.files import refuse_pointer, user_path
from dp_hf.interop.lerobot.layout import ACTION, INFO_FILE, STATE, LeRobotInfo, column_of, read_info
from dp_hf.interop.lerobot.reader import Findings, LeRobotEpisode, read_episodes
from dp_hf.interop.lerobot.splits import choose_splits
from dp_hf.interop.lerobot.video import ImageError, read_frames
from dp_hf.pictures import NotAPicture, decode, upright_rgb

# A frame of a video has lost more to its codec already than it does here.
JPEG_QUALITY = 95


@dataclass(frozen=True)
class ImportReport:
    """What an import did; as text, its summary and everything that is wrong with the source.

    Attributes:
        output_dir: our dataset's folder.
        meta: of our dataset.
        tasks: that the source names; our format has no place for them.
        splits: which of the source's splits were converted, in words; empty where it has no others.
        columns: camera of the source to our image column.
        left_out: (episode, why).
        problems: of the source as a whole.
    """

    output_dir: Path
    meta: DatasetMeta
    tasks: list[str]
    splits: str
    columns: dict[str, str]
    left_out: list[tuple[str, str]]
    problems: list[str]

    def __str__(self) -> str:
        meta = self.meta
        lines = [
            f"{self.output_dir}: episodes: {len(meta.episodes)}, rows: {meta.num_frames}, {meta.fps:g} a second",
            f"  images   {', '.join(f'{column} ({camera})' for camera, column in self.columns.items())}",
            f"  state    {meta.state}",
            f"  actions  {'the same' if meta.action == meta.state else meta.action}: {meta.action_meaning}",
            f"  tasks    {'; '.join(self.tasks) or 'none named'}",
        ]
        if self.splits:
            lines.append(f"  splits   {self.splits}")
        if self.left_out:
            lines += ["", f"{len(self.left_out)} episodes left out:"]
            lines += [f"  {name}: {why}" for name, why in self.left_out]
        if meta.warnings:
            lines += ["", *(f"warning: {warning}" for warning in meta.warnings)]
        if "unknown" in (*meta.state.units, *meta.action.units):
            lines += ["", f"warning: LeRobot has no units; state them with --units: {', '.join(UNITS[:-1])}"]
        if self.problems:
            lines += ["", "wrong in the source:", *(f"  {problem}" for problem in self.problems)]
        return "\n".join(lines)


def import_lerobot(
    lerobot_dir: str | Path,
    output_dir: str | Path,
    cameras: Sequence[str] | None = None,
    strict: bool = False,
    progress: bool = True,
    units: Sequence[str] | None = None,
    state_column: str = STATE,
    action_column: str = ACTION,
    splits: Sequence[str] | None = None,
    unwrap_angles: bool = False,
) -> ImportReport:
    """Converts a LeRobot dataset, v3.0 or v2.x, with states and actions of any width; no number is changed.

    Embedded images are copied byte for byte; frames of videos become JPEG files of quality 95.

    Args:
        lerobot_dir: its folder.
        output_dir: our dataset's folder; an earlier dataset there is replaced when the new one is complete.
        cameras: columns (`observation.images.NAME`, or NAME) to convert; default all whose images are there.
        strict: an episode that cannot be used is an error, instead of being left out, and so is one that looks wrong.
        progress: show a progress bar.
        units: what the numbers are in (see `dp_hf.arms.quantities.UNITS`): one unit for all, one for each number of a
            state and an action alike, or one for each of the state and then each of the action. Default what our own
            export has written into the set, else unknown.
        state_column, action_column: what the set calls its states and actions.
        splits: those of its `info.json` to convert, or "all"; default every episode but those of others than `train`.
        unwrap_angles: let angles that wrap go on: 179, 181 degrees in place of 179, -179.

    Raises:
        UserError: nothing usable, with a list of all that is wrong; units that are none or not as many as numbers; an
            `output_dir` that holds other files.
    """
    target = user_path(output_dir)
    info = read_info(user_path(lerobot_dir), state_column, action_column)
    refuse_to_replace(target)
    found = read_episodes(info)
    chosen = choose_splits(info, found, splits)
    columns = _usable_cameras(info, found, cameras)
    widths = {(e.state.shape[1], e.action.shape[1] if e.action is not None else None) for e in found.episodes}
    if len(widths) > 1:
        found_widths = "; ".join(f"{state} and {action or 'no action'}" for state, action in sorted(widths, key=str))
        raise UserError(f"{info.root}: the data files differ in the widths of state and action: {found_widths}")
    state, action = _quantities(info, found, units)
    writer = DatasetWriter(
        target,
        [*columns.values()],
        state,
        action,
        fps=info.fps,
        source=info.root.resolve().name,
        action_source="state" if found.episodes[0].action is None else "recorded",
    )
    with writer:
        for episode in tqdm(found.episodes, "Converting", unit="episode", delay=1, disable=not progress):
            if episode.problem is None:
                _add_episode(writer, info, episode, columns, unwrap_angles)
            if strict and episode.problem is not None:
                raise UserError(f"{info.root}: {episode.name}: {episode.problem}; or convert without --strict")
        if writer.num_frames == 0:
            raise UserError(_nothing_usable(info, found))
        if strict and (warnings := writer.meta.warnings):
            raise UserError(f"{info.root}: {warnings[0]}; or convert without --strict")
    left_out = [(episode.name, episode.problem) for episode in found.episodes if episode.problem is not None]
    return ImportReport(target, writer.meta, found.tasks, chosen, columns, left_out, found.problems)


def _add_episode(
    writer: DatasetWriter, info: LeRobotInfo, episode: LeRobotEpisode, columns: dict[str, str], unwrap_angles: bool
) -> None:
    """Adds an episode; sets its `problem` when its images are not all there."""
    try:
        images = {column: list(_images(info, episode, camera)) for camera, column in columns.items()}
    except ImageError as error:
        episode.problem = str(error)
        return
    state, action = episode.state, episode.action
    if unwrap_angles:
        state, action = unwrap(state, writer.state, action, writer.action)
    writer.add_episode(episode.name, images, state, action, episode.timestamp)


def _images(info: LeRobotInfo, episode: LeRobotEpisode, camera: str) -> Iterator[bytes]:
    if info.cameras[camera] == "image":
        yield from _embedded_images(episode, camera)
        return
    if camera not in episode.videos:
        raise ImageError(f"meta does not say where its video of {camera} is")
    file, start = episode.videos[camera]
    try:
        for image in read_frames(file, [*(start + episode.timestamp)], tolerance=0.5 / info.fps):
            encoded = io.BytesIO()
            image.save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling=0)
            yield encoded.getvalue()
    except ImageError as error:
        raise ImageError(f"video {file.relative_to(info.root)}: {error}") from error


def _quantities(info: LeRobotInfo, found: Findings, units: Sequence[str] | None) -> tuple[Quantities, Quantities]:
    """What the numbers of a state and of an action are; says in `found.problems` what the names do not fit."""
    episode = found.episodes[0]
    state = _named(info, found, info.state_column, episode.state.shape[1])
    action = state if episode.action is None else _named(info, found, info.action_column, episode.action.shape[1])
    if units is None:
        return state, action
    apart = len(units) == len(state) + len(action)
    try:
        return (
            state.with_units(units[: len(state)] if apart else units),
            action.with_units(units[len(state) :] if apart else units),
        )
    except UserError as error:
        raise UserError(f"units {' '.join(units)} do not fit {info.root}: {error}") from error


def _named(info: LeRobotInfo, found: Findings, column: str, width: int) -> Quantities:
    names, units = info.names(column), info.units(column)
    if names is not None and len(names) != width:
        found.problems.append(
            f"info.json has {len(names)} names for the {width} numbers of {column}: each is named by its position"
        )
        names = None
    try:
        quantities = Quantities.unnamed(width) if names is None else Quantities(told_apart(names), ("unknown",) * width)
        return quantities if units is None else quantities.with_units(units)
    except UserError as error:
        raise UserError(f"{info.root / INFO_FILE}: {column}: {error}") from error


def _embedded_images(episode: LeRobotEpisode, camera: str) -> Iterator[bytes]:
    file = pq.ParquetFile(episode.file)
    first = 0
    for group in range(file.num_row_groups):
        end = first + file.metadata.row_group(group).num_rows
        wanted = range(max(first, episode.rows.start), min(end, episode.rows.stop))
        if len(wanted):
            try:
                table = file.read_row_group(group, [camera])
            except (pa.ArrowException, OSError) as error:
                raise ImageError(f"the images of {camera} cannot be read ({error})") from error
            if camera not in table.column_names:
                raise ImageError(f"{episode.file.name} has no column {camera}")
            cells = table[camera].slice(wanted.start - first, len(wanted))
            for row, cell in zip(wanted, cells.to_pylist(), strict=True):
                yield _checked_image(cell, f"image of {camera} at frame {row - episode.rows.start}")
        first = end


def _checked_image(cell: object, what: str) -> bytes:
    data = cell.get("bytes") if isinstance(cell, dict) else None
    if not isinstance(data, bytes):
        raise ImageError(f"the {what} is not embedded in the data file")
    try:
        upright_rgb(decode(data))
    except UserError as error:
        raise ImageError(f"the {what} {error}") from error
    return data


def _why_no_picture(episode: LeRobotEpisode, camera: str) -> str | None:
    """Of depth and the like, which its first frame tells; a damaged frame is its episode's fault, not the camera's."""
    try:
        next(_embedded_images(episode, camera), None)
    except ImageError as error:
        if isinstance(error.__cause__, NotAPicture):
            return f"{camera}: {error}"
    return None


def _usable_cameras(info: LeRobotInfo, found: Findings, wanted: Sequence[str] | None) -> dict[str, str]:
    """Camera to our column, for those that were asked for, or all that have images at all."""
    cameras = {camera: camera for camera in info.cameras}
    cameras |= {camera.rpartition(".")[2]: camera for camera in info.cameras}
    if unknown := [name for name in wanted or () if name not in cameras]:
        known = ", ".join(info.cameras) or "none"
        raise UserError(f"{info.root} has no camera {', '.join(unknown)}; it has {known}")
    chosen = [cameras[name] for name in wanted or info.cameras]
    usable = []
    for camera in chosen:
        problem = _problem_of_camera(info, found, camera)
        if problem is None:
            usable.append(camera)
        else:
            found.problems.append(problem)
    if not usable or (wanted and len(usable) < len(chosen)):
        raise UserError(_nothing_usable(info, found))
    columns = camera_columns({camera: column_of(camera) for camera in usable})
    if len(set(columns.values())) < len(columns) or set(columns.values()) & set(features_of(())):
        raise UserError(
            f"{info.root}: cameras {', '.join(columns)} get no names of their own: choose with --camera_names"
        )
    return columns


def _problem_of_camera(info: LeRobotInfo, found: Findings, camera: str) -> str | None:
    if info.cameras[camera] == "image":
        has_column = any(camera in pq.read_schema(file).names for file in {e.file for e in found.episodes})
        return (
            _why_no_picture(found.episodes[0], camera)
            if has_column
            else f"{camera}: the data files have no such column"
        )
    files = sorted({episode.videos[camera][0] for episode in found.episodes if camera in episode.videos})
    if not files:
        return f"{camera}: meta does not say where its videos are"
    for file in files:
        refuse_pointer(file)
    absent = [file for file in files if not os.path.isfile(file)]  # whose name may be too long for one
    if not absent:
        return None
    example = absent[0].relative_to(info.root)
    text = f"{camera}: {len(absent)} of {len(files)} declared video files are absent, such as {example}"
    if len(absent) == len(files):
        return text
    found.problems.append(text)
    return None


def _nothing_usable(info: LeRobotInfo, found: Findings) -> str:
    wrong = found.problems + [f"{e.name}: {e.problem}" for e in found.episodes if e.problem is not None][:20]
    if not info.cameras:
        wrong.append("info.json declares no camera, and a policy needs images")
    return "\n  ".join([f"{info.root} cannot be converted:", *wrong, "download it again, complete, or repair it"])
