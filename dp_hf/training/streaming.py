"""Training on a Hub dataset without a copy of it: it is read once as a stream, and only resized frames are kept.

Several processes, of one machine or of several, each read a share of its files.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from dp_hf.episodes.cells import cell_picture, undecoded
from dp_hf.episodes.dataset import features_of_dataset, is_hub_id, load_dataset_folder
from dp_hf.episodes.dataset_card import write_dataset_card
from dp_hf.episodes.episode_rows import EpisodeRows, write_rows
from dp_hf.episodes.images import ImageFile, png_bytes
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.episodes.parquet import DATA_FOLDER, ParquetShards
from dp_hf.episodes.rows import require_in_order
from dp_hf.errors import UserError
from dp_hf.files import cache_root, folder_written_beside, make_in_cache
from dp_hf.hub.repository import hub_errors, latest_commit
from dp_hf.models.digest import digest_of
from dp_hf.models.image_processor import preprocess_image
from dp_hf.training.row_cache import digest_preprocessing

_PART = "part.json"


@dataclass(frozen=True)
class Share:
    """Which of the processes of a run this is; `wait` returns when all of them have called it."""

    rank: int = 0
    processes: int = 1
    wait: Callable[[], None] = lambda: None


def stream_dataset(
    repo_id: str, image_size: tuple[int, int], cache_dir: Path | None = None, share: Share | None = None
) -> Path:
    """A dataset folder in the cache with the rows of a Hub dataset, its images resized as training resizes them.

    Rows are read once for every commit of the repository and every size; the parquet files never touch the disk. What a
    process has read of its share is there when the run starts again.

    Args:
        image_size: (height, width) in pixels.
        cache_dir: default $DP_HF_CACHE or ~/.cache/dp_hf; one that all processes see.
        share: of this process, where there are several.

    Raises:
        UserError: not a dataset on the Hub, the Hub is out of reach, the stream ended early, or the processes do not
            see one cache.
    """
    if not is_hub_id(repo_id):
        raise UserError(f"--streaming reads a dataset on the Hub, USER/NAME; {repo_id or '--data_dir'} is none")
    share = share or Share()
    commit = latest_commit(repo_id, "dataset")
    name = f"{repo_id.replace('/', '--')}-{digest_of(commit, digest_preprocessing(image_size))}"
    folder = cache_root(cache_dir) / "streamed" / name
    make_in_cache(folder.parent)
    with FileLock(f"{folder}.lock") if share.rank == 0 else nullcontext():
        share.wait()  # the first has the lock: no other run writes here
        is_there = folder.exists()
        if not is_there:
            parts, meta = _keep_share(repo_id, commit, image_size, folder, share)
        share.wait()
        if not is_there and share.rank == 0:
            _join(repo_id, parts, meta, folder)
        share.wait()
    if not folder.exists():
        raise UserError(f"{folder} was made by another machine and is not seen here: --streaming needs one --cache_dir")
    return folder


def _keep_share(
    repo_id: str, commit: str | None, image_size: tuple[int, int], target: Path, share: Share
) -> tuple[list[Path], DatasetMeta]:
    """Writes the rows of this process' share of the files; returns where those of all are kept."""
    stream, meta = load_dataset_folder(repo_id, streaming=True, revision=commit)
    count = min(share.processes, stream.num_shards)
    parts = [target.parent / f"{target.name}.part-{rank}-of-{count}" for rank in range(count)]
    if share.rank < count and not _is_whole(parts[share.rank]):
        part = parts[share.rank]
        shutil.rmtree(part, ignore_errors=True)
        # By files. `split_dataset_by_node` lets each process read all, unless their number divides that of the files.
        files = undecoded(stream.shard(count, share.rank), meta.camera_names)
        whole = hub_errors(f"{repo_id} was not read to its end", "train on a local copy")
        frames = meta.num_frames if count == 1 else None
        bar = tqdm(total=frames, desc="Streaming", unit="frame", disable=share.rank > 0)
        with whole, bar, folder_written_beside(part) as new:
            _keep_resized(files, meta, repo_id, image_size, new, bar)
    return parts, meta


