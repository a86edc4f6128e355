"""Loads a dataset for training: from its folder, from the Hub, or straight from a folder of episodes."""

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, overload

import datasets
import numpy as np
import pyarrow as pa
from filelock import FileLock

from dp_hf import __version__
from dp_hf.episodes.actions import (
    actions_from_commands,
    actions_from_states,
    actors_of_kept,
    kept_frames,
    require_offset_in_use,
)
from dp_hf.episodes.conversion import ActionSource, convert_episodes
from dp_hf.episodes.find import explore
from dp_hf.episodes.format import RECORDING_FILE
from dp_hf.episodes.metadata import FORMAT_VERSION, META_FILE, DatasetMeta, column_statistics
from dp_hf.episodes.parquet import DATA_FOLDER, features_of
from dp_hf.episodes.rows import as_lists, numbers_of
from dp_hf.errors import UserError, disk_error
from dp_hf.files import cache_root, full_disk_named, make_in_cache, recover, refuse_pointer, user_path
from dp_hf.folder_kinds import LEROBOT_INFO, refuse_other_kinds
from dp_hf.hub.repository import download_snapshot, hub_errors

_SHARDS = f"{DATA_FOLDER}/train-*.parquet"
# Raised when a conversion makes other rows of the same recording, so that an older copy is not taken for it.
_CONVERSION = 3


@overload
def load_dataset_folder(
    path: str | os.PathLike,
    *,
    streaming: Literal[False] = False,
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
) -> tuple[datasets.Dataset, DatasetMeta]: ...
@overload
def load_dataset_folder(
    path: str | os.PathLike,
    *,
    streaming: Literal[True],
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
) -> tuple[datasets.IterableDataset, DatasetMeta]: ...
def load_dataset_folder(
    path: str | os.PathLike,
    *,
    streaming: bool = False,
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
) -> tuple[Any, DatasetMeta]:
    """Loads a converted dataset with its description.

    Args:
        path: a dataset folder, or the id of a dataset repository on the Hub.
        streaming: read rows as they are asked for, without a copy on the disk.
        revision: branch, tag or commit of a repository.
        cache_dir: where `datasets` keeps its copy of the rows; default $DP_HF_CACHE or ~/.cache/dp_hf. A repository's
            files are in the Hub's own cache (HF_HOME).

    Returns:
        The rows (a `Dataset`, or an `IterableDataset` when streaming) and the description.

    Raises:
        UserError: there is no such folder or repository, or it is not a dataset of this format.
    """
    if is_hub_id(path):
        patterns = [META_FILE, LEROBOT_INFO] if streaming else [META_FILE, LEROBOT_INFO, _SHARDS]
        folder = download_snapshot(str(path), "dataset", revision, patterns)
    else:
        folder = user_path(path)
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder, nor a dataset on the Hub (user/name)")
    if not (folder / META_FILE).is_file():
        refuse_other_kinds(folder, "folder of episodes")
    meta = DatasetMeta.load(folder)
    if streaming and is_hub_id(path):
        with hub_errors(f"{path} cannot be streamed", "give a local folder"):
            dataset = datasets.load_dataset(str(path), split="train", streaming=True, revision=revision)
    else:
        dataset = _load_shards(folder, streaming, cache_root(cache_dir))
    _check_rows(dataset, meta, path)
    return dataset, meta


def open_data(
    data_dir: str | os.PathLike,
    *,
    frame_skip: int | None = None,
    action_offset: int | None = None,
    action_source: ActionSource = "auto",
    cache_dir: str | os.PathLike | None = None,
    report: Callable[[str], None] = print,
    **conversion: Any,
) -> tuple[datasets.Dataset, DatasetMeta]:
    """Opens whatever a user calls data: a converted folder, a dataset on the Hub, or a folder of episodes.

    Episodes are converted into a cache folder, once for every state of their files.

    Args:
        data_dir: folder or repository id.
        frame_skip: of the recording, whatever the dataset has already skipped; default as the dataset is.
        action_offset: actions are the states that many rows later, after skipping; default as the dataset is.
            Recorded actions have none.
        action_source: "state" replaces recorded actions; "recorded" requires them.
        cache_dir: root of the caches; default $DP_HF_CACHE or ~/.cache/dp_hf.
        report: is given the summary when episodes are converted, and the dataset's warnings.
        conversion: further arguments of `convert_episodes`, for a folder of episodes.

    Returns:
        The rows and their description.

    Raises:
        UserError: nothing usable there, or the arguments do not fit the dataset.
    """
    folder = user_path(data_dir)
    if not is_hub_id(data_dir) and not (folder / META_FILE).is_file():
        folder, told = _converted(folder, conversion, cache_root(cache_dir), report)
    elif conversion:
        raise UserError(f"{data_dir} is converted already: {', '.join(conversion)} cannot be chosen any more")
    else:
        told = False
    dataset, meta = load_dataset_folder(data_dir if is_hub_id(data_dir) else folder, cache_dir=cache_dir)
    if not told:
        for warning in meta.warnings:
            report(f"warning: {data_dir}: {warning}")
    return resample(dataset, meta, frame_skip, action_offset, action_source)


