"""`dp-hf view`: a page that shows recordings, and what is wrong with them."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from dp_hf.cli.arguments import parse, run
from dp_hf.folder_kinds import LEROBOT_INFO
from dp_hf.ranges import Range


@dataclass(kw_only=True)
class View:
    """Write a page that shows recordings: pictures, states and actions over time, and the frames that stand out.

    The page is a folder that any browser opens, from the disk and without a network; it can be copied as it is.
    """

    data_dir: tyro.conf.Positional[Path]
    """folder of episodes, one episode (a recorded run is one too), a converted dataset, or a LeRobot set"""
    output_dir: Path = Path("outputs/view")
    """the page's folder; an earlier page there is replaced"""
    picture_width: Annotated[int, Range(16, 1280)] = 212
    """pixels; an episode of 50 frames takes about 0.2 MB at the default"""


def main(argv: list[str] | None = None) -> int:
    return run(view, parse(View, argv, "dp-hf view"))


def view(arguments: View) -> None:
    from dp_hf.review.page import refuse_to_replace, write_page

    refuse_to_replace(arguments.output_dir)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = arguments.data_dir
        if (data_dir / LEROBOT_INFO).is_file():
            from dp_hf.interop.lerobot.importing import import_lerobot

            data_dir = import_lerobot(data_dir, Path(folder) / "dataset").output_dir
        viewed = write_page(data_dir, arguments.output_dir, arguments.picture_width, str(arguments.data_dir))
    print(f"episodes: {viewed.num_episodes}, to look at: {viewed.num_suspect}")
    print(f"open {viewed.page.resolve().as_uri()}")