def _keep_resized(
    stream: datasets.IterableDataset,
    meta: DatasetMeta,
    repo_id: str,
    image_size: tuple[int, int],
    folder: Path,
    bar: tqdm,
) -> None:
    features = features_of_dataset(meta)
    frames: dict[int, int] = {}
    with ParquetShards(folder / DATA_FOLDER, features) as shards:
        for index, rows in groupby(stream, lambda row: row["episode_index"]):
            if index not in range(len(meta.episodes)):
                raise UserError(f"{repo_id} has rows of episode {index}, its meta.json names {len(meta.episodes)}")
            columns: dict[str, list] = {name: [] for name in features}
            for row in rows:
                row |= {camera: _resized(row, camera, image_size) for camera in meta.camera_names}
                for name, column in columns.items():
                    column.append(row[name])
                bar.update()
            if absent := [name for name, column in columns.items() if None in column]:
                raise UserError(f"{repo_id}: column {absent[0]} has rows without a value; convert the recording again")
            numbers = {name: np.array(columns[name]) for name in ("episode_index", "frame_index", "timestamp")}
            require_in_order(numbers["episode_index"], numbers["frame_index"], repo_id, frames)
            frames[index] = len(numbers["frame_index"])
            if numbers["frame_index"][0] != 0:
                raise UserError(
                    f"{repo_id}: episode {index} begins in another of its files: stream it with one process"
                )
            states, actions = (np.array(columns[name], np.float32) for name in ("state", "action"))
            pictures = {camera: columns[camera] for camera in meta.camera_names}
            seconds = numbers["timestamp"].astype(np.float64)
            actors = columns.get("actor")
            episode = EpisodeRows(meta.episodes[index], index, pictures, states, actions, seconds, None, actors)
            write_rows(shards, episode, meta.state, has_commands=False)
    files = len([*(folder / DATA_FOLDER).iterdir()])
    (folder / _PART).write_text(json.dumps({"files": files, "frames": frames}), encoding="utf-8")


def _is_whole(part: Path) -> bool:
    """Whether it is there, and none of its files has been moved on by a run that was killed then."""
    if not (part / _PART).is_file():
        return False
    return len([*(part / DATA_FOLDER).glob("*")]) == json.loads((part / _PART).read_text())["files"]


def _join(repo_id: str, parts: list[Path], meta: DatasetMeta, target: Path) -> None:
    if missing := [part for part in parts if not _is_whole(part)]:
        raise UserError(
            f"{missing[0]} is not there, which another process has kept: --streaming needs one --cache_dir that all "
            "machines see"
        )
    frames: dict[str, int] = {}
    for part in parts:
        of_part = json.loads((part / _PART).read_text())["frames"]
        if twice := frames.keys() & of_part.keys():
            raise UserError(
                f"{repo_id}: the rows of episode {min(twice)} lie in two places: stream it with one process"
            )
        frames |= of_part
    if (found := sum(frames.values())) != meta.num_frames:
        raise UserError(f"{repo_id} gave {found} rows, its meta.json says {meta.num_frames}: try again")
    features = features_of_dataset(meta)
    with folder_written_beside(target) as new:
        with ParquetShards(new / DATA_FOLDER, features) as shards:
            for part in parts:
                shards.adopt(part / DATA_FOLDER)
        meta.save(new)
        write_dataset_card(new, meta)
    for part in parts:
        shutil.rmtree(part, ignore_errors=True)


def _resized(row: dict[str, Any], camera: str, image_size: tuple[int, int]) -> ImageFile:
    image = cell_picture(row[camera], camera)
    small = Image.fromarray(preprocess_image(image, image_size).permute(1, 2, 0).numpy())
    return ImageFile(png_bytes(small), small.size)
