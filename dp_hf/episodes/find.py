"""Finds episode folders and what lies beside them. Links are never followed."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dp_hf.episodes.format import (
    FAILED_PREFIX,
    PARTIAL_SUFFIX,
    SET_ASIDE_FOLDER,
    STATES_FILES,
)
from dp_hf.errors import UserError
from dp_hf.files import is_of_a_mac, user_path
from dp_hf.folder_kinds import SAVED_ROWS, refuse_other_kinds

_MAX_DEPTH = 4
_MAX_MARKER_BYTES = 4096


@dataclass
class Findings:
    """What a data folder holds: episodes in natural order, and everything that is not an episode but tells of one."""

    episodes: list[Path] = field(default_factory=list)
    markers: list[Path] = field(default_factory=list)
    unfinished: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)


def find_episodes(data_dir: str | os.PathLike) -> list[Path]:
    """The episode folders below `data_dir` (or `data_dir` itself), in natural order: episode2 before episode10.

    A folder is an episode when it holds `states.json`, `state.json` or `states.jsonl`, or when its name is "episode"
    with a number. Hidden folders, `_set_aside` and `__MACOSX` are passed over.

    Raises:
        UserError: `data_dir` is no folder.
    """
    return explore(data_dir).episodes


def find_demonstrations(data_dir: str | os.PathLike) -> list[Path]:
    """As `find_episodes`, without those that are marked as failed."""
    markers_in = cache(failure_markers)
    return [path for path in find_episodes(data_dir) if find_failure(path, markers_in(path.parent)) is None]


def explore(data_dir: str | os.PathLike) -> Findings:
    """Like `find_episodes`, with failure markers, unfinished recordings and links.

    Raises:
        UserError: `data_dir` is no folder, or one of another kind, which is named.
    """
    root = user_path(data_dir)
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the folder that holds the episodes")
    if "__MACOSX" in root.resolve().parts:
        raise UserError(
            f"{root} is what a Mac adds to a zip, metadata alone: give the folder that lies beside __MACOSX"
        )
    findings = Findings()
    if _has_states(root):
        findings.episodes.append(root)
    else:
        _explore(root, findings, depth=1)
    if not any(map(_has_states, findings.episodes)):
        refuse_other_kinds(root, "folder of episodes")
    for paths in (findings.episodes, findings.markers, findings.unfinished, findings.links):
        paths.sort(key=_natural)
    return findings


def _explore(folder: Path, findings: Findings, depth: int) -> None:
    try:
        paths = list(folder.iterdir())
    except OSError as error:
        raise UserError(f"cannot look into {folder}: {error.strerror}; change its permissions") from error
    for path in paths:
        if is_of_a_mac(path.name):
            continue
        elif path.name.startswith(FAILED_PREFIX):
            findings.markers.append(path)
        elif path.name == SET_ASIDE_FOLDER or not path.is_dir():
            continue
        elif path.name.startswith("."):
            if path.name.startswith(".episode") and path.name.endswith(PARTIAL_SUFFIX):
                findings.unfinished.append(path)
        elif path.is_symlink():
            findings.links.append(path)
        elif _has_states(path) or re.match(r"episode[_-]?\d", path.name):
            findings.episodes.append(path)
        elif depth < _MAX_DEPTH:
            _explore(path, findings, depth + 1)


def find_failure(episode: Path, beside: Sequence[Path] | None = None) -> str | None:
    """The reason why the recorder gave an episode up, from a `FAILED_EPISODE_*` file inside or beside it, or None.

    Args:
        beside: the `failure_markers` of the folder that it lies in, from who asks for many episodes there.
    """
    beside = failure_markers(episode.parent) if beside is None else beside
    for marker in (*failure_markers(episode), *(each for each in beside if marks(each, episode))):
        return f"{marker.name}: {_text(marker)}".removesuffix(": ")
    return None


def failure_markers(folder: Path) -> list[Path]:
    """The `FAILED_EPISODE_*` files in a folder."""
    return sorted(folder.glob(f"{FAILED_PREFIX}*"))


def marks(marker: Path, episode: Path) -> bool:
    """Whether a failure marker means this episode: it has the episode's time in its name, or its name in the text."""
    if marker.parent == episode:
        return True
    if marker.parent != episode.parent:
        return False
    of_marker, of_episode = (re.sub(r"\D", "", path.name) for path in (marker, episode))
    if of_marker and of_marker == of_episode:
        return True
    # A time without milliseconds (14 digits) still names one episode.
    if min(len(of_marker), len(of_episode)) >= 14 and of_marker[:14] == of_episode[:14]:
        return len(of_marker) == 14 or len(of_episode) == 14
    return re.search(rf"(?<![\w-]){re.escape(episode.name)}(?![\w-])", _text(marker)) is not None


def _text(marker: Path) -> str:
    if marker.is_symlink() or not marker.is_file():
        return ""
    with open(marker, "rb") as file:
        return " ".join(file.read(_MAX_MARKER_BYTES).decode("utf-8", "replace").split())


def _has_states(folder: Path) -> bool:
    # `datasets` has a state.json too, in the folders of its save_to_disk.
    return any((folder / name).is_file() for name in STATES_FILES) and not (folder / SAVED_ROWS).is_file()


def _natural(path: Path) -> list:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(path))]
