"""ROS 2 bags to episode folders: one episode for each bag."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dp_hf.arms.mycobot_280 import ROS_JOINTS
from dp_hf.cameras import camera_columns
from dp_hf.episodes.units import Gripper, to_public_units
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError
from dp_hf.files import user_path
from dp_hf.interop.rosbag.alignment import Alignment, Gap, align
from dp_hf.interop.rosbag.reader import IMAGE_TYPES, JOINTS_TYPE, BagContents, BagReader, Stamps, find_bags

OPEN_TO_CLOSED = Gripper("high", (ROS_JOINTS.gripper_closed, ROS_JOINTS.gripper_open))


@dataclass(frozen=True)
class BagReport:
    """What became of a bag.

    Attributes:
        bag: its path.
        episode: the episode's folder, or None when it gave none.
        num_frames: frames of the episode.
        cameras: topic to camera name.
        clock: which times were used.
        largest_offset: seconds between a frame's image and its other parts, at most.
        gaps: stretches without frames.
        problem: why there is no episode, or None.
        broken: messages that could not be read.
    """

    bag: Path
    episode: Path | None = None
    num_frames: int = 0
    cameras: dict[str, str] = field(default_factory=dict)
    clock: str = ""
    largest_offset: float = 0.0
    gaps: list[Gap] = field(default_factory=list)
    problem: str | None = None
    broken: int = 0

    def __str__(self) -> str:
        if self.problem is not None:
            return f"{self.bag}: no episode: {self.problem}"
        cameras = ", ".join(f"{topic} ({name})" for topic, name in self.cameras.items())
        lines = [
            f"{self.bag} -> {self.episode}: {self.num_frames} frames of {cameras}; {self.clock};"
            f" joints at most {1000 * self.largest_offset:.0f} ms from the image"
        ]
        lines += [f"  gap {gap}" for gap in self.gaps]
        if self.broken:
            lines.append(f"  {self.broken} messages could not be read")
        return "\n".join(lines)


def import_bags(
    path: str | Path,
    output_dir: str | Path,
    *,
    fps: float = 10.0,
    tolerance: float = 0.05,
    image_topics: Sequence[str] = (),
    joint_topic: str | None = None,
    gripper_joint: str = ROS_JOINTS.names[-1],
    gripper: Gripper = OPEN_TO_CLOSED,
    strict: bool = False,
    progress: bool = True,
) -> list[BagReport]:
    """Writes an episode for every bag at `path`, sqlite3 or mcap: `episode_<bag's name>` in `output_dir`.

    At each tick of `fps` the first camera's nearest image is taken, and with it the other cameras' images and the
    joints' positions nearest to it in time. A tick that lacks one within the tolerance is left out, and reported.

    Args:
        path: a bag, or a folder of bags.
        tolerance: seconds.
        image_topics: of Image or CompressedImage; by default the only one.
        joint_topic: of JointState with the six arm joints (radians, found by name) and the gripper's; by default the
            only one.
        gripper: maps the gripper joint's positions to 0..100.
        strict: a gap or a bag without an episode is an error.

    Raises:
        UserError: no bag gave an episode, or a wrong argument; with `strict` any loss.
    """
    if not (0.1 <= fps <= 240 and 0 < tolerance <= 10):
        raise UserError(f"--fps {fps:g} and --tolerance {tolerance:g}: 0.1 to 240 frames a second, at most 10 s")
    bags = find_bags(user_path(path))
    reports = []
    for bag in tqdm(bags, "Reading bags", unit="bag", delay=1, disable=not progress):
        try:
            with BagReader(bag) as reader:
                images = reader.choose(image_topics, "camera images", *IMAGE_TYPES)
                joints = reader.choose([joint_topic] if joint_topic else [], "joint states", JOINTS_TYPE)[0]
                contents = reader.read(images, joints)
                names = ROS_JOINTS.with_gripper_joint(gripper_joint).names
                alignment, clock = _align(bag, contents, names, fps, tolerance)
                reports.append(
                    _write(reader, contents, alignment, clock, names, gripper, Path(output_dir), fps, strict)
                )
        except UserError as error:
            if strict:
                raise
            reports.append(BagReport(bag, problem=str(error).removeprefix(f"{bag}: ")))
    if all(report.episode is None for report in reports):
        raise UserError("\n".join(map(str, reports)))
    return reports


def _align(
    bag: Path, contents: BagContents, names: Sequence[str], fps: float, tolerance: float
) -> tuple[Alignment, str]:
    """The frames, by the times in the headers where all have them and they overlap, else by those of the recorder."""
    if missing := [name for name in names if name not in contents.joints]:
        found = ", ".join(contents.joints) or "no joint"
        raise UserError(f"{bag}: the joint states lack {', '.join(missing)}; they have {found}")
    stamps: dict[str, Stamps] = {**contents.images, **{name: contents.joints[name] for name in names}}
    for clock, streams in (
        ("times of the headers", {name: np.array(stamp.made) for name, stamp in stamps.items()}),
        ("times of the recorder", {name: np.array(stamp.received) for name, stamp in stamps.items()}),
    ):
        streams = {name: np.nan_to_num(times, nan=-np.inf) for name, times in streams.items()}
        if any((times == 0).any() for times in streams.values()):
            continue
        alignment = align(streams, fps, tolerance)
        if len(alignment.times):
            return alignment, clock
    raise UserError(f"{bag}: images and joint states have no time in common within {tolerance:g} s")


def _write(
    reader: BagReader,
    contents: BagContents,
    alignment: Alignment,
    clock: str,
    names: Sequence[str],
    gripper: Gripper,
    output_dir: Path,
    fps: float,
    strict: bool,
) -> BagReport:
    cameras = _camera_names(list(contents.images))
    raw = np.stack([np.array(contents.positions[name])[alignment.chosen[name]] for name in names], axis=1)
    states = to_public_units(raw, "radians", gripper)
    start, gaps = alignment.times[0], list(alignment.gaps)
    if strict and gaps:
        raise UserError(f"{reader.path}: gap {gaps[0]}; convert without --strict to leave it out")
    name = "episode_" + re.sub(r"[^\w-]+", "_", reader.path.stem)
    with EpisodeWriter(output_dir, name) as writer:
        for frame, images in _frames(reader, alignment, list(cameras)):
            decoded = {cameras[topic]: image for topic, image in images.items() if not isinstance(image, str)}
            if wrong := [image for image in images.values() if isinstance(image, str)]:
                time = alignment.times[frame] - start
                gaps.append(Gap(time, time + 1 / fps, wrong[0]))
                continue
            writer.add_frame(
                decoded if len(decoded) > 1 else next(iter(decoded.values())),
                states[frame],
                timestamp=float(alignment.times[frame] - start),
            )
    if writer.num_frames == 0:
        raise UserError(f"{reader.path}: {gaps[-1].reason}, and so with every other image")
    return BagReport(
        reader.path,
        writer.path,
        writer.num_frames,
        cameras,
        clock,
        alignment.largest_offset,
        gaps,
        None,
        contents.broken,
    )


def _frames(
    reader: BagReader, alignment: Alignment, topics: Sequence[str]
) -> Iterator[tuple[int, dict[str, np.ndarray | str]]]:
    """(frame, topic to image) in the order of the frames, as soon as all of a frame's images are read."""
    frames_of: dict[str, dict[int, list[int]]] = {topic: {} for topic in topics}
    for topic in topics:
        for frame, position in enumerate(alignment.chosen[topic].tolist()):
            frames_of[topic].setdefault(position, []).append(frame)
    pending: dict[int, dict[str, np.ndarray | str]] = {}
    following = 0
    for topic, position, image in reader.images({topic: set(frames) for topic, frames in frames_of.items()}):
        for frame in frames_of[topic][position]:
            pending.setdefault(frame, {})[topic] = image
        while len(pending.get(following, ())) == len(topics):
            yield following, pending.pop(following)
            following += 1


def _camera_names(topics: Sequence[str]) -> dict[str, str]:
    """A name for each topic: `image` for the only one, else the first part of the topic, or all where they agree."""
    parts = {topic: re.sub(r"[^\w/-]", "_", topic.strip("/")).split("/") for topic in topics}
    whole = len({first for first, *_ in parts.values()}) < len(topics)
    return camera_columns({topic: "_".join(names) if whole else names[0] for topic, names in parts.items()})
