"""`dp-hf edit-episodes`: cut, drop, split, join and merge recordings into a new folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from dp_hf.cli.arguments import parse, run
from dp_hf.ranges import Range


@dataclass(kw_only=True)
class EditEpisodes:
    """Make a new folder of episodes, or a new dataset, of others: without idle ends, without what is bad, merged.

    Episodes and frames are called as `check-episodes` and `view` call them. The order is: idle ends, drop, split, join.
    Nothing is changed in place.
    """

    data_dirs: tyro.conf.Positional[tuple[Path, ...]]
    """folders of episodes, or converted datasets; several are merged"""
    output_dir: Path
    """a new folder, of the kind that DATA_DIRS are"""
    cut_idle: Annotated[float, Range(0)] | None = None
    """leave at most so many seconds in which nothing moves at both ends of every episode"""
    drop: tuple[str, ...] = ()
    """episodes to leave out, NAME, or frames of them, NAME:FIRST-LAST; of an episode without frames in its middle two
    parts are left"""
    split: tuple[str, ...] = ()
    """NAME:FRAME, where a new episode begins"""
    join: tuple[str, ...] = ()
    """NAME+NAME, episodes that are one, where the arm goes on from where it was"""


def main(argv: list[str] | None = None) -> int:
    return run(edit_episodes, parse(EditEpisodes, argv, "dp-hf edit-episodes"))


def edit_episodes(arguments: EditEpisodes) -> None:
    from dp_hf.review.editing import edit
    from dp_hf.review.edits import Edits

    edits = Edits(arguments.drop, arguments.split, arguments.join, arguments.cut_idle)
    print(edit(arguments.data_dirs, arguments.output_dir, edits))
