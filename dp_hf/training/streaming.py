"""Training on a Hub dataset without a copy of it: it is read once as a stream, and only resized frames are kept."""

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from dp_hf.episodes.cells import cell_picture, undecoded
from dp_hf.episodes.dataset import is_hub_id, load_dataset_folder
from dp_hf.episodes.dataset_writer import DatasetWriter
from dp_hf.episodes.images import png_bytes
from dp_hf.episodes.rows import require_in_order
from dp_hf.errors import UserError
from dp_hf.files import cache_root
from dp_hf.hub.repository import hub_errors, latest_commit
from dp_hf.models.digest import digest_of
from dp_hf.models.image_processor import preprocess_image
from dp_hf.training.row_cache import digest_preprocessing


def stream_dataset(repo_id: str, image_size: tuple[int, int], cache_dir: Path | None = None) -> Path:
    """A dataset folder in the cache with the rows of a Hub dataset, its images resized as training resizes them.

    Rows are read once for every commit of the repository and every size; the parquet files never touch the disk.

    Args:
        image_size: (height, width) in pixels.
        cache_dir: default $DP_HF_CACHE or ~/.cache/dp_hf.

    Raises:
        UserError: not a dataset on the Hub, the Hub is out of reach, or the stream ended early.
    """
    if not is_hub_id(repo_id):
        raise UserError(f"--streaming reads a dataset on the Hub, USER/NAME; {repo_id or '--data_dir'} is none")
    commit = latest_commit(repo_id, "dataset")
    name = f"{repo_id.replace('/', '--')}-{digest_of(commit, digest_preprocessing(image_size))}"
    folder = cache_root(cache_dir) / "streamed" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            _keep_resized(repo_id, commit, image_size, folder)
    return folder


def _keep_resized(repo_id: str, commit: str | None, image_size: tuple[int, int], target: Path) -> None:
    stream, meta = load_dataset_folder(repo_id, streaming=True, revision=commit)
    stream = undecoded(stream, meta.camera_names)
    writer = DatasetWriter.like(meta, target)
    whole = hub_errors(f"{repo_id} was not read to its end", "train on a local copy")
    earlier: set[int] = set()
    with whole, writer, tqdm(total=meta.num_frames, desc="Streaming", unit="frame") as bar:
        for index, rows in groupby(stream, lambda row: row["episode_index"]):
            if index not in range(len(meta.episodes)):
                raise UserError(f"{repo_id} has rows of episode {index}, its meta.json names {len(meta.episodes)}")
            columns: dict[str, list] = {name: [] for name in stream.features}
            for row in rows:
                row |= {camera: _resized(row, camera, image_size) for camera in meta.camera_names}
                for name, column in columns.items():
                    column.append(row[name])
                bar.update()
            if absent := [name for name, column in columns.items() if None in column]:
                raise UserError(f"{repo_id}: column {absent[0]} has rows without a value; convert the recording again")
            require_in_order(np.array(columns["episode_index"]), np.array(columns["frame_index"]), repo_id, earlier)
            earlier.add(index)
            images = {camera: columns[camera] for camera in meta.camera_names}
            numbers = (columns["state"], columns["action"], columns["timestamp"])
            actors = columns["actor"] if meta.has_actors else None
            writer.add_episode(meta.episodes[index], images, *numbers, actor=actors)
        writer.warnings = meta.warnings or writer.warnings
        if writer.num_frames != meta.num_frames:
            raise UserError(f"{repo_id} gave {writer.num_frames} rows, its meta.json says {meta.num_frames}: try again")


def _resized(row: dict[str, Any], camera: str, image_size: tuple[int, int]) -> bytes:
    image = cell_picture(row[camera], camera)
    return png_bytes(Image.fromarray(preprocess_image(image, image_size).permute(1, 2, 0).numpy()))
