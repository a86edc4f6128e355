"""Training on a Hub dataset without a copy of it: it is read once as a stream, and only resized frames are kept."""

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from dp_hf.episodes.dataset import is_hub_id, load_dataset_folder
from dp_hf.episodes.parquet import DATA_FOLDER, ParquetShards
from dp_hf.errors import UserError
from dp_hf.files import cache_root, folder_written_beside
from dp_hf.hub.repository import latest_commit
from dp_hf.models.image_processor import preprocess_image
from dp_hf.training.row_cache import digest_of, digest_preprocessing

ROWS_AT_ONCE = 64


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


def _keep_resized(repo_id: str, commit: str, image_size: tuple[int, int], target: Path) -> None:
    stream, meta = load_dataset_folder(repo_id, streaming=True, revision=commit)
    rows, count = iter(stream), 0
    with folder_written_beside(target) as folder, tqdm(total=meta.num_frames, desc="Streaming", unit="frame") as bar:
        with ParquetShards(folder / DATA_FOLDER, stream.features) as shards:
            while batch := list(islice(rows, ROWS_AT_ONCE)):
                shards.write({name: list(_column(batch, name, image_size)) for name in stream.features})
                count += len(batch)
                bar.update(len(batch))
        if count != meta.num_frames:
            raise UserError(f"{repo_id} gave {count} rows, its meta.json says {meta.num_frames}: try again")
        meta.save(folder)


def _column(rows: list[dict[str, Any]], name: str, image_size: tuple[int, int]) -> Iterator[Any]:
    for row in rows:
        if isinstance(row[name], Image.Image):
            resized = preprocess_image(row[name], image_size).permute(1, 2, 0).numpy()
            encoded = io.BytesIO()
            Image.fromarray(resized).save(encoded, "PNG", compress_level=1)
            yield {"bytes": encoded.getvalue(), "path": None}
        else:
            yield row[name]
