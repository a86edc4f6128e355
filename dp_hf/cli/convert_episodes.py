"""`dp-hf convert-episodes`: turn episode folders into a dataset, and push it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dp_hf.cli.arguments import parse, run


@dataclass
class ConvertEpisodes:
    """Turn recorded episode folders into a dataset: parquet with embedded images, meta.json and a dataset card.

    Exit codes: 0 converted, 2 wrong input or nothing usable. Bad episodes and frames are left out and listed.
    """

    data_dir: Path
    """folder of episodes, or one episode"""
    output_dir: Path
    """folder for the dataset; an earlier dataset there is replaced once the new one is complete"""
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


def convert(arguments: ConvertEpisodes) -> int:
    from dp_hf.episodes.conversion import convert_episodes
    from dp_hf.episodes.units import Gripper

    report = convert_episodes(
        arguments.data_dir,
        arguments.output_dir,
        angle_unit=arguments.angle_unit,
        fps=arguments.fps,
        frame_skip=arguments.frame_skip,
        action_offset=arguments.action_offset,
        action_source=arguments.action_source,
        gripper=Gripper(arguments.gripper_open, arguments.gripper_range),
        cameras=arguments.cameras or None,
        strict=arguments.strict,
    )
    print(report)
    if arguments.push_to_hub is not None:
        _push(arguments.output_dir, arguments.push_to_hub, arguments.private)
    return 0


def _push(dataset: Path, repo_id: str, private: bool | None) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    from dp_hf.errors import UserError
    from dp_hf.hub.push import push_folder

    try:
        print(f"pushed to {push_folder(dataset, repo_id, 'dataset', private=private)}")
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = f"{dataset} is complete, but was not uploaded to {repo_id}: {error}"
        raise UserError(f"{reason}; log in with `hf auth login`, then `dp-hf push-to-hub`") from error


if __name__ == "__main__":
    sys.exit(main())