def resample(
    dataset: datasets.Dataset,
    meta: DatasetMeta,
    frame_skip: int | None = None,
    action_offset: int | None = None,
    action_source: ActionSource = "auto",
) -> tuple[datasets.Dataset, DatasetMeta]:
    """Skips rows and makes actions anew, without touching the images. Arguments as in `open_data`.

    Raises:
        UserError: the dataset has skipped frames that are asked for, or has no recorded actions, or has them and they
            are given an offset.
    """
    frame_skip = meta.frame_skip if frame_skip is None else frame_skip
    action_offset = meta.action_offset if action_offset is None else action_offset
    source = meta.action_source if action_source == "auto" else action_source
    if action_offset < 0 or frame_skip < 1 or frame_skip % meta.frame_skip:
        raise UserError(
            f"frame_skip {frame_skip} and action_offset {action_offset} do not fit the dataset, which has "
            f"frame_skip {meta.frame_skip}: give a multiple of it, and an offset of at least 0"
        )
    if source == "recorded" and meta.action_source != "recorded":
        raise UserError(f"the dataset of {meta.source} has no recorded actions: use action_source state")
    require_offset_in_use(source, action_offset, meta.action_offset)
    action = meta.action if source == "recorded" else meta.state
    wanted = replace(
        meta,
        frame_skip=frame_skip,
        action_offset=action_offset,
        action_source=source,
        action_names=list(action.names),
        action_units=list(action.units),
    )
    if wanted == meta:
        return dataset, meta

    every = frame_skip // meta.frame_skip
    columns = numbers_of(dataset, meta.source or "the dataset")
    starts = np.flatnonzero(np.diff(columns["episode_index"], prepend=-1))
    kept, states = [], []
    actions = np.zeros((len(columns["action"]), len(action)), dtype=np.float32)
    positions = np.zeros(len(actions), dtype=np.int64)
    for start, end in zip(starts, [*starts[1:], len(actions)], strict=True):
        rows = start + kept_frames(end - start, every)
        if source == "recorded":
            actions[rows] = actions_from_commands(columns["action"][start:end], every)
        else:
            actions[rows] = actions_from_states(columns["state"][start:end], every, action_offset)
        positions[rows] = np.arange(len(rows))
        kept.append(rows)
        states.append(columns["state"][rows])
    rows = np.concatenate(kept)
    features = features_of_dataset(wanted)
    if meta.has_actors and every > 1:
        dataset = _with_actors_of_kept(dataset, [*starts, len(actions)], every)
    dataset = dataset.remove_columns(["action", "frame_index"])
    dataset = dataset.add_column("action", as_lists(actions), feature=features["action"])
    dataset = dataset.add_column("frame_index", positions, feature=features["frame_index"])
    dataset = dataset.select_columns([*features])
    statistics = {
        "state": column_statistics(np.concatenate(states)),
        "action": column_statistics(actions[rows]),
    }
    wanted = replace(wanted, fps=meta.fps / every, num_frames=len(rows), statistics=statistics)
    return dataset.select(rows) if every > 1 else dataset, wanted


def _with_actors_of_kept(dataset: datasets.Dataset, borders: list[int], every: int) -> datasets.Dataset:
    """With who acted from each row that is kept until the next; `borders` are the episodes' first rows, and the end."""
    actors = [*dataset["actor"]]
    for start, end in pairwise(borders):
        actors[start:end:every] = actors_of_kept(actors[start:end], every)
    return dataset.remove_columns("actor").add_column("actor", actors)


