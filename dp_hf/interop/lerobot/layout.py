"""Where the files of a LeRobot dataset are, and what its `meta/info.json` says of its columns."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dp_hf.arms.quantities import UNITS
from dp_hf.episodes.problems import shorten
from dp_hf.errors import UserError
from dp_hf.files import inside, leads_out, read_json

VERSION = "v3.0"
INFO_FILE = "meta/info.json"
STATS_FILE = "meta/stats.json"
TASKS_FILE = "meta/tasks.parquet"
EPISODES_FILE = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_FILE = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
# All of them, of every version; where LeRobot, `datasets` and our import look for rows.
DATA_FILES = "data/*/*.parquet"
VIDEO_FILE = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
VIDEO_FILE_V2 = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
FILES_IN_CHUNK = 1000

STATE, ACTION = "observation.state", "action"
IMAGE_PREFIX = "observation.images."
# A column that our own exports add to the list of episodes and LeRobot passes over: their names here, by which parts of
# one recording are known.
EPISODE_NAME = "dp_hf/name"
# Columns that every dataset has besides states, actions and images: name to type.
INDEX_COLUMNS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


@dataclass(frozen=True)
class LeRobotInfo:
    """The parts of `meta/info.json` that are read.

    Attributes:
        root: the dataset's folder.
        version: (3, 0), (2, 1) or (2, 0).
        fps: frames a second.
        features: column name to {"dtype", "shape", "names", ...}.
        video_path: template of the video files.
        state_column, action_column: the columns that are the state and the action.
        splits: name to the episodes that it names.
        files_in_chunk: of v2.x, episodes in a folder of videos.
        totals: what it says of `total_episodes` and `total_frames`, where it does.
    """

    root: Path
    version: tuple[int, int]
    fps: float
    features: dict[str, dict[str, Any]]
    video_path: str
    state_column: str = STATE
    action_column: str = ACTION
    splits: dict[str, range] = field(default_factory=dict)
    files_in_chunk: int = FILES_IN_CHUNK
    totals: dict[str, int] = field(default_factory=dict)

    @property
    def cameras(self) -> dict[str, str]:
        """Every camera's column to its kind, `image` (in the data files) or `video`; depth maps are none."""
        return {
            name: feature["dtype"]
            for name, feature in self.features.items()
            if feature["dtype"] in ("image", "video") and not _is_depth(feature)
        }

    def names(self, column: str) -> list[str] | None:
        """What it calls a vector's elements; None where it has no names."""
        return _flat_names(self.features.get(column, {}).get("names"))

    def units(self, column: str) -> list[str] | None:
        """The units of a vector's elements, where our own export has written them."""
        units = self.features.get(column, {}).get("units")
        return units if isinstance(units, list) and all(unit in UNITS for unit in units) else None

    def path(self, template: str, **values: int | str) -> Path:
        """A file's path by a template of `info.json`.

        Raises:
            UserError: the template has other fields, or its path leaves the dataset's folder.
        """

        def fill(match: re.Match) -> str:
            value = values.get(match[1])
            if value is None:
                raise UserError(f"{self.root / INFO_FILE}: the path {shorten(template)} has the field {match[1]!r}")
            return str(value).zfill(int(match[2] or 0))

        filled = re.sub(r"\{(\w+)(?::0?(\d)d)?\}", fill, template)
        try:
            if set(filled).isdisjoint("{}"):
                return inside(self.root, filled)
        except UserError as error:
            raise _leaves(self.root / INFO_FILE, template) from error
        raise _leaves(self.root / INFO_FILE, template)


