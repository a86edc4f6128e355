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

from dp_hf.arms.arm import Arm
from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.arms.ros import RosJoints
from dp_hf.cameras import camera_columns, is_camera_name
from dp_hf.episodes.recording import Recording, require_room, write_recording
from dp_hf.episodes.units import Gripper, contradiction, doubt_of_degrees
from dp_hf.episodes.writer import FrameWriter
from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside, user_path
from dp_hf.interop.rosbag.alignment import Gap, TickRate, Tolerance
from dp_hf.interop.rosbag.episodes import BagEpisodes, find_episodes
from dp_hf.interop.rosbag.reader import BAG_SUFFIXES, IMAGE_TYPES, JOINTS_TYPE, BagReader, find_bags
from dp_hf.interop.rosbag.report import BagReport
from dp_hf.ranges import require_in_range

_MAX_EPISODES = 500
_MAX_NAME_BYTES = 200


@dataclass(frozen=True)
class _Options:
    """As of `import_bags`; the arm has the gripper's joint and range that were asked for."""

    output_dir: Path
    fps: TickRate
    tolerance: Tolerance
    arm: Arm
    angle_unit: Literal["auto", "radians", "degrees"]
    strict: bool

    @property
    def joints(self) -> tuple[str, ...]:
        """What ROS calls the joint of each of the arm's numbers."""
        return self.arm.in_ros()[0].names

    @property
    def recording(self) -> Recording | None:
        return Recording.of(self.arm.quantities, self.fps)


def import_bags(
    path: str | Path,
    output_dir: str | Path,
    *,
    fps: float = 10.0,
    tolerance: float = 0.05,
    image_topics: Sequence[str] = (),
    joint_topics: Sequence[str] = (),
    angle_unit: Literal["auto", "radians", "degrees"] = "auto",
    arm: Arm = MYCOBOT_280,
    gripper_joint: str | None = None,
    gripper_open: Literal["high", "low"] | None = None,
    gripper_range: tuple[float, float] | None = None,
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
        joint_topics: of JointState, which together have the arm's joints (found by name); by default the only one.
        angle_unit: of the arm joints' positions; "auto" takes them for radians, as ROS has them, but refuses a bag in
            which the arm cannot be there.
        arm: whose joints are looked for, and become its numbers.
        gripper_joint: name of the gripper's joint, in place of the arm's own.
        gripper_open: which end of the gripper's range is the open gripper, likewise.
        gripper_range: lowest and highest position of the gripper's joint, which become 0..100, likewise.
        strict: a gap, messages that are of no use, or a bag without an episode is an error.

    Raises:
        UserError: no bag gave an episode, two would have one name, the folder has episodes of another arm, or a wrong
            argument; with `strict` any loss.
    """
    if (gripper_joint, gripper_open, gripper_range) != (None, None, None):
        arm = _with_gripper(arm, gripper_joint, gripper_open, gripper_range)
    options = _Options(user_path(output_dir), fps, tolerance, arm, angle_unit, strict)
    require_in_range(options)
    require_room(options.output_dir, options.recording)
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


def _with_gripper(
    arm: Arm, joint: str | None, open_end: Literal["high", "low"] | None, ends: tuple[float, float] | None
) -> Arm:
    """The arm, whose gripper has another joint in ROS, or another range; what is None stays.

    Raises:
        UserError: it has no gripper, nothing is known of its joints, or that is no range.
    """
    joints, _ = arm.in_ros()
    if arm.gripper is None:
        raise UserError(f"{arm.name} has no gripper: leave out what is said of one")
    if joint is not None:
        joints = joints.with_joint(arm.gripper, joint)
    if open_end is not None or ends is not None:
        own = _gripper(joints)
        low, high = Gripper(range=ends or own.range).range
        closed, opened = (low, high) if (open_end or own.open) == "high" else (high, low)
        joints = replace(joints, gripper_closed=closed, gripper_open=opened)
    return replace(arm, ros=joints)


def _gripper(joints: RosJoints) -> Gripper:
    closed, opened = joints.gripper_closed, joints.gripper_open
    return Gripper("high" if closed < opened else "low", (min(closed, opened), max(closed, opened)))


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
        notes = [*notes, *_doubts(raw, states, options)]
        reports = _write(reader, episodes, states, cameras, name, options)
        return [replace(reports[0], broken=contents.broken, notes=notes), *reports[1:]]


def _states(bag: Path, raw: np.ndarray, options: _Options) -> np.ndarray:
    """The arm's numbers (frames, n), float32, of its joints' positions (frames, n).

    Raises:
        UserError: they are not in the unit that they should be in.
    """
    arm, (joints, _) = options.arm, options.arm.in_ros()
    unit = "radians" if options.angle_unit == "auto" else options.angle_unit
    units = np.array(arm.quantities.units)
    positions = raw.copy()
    if unit == "degrees":
        angles = np.isin(units, ("degrees", "radians"))
        positions[:, angles] = np.radians(raw[:, angles])
    with np.errstate(over="ignore"):
        states = joints.state(joints.names, positions.T).T
        states[:, units == "0..100"] = np.clip(states[:, units == "0..100"], 0, 100)
        states = states.astype(np.float32)
    if options.angle_unit == "auto" and (doubt := arm.doubt_of_radians(states)):
        raise UserError(f"{bag}: {doubt}: say --angle_unit degrees if they are, or --angle_unit radians")
    if not np.isfinite(states).all():
        raise UserError(f"{bag}: a joint is at {raw[~np.isfinite(states)][0]:g} {unit}: record it again")
    return states


def _doubts(raw: np.ndarray, states: np.ndarray, options: _Options) -> list[str]:
    """What speaks against the ranges and units of joints at `raw` that became `states`, (frames, n) each."""
    arm, (joints, _) = options.arm, options.arm.in_ros()
    doubts = []
    if "0..100" in arm.quantities.units:
        grippers = raw[:, np.array(arm.quantities.units) == "0..100"]
        if doubt := _gripper(joints).doubt_of(grippers):
            doubts.append(f"{doubt}; --gripper_range says another range")
    if options.recording is None:
        doubt = doubt_of_degrees(states)
    else:
        doubt = contradiction(arm.quantities, states.min(0), states.max(0))
    return [*doubts, doubt] if doubt else doubts


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
            with FrameWriter(places.enter_context(folder_written_beside(path)), options.recording) as writer:
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
        write_recording(options.output_dir, options.recording)
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
