"""`dp-hf convert-episodes`: turn episode folders into a dataset, and push it; to and from other formats."""

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dp_hf.cli.arguments import parse, run
from dp_hf.episodes.format import DEFAULT_FPS


@dataclass
class ConvertEpisodes:
    """Turn recorded episode folders into a dataset: parquet with embedded images, meta.json and a dataset card.

    Exit codes: 0 converted, 2 wrong input or nothing usable. Bad episodes and frames are left out and listed.
    Options that a format has no use for are refused.
    """

    data_dir: Path
    """folder of episodes, or one episode; with --from or --to what they say"""
    output_dir: Path
    """folder for the dataset; an earlier dataset there is replaced once the new one is complete"""
    source: Annotated[Literal["episodes", "lerobot", "rosbag"], tyro.conf.arg(name="from")] = "episodes"
    """lerobot: DATA_DIR is a LeRobot dataset, v3.0 or v2.x (videos need the extra lerobot), of any state and action.
    rosbag: it is a ROS 2 bag or a folder of bags (extra ros2), and OUTPUT_DIR becomes a folder of episodes"""
    target: Annotated[Literal["dataset", "lerobot"], tyro.conf.arg(name="to")] = "dataset"
    """lerobot: OUTPUT_DIR becomes a new LeRobot v3.0 dataset; DATA_DIR may be a dataset folder or Hub dataset too"""
    task: str = ""
    """--to lerobot: what the robot does, in words"""
    image_topics: tuple[str, ...] = ()
    """--from rosbag: topics of Image or CompressedImage, one a camera; by default the only one"""
    joint_topic: str | None = None
    """--from rosbag: topic of JointState; by default the only one"""
    gripper_joint: str = "gripper_controller"
    """--from rosbag: name of the gripper's joint, by default from -0.5 (closed) to 0 (open) rad: see --gripper_range"""
    tolerance: float = 0.05
    """--from rosbag: seconds between a tick of --fps (default 10) and its image, and between an image and its joints"""
    videos: bool = False
    """--to lerobot: encode the images into H.264 videos (extra lerobot) instead of embedding them unchanged"""
    angle_unit: Literal["auto", "degrees", "radians"] = "auto"
    """unit of the recorded angles; auto detects it for the whole data set"""
    fps: float | None = None
    """recorded frames a second; by default from the timestamps, or 10 where there are none"""
    frame_skip: int = 1
    """keep every n-th frame, from the first. 1 keeps all: training has its own --frame_skip, which takes rows from
    the dataset and makes their actions anew"""
    action_offset: int = 1
    """the action is the state that many kept frames later; 0 is the state in the same image, as the reference has it"""
    action_source: Literal["auto", "recorded", "state"] = "auto"
    """recorded: the commands in the frames; state: later states; auto: recorded when all frames have one"""
    gripper_open: Literal["high", "low"] = "high"
    """which end of the recorded gripper values is the open gripper"""
    gripper_range: tuple[float, float] = (0.0, 100.0)
    """recorded gripper values, lowest and highest, that become 0..100; -0.5 0 for a gripper commanded in radians"""
    cameras: tuple[str, ...] = ()
    """cameras to convert; by default all that most episodes have"""
    strict: bool = False
    """a bad episode or frame is an error"""
    push_to_hub: str | None = None
    """also upload the dataset to this repository, USER/NAME"""
    private: bool | None = None
    """visibility of a new repository; by default the account's own setting"""


def main(argv: list[str] | None = None) -> int:
    return run(convert, parse(ConvertEpisodes, argv, "convert-episodes"))


