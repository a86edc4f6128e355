"""`dp-hf convert-episodes`: episode folders to a dataset; with a word before the options, from and to other formats."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.worker_arguments import WorkerArguments
from dp_hf.episodes.format import DEFAULT_FPS
from dp_hf.errors import UserError
from dp_hf.interop.rosbag.alignment import TickRate, Tolerance
from dp_hf.ranges import Range


@dataclass
class RecordingOptions:
    """How a folder of episodes is read."""

    angle_unit: Literal["auto", "degrees", "radians"] = "auto"
    """unit of the recorded angles; auto detects it for the whole data set"""
    fps: Annotated[float, Range(above=0, high=100_000)] | None = None
    """recorded frames a second, evenly spaced; by default from the timestamps, or 10 where there are none"""
    frame_skip: Annotated[int, Range(1)] = 1
    """keep every n-th frame, from the first. 1 keeps all: training has its own --frame_skip, which takes rows from
    the dataset and makes their actions anew"""
    action_offset: Annotated[int, Range(0)] = 1
    """the action is the state that many kept frames later; 0 is the state in the same image, as the reference has it.
    Recorded commands have none"""
    action_source: Literal["auto", "recorded", "state"] = "auto"
    """recorded: the commands in the frames; state: later states; auto: recorded when all frames have one"""
    gripper_open: Literal["high", "low"] = "high"
    """which end of the recorded gripper values is the open gripper"""
    gripper_range: tuple[Annotated[float, Range()], Annotated[float, Range()]] = (0.0, 100.0)
    """recorded gripper values, lowest and highest, that become 0..100; -0.5 0 for a gripper commanded in radians"""
    camera_names: tuple[str, ...] = ()
    """cameras to convert; by default all that most episodes have"""
    unwrap_angles: bool = False
    """let joint angles that wrap go on, as in 179, 181 degrees in place of 179, -179; the commands too"""
    strict: bool = False
    """a bad episode or frame is an error, and so is every warning, such as an assumed rate"""

    def conversion(self) -> dict[str, Any]:
        """The arguments of `convert_episodes` that differ from its defaults."""
        from dp_hf.episodes.units import Gripper

        options = {name: value for name, value in vars(self).items() if value != getattr(RecordingOptions, name)}
        if "camera_names" in options:
            options["cameras"] = options.pop("camera_names")
        gripper = {name: options.pop(f"gripper_{name}") for name in ("open", "range") if f"gripper_{name}" in options}
        if gripper:
            options["gripper"] = Gripper(**gripper)
        return options


@dataclass
class UploadOptions:
    """The dataset on the Hub."""

    push_to_hub: str | None = None
    """also upload the dataset to this repository, USER/NAME"""
    private: bool | None = None
    """visibility of a new repository; by default the account's own setting"""

    def upload(self, dataset: Path) -> None:
        """Uploads the dataset, if that was asked for."""
        from dp_hf.hub.upload import upload_folder

        if self.push_to_hub is None:
            return
        try:
            print(f"pushed to {upload_folder(dataset, self.push_to_hub, private=self.private).commit_url}")
        except UserError as error:
            raise UserError(f"{dataset} is complete, but was {error}") from error


@dataclass
class ConvertEpisodes:
    """Turn recorded episode folders into a dataset: parquet with embedded images, meta.json and a dataset card.

    Other formats are chosen by a word before the options, and have a --help of their own: `convert-episodes
    from-lerobot`, `from-rosbag`, `to-lerobot`.

    Exit codes: 0 converted, 2 wrong input or nothing usable. Bad episodes and frames are left out and listed.
    """

    data_dir: Path
    """folder of episodes, or one episode"""
    output_dir: Path
    """folder for the dataset; an earlier dataset there is replaced once the new one is complete"""
    recording: RecordingOptions = field(default_factory=RecordingOptions)
    spread: WorkerArguments = field(default_factory=WorkerArguments)
    hub: UploadOptions = field(default_factory=UploadOptions)

    def convert(self) -> None:
        from dp_hf.episodes.conversion import convert_episodes

        workers = self.spread.workers([self.data_dir], [self.output_dir])
        print(convert_episodes(self.data_dir, self.output_dir, **self.recording.conversion(), workers=workers))
        self.hub.upload(self.output_dir)


@dataclass
class FromLeRobot:
    """Turn a LeRobot dataset, v3.0 or v2.x, of any state and action, into a dataset of ours."""

    data_dir: Path
    """folder of the LeRobot dataset; its videos need the extra lerobot"""
    output_dir: Path
    """folder for the dataset; an earlier dataset there is replaced once the new one is complete"""
    units: tuple[str, ...] = ()
    """what the numbers are in (degrees, radians, metres, 0..100, none): one for all, one for each number of a state and
    an action alike, or one for each of the state and then each of the action; by default what our own export has
    written into the set, else unknown"""
    state_column: str = "observation.state"
    """column of the states"""
    action_column: str = "action"
    """column of the actions; without it states become actions, unless another column is called so"""
    splits: tuple[str, ...] = ()
    """splits of its info.json to convert, by name or all; by default every episode but those of other splits than
    train, which are named"""
    unwrap_angles: bool = False
    """let joint angles that wrap go on, as in 179, 181 degrees in place of 179, -179; the actions too"""
    camera_names: tuple[str, ...] = ()
    """cameras to convert (observation.images.NAME); by default all whose images are there"""
    strict: bool = False
    """a bad episode is an error, and so is one that looks wrong"""
    hub: UploadOptions = field(default_factory=UploadOptions)

    def convert(self) -> None:
        from dp_hf.interop.lerobot.importing import import_lerobot

        report = import_lerobot(
            self.data_dir,
            self.output_dir,
            self.camera_names or None,
            self.strict,
            units=self.units or None,
            state_column=self.state_column,
            action_column=self.action_column,
            splits=self.splits or None,
            unwrap_angles=self.unwrap_angles,
        )
        print(report)
        self.hub.upload(self.output_dir)