def read_info(root: Path, state_column: str = STATE, action_column: str = ACTION) -> LeRobotInfo:
    """Reads and checks `meta/info.json`.

    Args:
        root: the dataset's folder.
        state_column, action_column: what the set calls its states and actions.

    Raises:
        UserError: it is absent or broken, of another version, or does not describe a robot's dataset; says why.
    """
    if state_column == action_column:
        raise UserError(f"{state_column} cannot be the state and the action: give two columns")
    file = root / INFO_FILE
    if not root.is_dir():
        raise UserError(
            f"{root} is not a folder; `hf download USER/NAME --repo-type dataset --local-dir DIR` gets one from the Hub"
        )
    if not file.is_file():
        raise UserError(f"{root} is no LeRobot dataset: it has no {INFO_FILE}")
    info = read_json(file)
    match = re.fullmatch(r"v?(\d+)\.(\d+)(\.\d+)?", str(info.get("codebase_version")))
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version[0] not in (2, 3):
        found = shorten(info.get("codebase_version"))
        raise UserError(f"{file}: codebase_version is {found}; v2.0, v2.1 and v3.0 are read: convert it with LeRobot")
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1000:
        raise UserError(f"{file}: fps is {shorten(fps)}, not a number of frames a second")
    features = _features(info.get("features"), file)
    for name in (*features, info.get("data_path"), info.get("video_path")):
        if isinstance(name, str) and leads_out(name):
            raise _leaves(file, name)
    return LeRobotInfo(
        root=root,
        version=version,
        fps=float(fps),
        features=features,
        state_column=state_column,
        action_column=action_column,
        splits=_splits(info.get("splits"), file),
        video_path=str(info.get("video_path") or (VIDEO_FILE if version[0] == 3 else VIDEO_FILE_V2)),
        files_in_chunk=info["chunks_size"] if _is_count(info.get("chunks_size"), least=1) else FILES_IN_CHUNK,
        totals={name: info[name] for name in ("total_episodes", "total_frames") if _is_count(info.get(name))},
    )


def column_of(camera: str) -> str:
    """Our image column for a LeRobot camera among several: its name without dots."""
    return re.sub(r"[^\w-]", "_", camera.removeprefix(IMAGE_PREFIX).removeprefix("observation."))


def _leaves(file: Path, template: str) -> UserError:
    return UserError(f"{file}: the path {shorten(template)} leaves the dataset's folder")


def _features(features: Any, file: Path) -> dict[str, dict[str, Any]]:
    if not isinstance(features, dict) or not all(
        isinstance(feature, dict) and isinstance(feature.get("dtype"), str) for feature in features.values()
    ):
        raise UserError(f"{file}: features is {shorten(features)}, not a dtype and a shape for every column")
    return features


def _splits(splits: Any, file: Path) -> dict[str, range]:
    """Such as {"train": "0:8", "test": "8:10"}, which count episodes; the end is excluded."""
    if splits is None:
        return {}
    if not isinstance(splits, dict):
        raise UserError(f"{file}: splits is {shorten(splits)}, not a range of episodes for every name")
    found = {}
    for name, text in splits.items():
        match = re.fullmatch(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*", text) if isinstance(text, str) else None
        if match is None:
            raise UserError(
                f'{file}: the split {shorten(name)} is {shorten(text)}, not episodes as in "0:8": correct it'
            )
        found[name] = range(int(match[1]), int(match[2]))
    return found


def _flat_names(names: Any) -> list[str] | None:
    """A list of names, which writers also put into a list, into lists by kind (of motor), or beside their positions."""
    if isinstance(names, dict):
        if names and all(_is_count(position) for position in names.values()):
            names = sorted(names, key=names.__getitem__)
        elif len(names) == 1:
            names = next(iter(names.values()))
        elif all(isinstance(part, list) for part in names.values()):
            names = [f"{kind}.{name}" for kind, part in names.items() for name in part]
        else:
            names = list(names)
    if isinstance(names, list) and len(names) == 1 and isinstance(names[0], list):
        names = names[0]
    return names if isinstance(names, list) and names and all(isinstance(name, str) for name in names) else None


def _is_depth(feature: dict[str, Any]) -> bool:
    info = feature.get("info") or feature.get("video_info") or {}
    return isinstance(info, dict) and bool(info.get("video.is_depth_map") or info.get("is_depth_map"))


def _is_count(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