def convert(arguments: ConvertEpisodes) -> None:
    from dp_hf.episodes.conversion import convert_episodes
    from dp_hf.errors import UserError
    from dp_hf.interop.lerobot.importing import import_lerobot

    if arguments.source != "episodes" and arguments.target != "dataset":
        raise UserError("give one of --from and --to; convert in two steps for both")
    if arguments.target == "lerobot":
        _to_lerobot(arguments)
        return
    if arguments.source == "rosbag":
        _from_rosbag(arguments)
        return
    if arguments.source == "lerobot":
        _refuse_others(arguments, {"cameras", "strict", "push_to_hub", "private"}, "--from lerobot")
        print(import_lerobot(arguments.data_dir, arguments.output_dir, arguments.cameras or None, arguments.strict))
    else:
        _refuse_others(arguments, {*_RECORDING_OPTIONS, "push_to_hub", "private"}, "a folder of episodes")
        print(convert_episodes(arguments.data_dir, arguments.output_dir, **_recording_options(arguments)))
    if arguments.push_to_hub is not None:
        _push(arguments.output_dir, arguments.push_to_hub, arguments.private)


def _from_rosbag(arguments: ConvertEpisodes) -> None:
    from dp_hf.episodes.units import Gripper
    from dp_hf.interop.rosbag.importing import OPEN_TO_CLOSED, import_bags

    topics = {"image_topics", "joint_topic", "gripper_joint", "tolerance"}
    _refuse_others(arguments, {*topics, "fps", "gripper_open", "gripper_range", "strict"}, "--from rosbag")
    gripper = Gripper(arguments.gripper_open, arguments.gripper_range)
    reports = import_bags(
        arguments.data_dir,
        arguments.output_dir,
        fps=DEFAULT_FPS if arguments.fps is None else arguments.fps,
        gripper=OPEN_TO_CLOSED if gripper == Gripper() else gripper,
        strict=arguments.strict,
        **{name: getattr(arguments, name) for name in sorted(topics)},
    )
    print("\n".join(map(str, reports)))
    print(f"{arguments.output_dir} is a folder of episodes: train on it, or convert it to a dataset")


def _to_lerobot(arguments: ConvertEpisodes) -> None:
    from dp_hf.episodes.dataset import is_hub_id, load_dataset_folder, open_data
    from dp_hf.episodes.metadata import META_FILE
    from dp_hf.interop.lerobot.exporting import export_lerobot

    if is_hub_id(arguments.data_dir) or (arguments.data_dir / META_FILE).is_file():
        _refuse_others(arguments, {"task", "videos"}, "a dataset that is converted already")
        dataset, meta = load_dataset_folder(arguments.data_dir)
    else:
        _refuse_others(arguments, {*_RECORDING_OPTIONS, "task", "videos"}, "--to lerobot")
        dataset, meta = open_data(arguments.data_dir, **_recording_options(arguments))
    export_lerobot(dataset, meta, arguments.output_dir, arguments.task, arguments.videos)
    print(f"{arguments.output_dir}: LeRobot v3.0, episodes: {len(meta.episodes)}, rows: {meta.num_frames}")


_RECORDING_OPTIONS = (
    "angle_unit",
    "fps",
    "frame_skip",
    "action_offset",
    "action_source",
    "gripper_open",
    "gripper_range",
    "cameras",
    "strict",
)


def _recording_options(arguments: ConvertEpisodes) -> dict[str, Any]:
    """The arguments of `convert_episodes` that say how a recording is to be read."""
    from dp_hf.episodes.units import Gripper

    options = {name: getattr(arguments, name) for name in _RECORDING_OPTIONS}
    options["gripper"] = Gripper(options.pop("gripper_open"), options.pop("gripper_range"))
    options["cameras"] = options["cameras"] or None
    return options


def _refuse_others(arguments: ConvertEpisodes, known: set[str], what: str) -> None:
    """Raises a UserError for an option that was given and has no use here."""
    from dp_hf.errors import UserError

    always = {"data_dir", "output_dir", "source", "target"}
    for field in fields(arguments):
        if field.name not in known | always and getattr(arguments, field.name) != field.default:
            raise UserError(f"--{field.name} has no meaning for {what}: leave it out")


def _push(dataset: Path, repo_id: str, private: bool | None) -> None:
    from dp_hf.errors import UserError
    from dp_hf.hub.repository import upload_folder

    try:
        print(f"pushed to {upload_folder(dataset, repo_id, 'dataset', private=private)}")
    except UserError as error:
        raise UserError(f"{dataset} is complete, but was {error}") from error


if __name__ == "__main__":
    sys.exit(main())