@dataclass
class FromRosbag:
    """Turn ROS 2 bags, sqlite3 or mcap, into a folder of episodes, one for each bag, or part between clock jumps.

    Needs the extra ros2, and no ROS.
    """

    data_dir: Path
    """a bag, or a folder of bags"""
    output_dir: Path
    """folder of episodes"""
    fps: TickRate = DEFAULT_FPS
    """frames a second of the episodes"""
    tolerance: Tolerance = 0.05
    """seconds between a tick of --fps and its image, and between an image and its joints"""
    image_topics: tuple[str, ...] = ()
    """topics of Image or CompressedImage, one a camera; by default the only one"""
    joint_topics: tuple[str, ...] = ()
    """topics of JointState, which together have all joints; by default the only one"""
    arm: str | None = None
    """YAML file that describes the arm, or the name of one that comes with dp_hf, such as so101; default a myCobot
    280"""
    angle_unit: Literal["auto", "radians", "degrees"] = "auto"
    """unit of the arm joints' positions; auto takes them for radians, as ROS has them, and refuses a bag in which they
    cannot be"""
    gripper_joint: str | None = None
    """name of the gripper's joint; default the arm's own"""
    gripper_open: Literal["high", "low"] | None = None
    """which end of the gripper's range is the open gripper; default as the arm has it, of a myCobot high"""
    gripper_range: tuple[Annotated[float, Range()], Annotated[float, Range()]] | None = None
    """lowest and highest position of the gripper's joint, which become 0..100; default the arm's own, of a myCobot -0.5
    0"""
    strict: bool = False
    """a gap, messages that are of no use, or a bag without an episode is an error"""

    def convert(self) -> None:
        from dp_hf.arms.arm_file import read_arm
        from dp_hf.arms.mycobot_280 import MYCOBOT_280
        from dp_hf.cli.recipes import find_recipe
        from dp_hf.interop.rosbag.importing import import_bags

        arm = MYCOBOT_280 if self.arm is None else read_arm(find_recipe("arms", self.arm))
        reports = import_bags(
            self.data_dir,
            self.output_dir,
            fps=self.fps,
            tolerance=self.tolerance,
            image_topics=self.image_topics,
            joint_topics=self.joint_topics,
            angle_unit=self.angle_unit,
            arm=arm,
            gripper_joint=self.gripper_joint,
            gripper_open=self.gripper_open,
            gripper_range=self.gripper_range,
            strict=self.strict,
        )
        print("\n".join(map(str, reports)))
        print(f"{self.output_dir} is a folder of episodes: train on it, or convert it to a dataset")


@dataclass
class ToLeRobot:
    """Turn episodes, or a dataset of ours, into a new LeRobot v3.0 dataset."""

    data_dir: Path
    """folder of episodes, folder of a dataset, or dataset on the Hub"""
    output_dir: Path
    """folder for the LeRobot dataset"""
    task: str = ""
    """what the robot does, in words"""
    videos: bool = False
    """encode the images into H.264 videos (extra lerobot) instead of embedding them unchanged"""
    recording: RecordingOptions = field(default_factory=RecordingOptions)

    def convert(self) -> None:
        from dp_hf.episodes.dataset import open_data
        from dp_hf.hub.card import license_of
        from dp_hf.interop.lerobot.exporting import export_lerobot

        dataset, meta = open_data(self.data_dir, **self.recording.conversion())
        export_lerobot(dataset, meta, self.output_dir, self.task, self.videos, license=license_of(self.data_dir))
        print(f"{self.output_dir}: LeRobot v3.0, episodes: {len(meta.episodes)}, rows: {meta.num_frames}")


FORMATS = {"from-lerobot": FromLeRobot, "from-rosbag": FromRosbag, "to-lerobot": ToLeRobot}


def main(argv: list[str] | None = None) -> int:
    return run(parse_and_convert, sys.argv[1:] if argv is None else argv)


def parse_and_convert(argv: Sequence[str]) -> None:
    argv = format_first(argv)
    command = "dp-hf convert-episodes"
    arguments: Any = ConvertEpisodes
    if argv and argv[0] in FORMATS:
        command, arguments, argv = f"{command} {argv[0]}", FORMATS[argv[0]], argv[1:]
    old_names = {"cameras": "camera_names", "joint_topic": "joint_topics"}
    parse(arguments, argv, command, grouped=True, old_names=old_names).convert()


def format_first(argv: Sequence[str]) -> list[str]:
    """The arguments, with a format that is given as `--from lerobot` or `--to lerobot` as its word in front."""
    parser = argparse.ArgumentParser("dp-hf convert-episodes", add_help=False, allow_abbrev=False)
    parser.add_argument("--from", dest="source", choices=["episodes", "lerobot", "rosbag"], default="episodes")
    parser.add_argument("--to", dest="target", choices=["dataset", "lerobot"], default="dataset")
    chosen, others = parser.parse_known_args(argv)
    if chosen.source != "episodes" and chosen.target != "dataset":
        raise UserError("give one of --from and --to; convert in two steps for both")
    if chosen.source != "episodes":
        return [f"from-{chosen.source}", *others]
    return [f"to-{chosen.target}", *others] if chosen.target != "dataset" else others