def is_hub_id(path: str | os.PathLike) -> bool:
    """Whether `path` can only be a repository id: `user/name`, and no such folder."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", str(path))) and not Path(path).exists()


def _load_shards(folder: Path, streaming: bool, cache: Path) -> Any:
    shards = sorted(map(str, _without_patterns(folder, cache).glob(_SHARDS)))
    if not shards:
        raise UserError(f"{folder} has no {_SHARDS}: convert the recording again")
    for shard in shards:
        refuse_pointer(shard)
    # The Arrow copy of a conversion lies beside it, and is removed with it.
    arrow = f"{folder}-arrow" if folder.is_relative_to(cache) else str(cache / "arrow")
    try:
        with full_disk_named(Path(arrow)):
            return datasets.load_dataset(
                "parquet",
                data_files={"train": shards},
                split="train",
                streaming=streaming,
                cache_dir=arrow,
            )
    except (datasets.exceptions.DatasetGenerationError, pa.ArrowException, OSError) as error:
        if disk_error(error) is not None:
            raise
        reason = error.__cause__ or error
        raise UserError(f"{folder / DATA_FOLDER} cannot be read ({reason}): convert the recording again") from error


def _without_patterns(folder: Path, cache: Path) -> Path:
    """`folder`, or a link to it whose path has no character that `datasets` takes for a pattern."""
    target = folder.absolute()
    if not re.search(r"[][*?{}$%#]|::", str(target)):
        return folder
    link = cache.absolute() / "links" / sha256(os.fsencode(target)).hexdigest()[:16]
    make_in_cache(link.parent)
    with suppress(FileExistsError):
        link.symlink_to(target, target_is_directory=True)
    return link


def features_of_dataset(meta: DatasetMeta) -> datasets.Features:
    """The columns of a dataset's rows."""
    return features_of(meta.camera_names, len(meta.state_names), len(meta.action_names), meta.has_actors)


def _check_rows(dataset: Any, meta: DatasetMeta, path: str | os.PathLike) -> None:
    """Raises a UserError unless the rows are what the description says, with all images inside."""
    for name, feature in features_of_dataset(meta).items():
        if dataset.features is None or dataset.features.get(name) != feature:
            found = None if dataset.features is None else dataset.features.get(name)
            raise UserError(f"{path}: column {name} is {found}, not {feature}; convert the recording again")
    if isinstance(dataset, datasets.IterableDataset):
        return
    if len(dataset) != meta.num_frames:
        raise UserError(f"{path} has {len(dataset)} rows, its {META_FILE} says {meta.num_frames}")
    named = range(len(meta.episodes))
    if unnamed := [index for index in np.unique(numbers_of(dataset, path)["episode_index"]) if index not in named]:
        raise UserError(f"{path} has rows of episode {unnamed[0]}, its {META_FILE} names {len(named)}")
    for camera in meta.camera_names:
        # An image without bytes would be read from whatever path stands beside it.
        if any(chunk.field("bytes").null_count for chunk in dataset.data.column(camera).chunks):
            raise UserError(f"{path}: column {camera} has rows without an embedded image")


def _converted(
    data_dir: Path, conversion: dict[str, Any], cache: Path, report: Callable[[str], None]
) -> tuple[Path, bool]:
    """The converted copy of a folder of episodes, made unless it exists for the present state of its files; and
    whether it was made, and its warnings were reported."""
    findings = explore(data_dir)
    digest = sha256(f"{__version__} {FORMAT_VERSION} {_CONVERSION}".encode())
    recordings = {file for root in findings.episodes if (file := root.parent / RECORDING_FILE).is_file()}
    files = [file for root in findings.episodes for file in root.rglob("*")]
    for path in sorted([*findings.markers, *recordings, *files]):
        status = path.lstat()
        digest.update(
            f"{os.path.relpath(path, data_dir)} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "replace")
        )
    of_folder = sha256(f"{data_dir.resolve()} {sorted(conversion.items())}".encode("utf-8", "replace"))
    name = re.sub(r"[^\w.-]", "_", data_dir.resolve().name)
    copies = cache / "datasets" / f"{name}-{of_folder.hexdigest()[:12]}"
    copy = copies / digest.hexdigest()[:16]
    make_in_cache(copies)
    with FileLock(copies / ".lock"):
        recover(copies)
        if copy.exists():
            report(f"{data_dir} has not changed since its conversion into {copy}")
            return copy, False
        report(str(convert_episodes(data_dir, copy, **conversion)))
        for stale in copies.glob("[0-9a-f]*"):
            if not stale.name.startswith(copy.name):
                shutil.rmtree(stale, ignore_errors=True)
    return copy, True
