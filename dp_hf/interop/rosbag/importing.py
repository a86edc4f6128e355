"""ROS 2 bags to episode folders: one for each bag, or for each part of it between jumps of its clock."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from dp_hf.arms.mycobot_280 import MYCOBOT_280, ROS_JOINTS
from dp_hf.cameras import camera_columns, is_camera_name
from dp_hf.episodes.units import Gripper, doubt_of_degrees, to_public_units
from dp_hf.episodes.writer import FrameWriter
from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside, user_path
from dp_hf.interop.rosbag.alignment import Gap, TickRate, Tolerance
from dp_hf.interop.rosbag.episodes import BagEpisodes, find_episodes
from dp_hf.interop.rosbag.reader import BAG_SUFFIXES, IMAGE_TYPES, JOINTS_TYPE, BagReader, find_bags
from dp_hf.interop.rosbag.report import BagReport
from dp_hf.ranges import require_in_range

OPEN_TO_CLOSED = Gripper("high", (ROS_JOINTS.gripper_closed, ROS_JOINTS.gripper_open))
_MAX_EPISODES = 500
_MAX_NAME_BYTES = 200


@dataclass(frozen=True)
class _Options:
    """As of `import_bags`; `joints` are the names of the arm's joints and the gripper's."""

    output_dir: Path
    fps: TickRate
    tolerance: Tolerance
    joints: Sequence[str]
    angle_unit: Literal["auto", "radians", "degrees"]
    gripper: Gripper
    strict: bool


def import_bags(
    path: str | Path,
    output_dir: str | Path,
    *,
    fps: float = 10.0,
    tolerance: float = 0.05,
    image_topics: Sequence[str] = (),
    joint_topics: Sequence[str] = (),
    angle_unit: Literal["auto", "radians", "degrees"] = "auto",
    gripper_joint: str = ROS_JOINTS.names[-1],
    gripper: Gripper = OPEN_TO_CLOSED,
    strict: bool = False,
    progress: bool = True,
) -> list[BagReport]:
    """Writes an episode for every bag at `path`, sqlite3 or mcap: `episode_<bag>` in `output_dir`.

    At each tick of `fps` the first camera's nearest image is taken, and with it the other cameras' images and the
    joints' positions nearest to it in time. A tick that lacks one within the tolerance is left out, and reported.
    Where a clock jumped, the parts before and after are episodes of their own: `episode_<bag>_part1`, ...

    A bag's episodes are written beside their places, and are there whole or not at all. One that is there already is
    left as it is, and its bag reported.

    Args:
        path: a bag, or a folder of bags, whose names in it are the episodes'.
        tolerance: seconds.
        image_topics: of Image or CompressedImage; by default the only one.
        joint_topics: of JointState, which together have the six arm joints (found by name) and the gripper's; by
            default the only one.
        angle_unit: of the arm joints' positions; "auto" takes them for radians, as ROS has them, but refuses a bag in
            which no arm can be there.
        gripper: maps the gripper joint's positions to 0..100.
        strict: a gap, messages that are of no use, or a bag without an episode is an error.

    Raises:
        UserError: no bag gave an episode, two would have one name, or a wrong argument; with `strict` any loss.
    """
    joints = ROS_JOINTS.with_joint(len(ROS_JOINTS.names) - 1, gripper_joint).names
    options = _Options(user_path(output_dir), fps, tolerance, joints, angle_unit, gripper, strict)
    require_in_range(options)
    names = _episode_names(user_path(path))
    reports = []
    for bag, name in tqdm(names.items(), "Reading bags", unit="bag", delay=1, disable=not progress):
        try:
            reports += _import_bag(bag, name, image_topics, joint_topics, options)
        except UserError as error:
            if strict:
                raise
            reports.append(BagReport(bag, problem=str(error).removeprefix(f"{bag}: ")))
    if all(report.episode is None for report in reports):
        raise UserError("\n".join(map(str, reports)))
    return reports


def _episode_names(root: Path) -> dict[Path, str]:
    """Each bag at `root` to the name of its episode: the bag's own, or its path in `root`.

    Raises:
        UserError: there is no bag, or two would have one name.
    """
    bags: dict[str, Path] = {}
    for bag in find_bags(root):
        parts = bag.relative_to(root).parts or (Path(os.path.abspath(root)).name,)
        last = parts[-1].removesuffix(bag.suffix) if bag.suffix in BAG_SUFFIXES and bag.is_file() else parts[-1]
        name = "episode_" + re.sub(r"[^\w-]+", "_", "_".join((*parts[:-1], last)))
        if len(name.encode()) > _MAX_NAME_BYTES:
            raise UserError(f"{bag}: its name is too long for an episode's: rename it")
        if name in bags:
            raise UserError(f"{bags[name]} and {bag} would both become {name}: rename one, or import them apart")
        bags[name] = bag
    return {bag: name for name, bag in bags.items()}


def _import_bag(
    bag: Path, name: str, image_topics: Sequence[str], joint_topics: Sequence[str], options: _Options
) -> list[BagReport]:
    with BagReader(bag) as reader:
        images = reader.choose(image_topics, "camera images", *IMAGE_TYPES)
        joints = reader.choose(joint_topics, "joint states", JOINTS_TYPE)
        cameras = _camera_names(bag, images)
        contents = reader.read(images, joints)
        episodes = find_episodes(bag, contents, options.joints, options.fps, options.tolerance)
        notes = episodes.notes
        lost = [f"gap {gap}" for gap in episodes.gaps] + notes
        if options.strict and lost:
            raise UserError(f"{bag}: {lost[0]}; convert without --strict to leave it out")
        columns = [np.array(contents.positions[joint])[episodes.chosen[joint]] for joint in options.joints]
        raw = np.stack(columns, axis=1)
        states = _states(bag, raw, options)
        if doubt := options.gripper.doubt_of(raw[:, -1]):
            notes = [*notes, f"{doubt}; --gripper_range says another range"]
        if doubt := doubt_of_degrees(states):
            notes = [*notes, doubt]
        reports = _write(reader, episodes, states, cameras, name, options)
        return [replace(reports[0], broken=contents.broken, notes=notes), *reports[1:]]


def _states(bag: Path, raw: np.ndarray, options: _Options) -> np.ndarray:
    """(frames, 7) of the joints' positions.

    Raises:
        UserError: they are not in the unit that they should be in.
    """
    unit = "radians" if options.angle_unit == "auto" else options.angle_unit
    with np.errstate(over="ignore"):
        states = to_public_units(raw, unit, options.gripper)
    if options.angle_unit == "auto" and (doubt := MYCOBOT_280.doubt_of_radians(states)):
        raise UserError(f"{bag}: {doubt}: say --angle_unit degrees if they are, or --angle_unit radians")
    if not np.isfinite(states).all():
        raise UserError(f"{bag}: a joint is at {raw[~np.isfinite(states)][0]:g} {unit}: record it again")
    return states


def _write(
    reader: BagReader,
    episodes: BagEpisodes,
    states: np.ndarray,
    cameras: Mapping[str, str],
    name: str,
    options: _Options,
) -> list[BagReport]:
    """Writes all episodes of a bag, and then brings them to their places."""
    bag, count = reader.path, len(episodes.parts)
    names = [f"{name}_part{number}" for number in range(1, count + 1)] if count > 1 else [name]
    there = [
        path for path in options.output_dir.glob(f"{name}*") if re.fullmatch(r"(_part\d+)?", path.name[len(name) :])
    ]
    if there:
        raise UserError(f"{bag}: {min(there)} exists: give another --output_dir, or move it away")
    if count > _MAX_EPISODES:
        raise UserError(f"{bag}: {count} parts between jumps of the clock, more than {_MAX_EPISODES}: split the bag")
    reports = []
    with ExitStack() as places:
        frames = _frames(reader, {topic: episodes.chosen[topic] for topic in cameras})
        for number, of_part in groupby(frames, lambda frame: int(episodes.part_of[frame[0]])):
            part, path = episodes.parts[number], options.output_dir / names[number]
            gaps = list(part.gaps)
            with FrameWriter(places.enter_context(folder_written_beside(path))) as writer:
                for frame, images in of_part:
                    time = float(episodes.times[frame])
                    if wrong := [image for image in images.values() if isinstance(image, str)]:
                        gaps.append(Gap(time, time + 1 / options.fps, wrong[0]))
                        continue
                    decoded = {cameras[topic]: image for topic, image in images.items() if not isinstance(image, str)}
                    writer.add_frame(
                        decoded if len(decoded) > 1 else next(iter(decoded.values())), states[frame], timestamp=time
                    )
            if writer.num_frames == 0:
                raise UserError(f"{bag}: {gaps[-1].reason}, and so with every other image")
            reports.append(
                BagReport(
                    bag,
                    path,
                    part.before,
                    writer.num_frames,
                    dict(cameras),
                    episodes.clock,
                    part.largest_offset,
                    gaps,
                )
            )
    return reports


def _frames(reader: BagReader, chosen: Mapping[str, np.ndarray]) -> Iterator[tuple[int, dict[str, np.ndarray | str]]]:
    """(frame, topic to image) in the order of the frames, as soon as all of a frame's images are read."""
    frames_of: dict[str, dict[int, list[int]]] = {topic: {} for topic in chosen}
    for topic, positions in chosen.items():
        for frame, position in enumerate(positions.tolist()):
            frames_of[topic].setdefault(position, []).append(frame)
    pending: dict[int, dict[str, np.ndarray | str]] = {}
    following = 0
    for topic, position, image in reader.images({topic: set(frames) for topic, frames in frames_of.items()}):
        for frame in frames_of[topic][position]:
            pending.setdefault(frame, {})[topic] = image
        while len(pending.get(following, ())) == len(chosen):
            yield following, pending.pop(following)
            following += 1


def _camera_names(bag: Path, topics: Sequence[str]) -> dict[str, str]:
    """A name for each topic: `image` for the only one, else the first part of the topic, or all where they agree."""
    parts = {topic: re.sub(r"[^\w/-]", "_", topic.strip("/")).split("/") for topic in topics}
    whole = len({first for first, *_ in parts.values()}) < len(topics)
    cameras = camera_columns({topic: "_".join(names) if whole else names[0] for topic, names in parts.items()})
    if len(set(cameras.values())) < len(cameras) or not all(map(is_camera_name, cameras.values())):
        raise UserError(f"{bag}: the topics {', '.join(topics)} give no two names of cameras: convert them apart")
    return cameras
