"""A dataset of ours to a LeRobot dataset v3.0."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, List, Value
from tqdm import tqdm

from dp_hf.episodes.cells import camera_cells
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.episodes.rows import by_person, numbers_of
from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside, inside, user_path
from dp_hf.hub.card import CARD_FILE
from dp_hf.interop.lerobot import layout
from dp_hf.interop.lerobot.layout import ACTION, EPISODE_NAME, IMAGE_PREFIX, INDEX_COLUMNS, STATE, read_info
from dp_hf.interop.lerobot.sharing import render_card
from dp_hf.interop.lerobot.statistics import ImageHistogram, Statistics, of_rows
from dp_hf.interop.lerobot.video import PIXEL_FORMAT, VideoWriter
from dp_hf.pictures import decode, upright_rgb, upright_size

DATA_FILE_BYTES = 100_000_000
VIDEO_FILE_BYTES = 200_000_000
# As in our own files: no reader takes a group of more than 2 GiB, and memory holds one group.
ROWS_IN_GROUP = 100
EPISODES_IN_GROUP = 100


def export_lerobot(
    dataset: Dataset,
    meta: DatasetMeta,
    output_dir: str | Path,
    task: str = "",
    videos: bool = False,
    progress: bool = True,
    license: str | None = None,
) -> None:
    """Writes a dataset in LeRobot's v3.0 layout, which LeRobot's own loader opens, with its card.

    States, actions and, unless they become videos, images keep every bit. LeRobot's frames are evenly spaced, so the
    timestamps are those of `meta.fps`.

    Args:
        dataset, meta: as `open_data` gives them.
        output_dir: a new folder.
        task: what the robot does, in words.
        videos: encode the images into H.264 videos instead of embedding them.
        progress: show a progress bar.
        license: of the data, for the card: an identifier of the Hub's, such as `mit`; None leaves it open.

    Raises:
        UserError: `output_dir` exists, no person acted in some rows, a state or an action is not finite, the rows of an
            episode are not next to each other, images differ in size, or there is no space.
    """
    target = user_path(output_dir)
    if target.exists():
        raise UserError(f"{target} exists: give a new folder, or move it away")
    if num_others := int((~by_person(dataset, meta.source)).sum()):
        raise UserError(
            f"{meta.source} has {num_others} rows in which no person acted, which LeRobot's columns do not say: they "
            "would count as demonstrations; drop them first, by `dp-hf edit-episodes --drop NAME:FIRST-LAST`"
        )
    columns = numbers_of(dataset, meta.source)
    starts = np.flatnonzero(np.diff(columns["episode_index"], prepend=-1))
    encoded = {name: camera_cells(dataset, [name]) for name in meta.camera_names}
    with folder_written_beside(target) as folder, _Writer(folder, meta, task, videos) as writer:
        ends = [*starts[1:], len(dataset)]
        pairs = tqdm(list(zip(starts, ends, strict=True)), "Writing", unit="episode", delay=1, disable=not progress)
        for start, end in pairs:
            name = meta.episodes[columns["episode_index"][start]]
            writer.add_episode(name, columns["state"][start:end], columns["action"][start:end], encoded, int(start))
        writer.finish()
        card = render_card(read_info(folder), task or meta.source or "Demonstrations", license)
        (folder / CARD_FILE).write_text(card, encoding="utf-8")


@dataclass
class _Writer:
    """Writes episode after episode; `finish` writes what is known only in the end."""

    folder: Path
    meta: DatasetMeta
    task: str
    as_videos: bool
    rows: dict[str, list[np.ndarray]] = field(default_factory=dict)
    histograms: dict[str, ImageHistogram] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    num_episodes: int = 0
    num_frames: int = 0
    _records: list[dict[str, Any]] = field(default_factory=list)
    _episodes: pq.ParquetWriter | None = None
    _data: pq.ParquetWriter | None = None
    _data_file: int = 0
    _data_bytes: int = 0
    _videos: dict[str, VideoWriter] = field(default_factory=dict)
    _video_files: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *exception) -> None:
        for table in (self._data, self._episodes):
            if table is not None:
                table.close()
        for video in self._videos.values():
            video.close()

    @property
    def cameras(self) -> dict[str, str]:
        """Our image column to LeRobot's."""
        return {name: f"{IMAGE_PREFIX}{name}" for name in self.meta.camera_names}

    def add_episode(
        self, name: str, state: np.ndarray, action: np.ndarray, images: dict[str, Dataset], start: int
    ) -> None:
        """Appends an episode; its images are the rows of each camera's `images` from `start`."""
        count, index = len(state), self.num_episodes
        columns = {
            ACTION: action,
            STATE: state,
            "timestamp": np.arange(count, dtype=np.float32) / np.float32(self.meta.fps),
            "frame_index": np.arange(count),
            "episode_index": np.full(count, index),
            "index": np.arange(self.num_frames, self.num_frames + count),
            "task_index": np.zeros(count, dtype=np.int64),
        }
        record: dict[str, Any] = {"episode_index": index, "tasks": [self.task], "length": count, EPISODE_NAME: name}
        statistics = {name: of_rows(values) for name, values in columns.items()}
        histograms = {camera: ImageHistogram() for camera in self.cameras.values()}
        if self.as_videos:
            for name, camera in self.cameras.items():
                record |= self._open_video(camera, images[name][start][name]["bytes"])
        record |= self._open_data()
        for first in range(0, count, ROWS_IN_GROUP):
            rows = slice(first, min(first + ROWS_IN_GROUP, count))
            cells: dict[str, list] = {name: _cells(values[rows]) for name, values in columns.items()}
            for name, camera in self.cameras.items():
                for data, pixels in self._images(images[name], name, start + rows.start, rows.stop - rows.start):
                    histograms[camera].add(pixels)
                    if self.as_videos:
                        self._videos[camera].write(pixels)
                    else:
                        cells.setdefault(camera, []).append({"bytes": data, "path": None})
            self._write_rows(cells)
        for camera, histogram in histograms.items():
            if self.as_videos:
                record[f"videos/{camera}/to_timestamp"] = self._videos[camera].num_frames / self.meta.fps
            statistics[camera] = histogram.statistics()
            self.histograms.setdefault(camera, ImageHistogram()).include(histogram)
        record |= {"dataset_from_index": self.num_frames, "dataset_to_index": self.num_frames + count}
        record |= {f"stats/{name}/{key}": value for name, of in statistics.items() for key, value in of.items()}
        self._records.append(record | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
        if len(self._records) == EPISODES_IN_GROUP:
            self._write_records()
        for name, values in columns.items():
            self.rows.setdefault(name, []).append(values)
        self.num_episodes += 1
        self.num_frames += count

    def finish(self) -> None:
        """Writes everything in `meta`."""
        statistics: dict[str, Statistics] = {
            name: of_rows(np.concatenate(values)) for name, values in self.rows.items()
        }
        statistics |= {name: of.statistics() for name, of in self.histograms.items()}
        self._write_json(layout.INFO_FILE, self._info())
        self._write_json(layout.STATS_FILE, statistics)
        pd.DataFrame({"task_index": [0]}, index=[self.task]).to_parquet(self.folder / layout.TASKS_FILE)
        self._write_records()

    def _info(self) -> dict[str, Any]:
        fps = self.meta.fps
        return {
            "codebase_version": layout.VERSION,
            "robot_type": None,
            "total_episodes": self.num_episodes,
            "total_frames": self.num_frames,
            "total_tasks": 1,
            "chunks_size": layout.FILES_IN_CHUNK,
            "data_files_size_in_mb": DATA_FILE_BYTES // 1_000_000,
            "video_files_size_in_mb": VIDEO_FILE_BYTES // 1_000_000,
            "fps": int(fps) if fps == int(fps) else fps,
            "splits": {"train": f"0:{self.num_episodes}"},
            "data_path": layout.DATA_FILE,
            "video_path": layout.VIDEO_FILE if self.as_videos else None,
            "features": self._features(),
        }

    def _features(self) -> dict[str, dict[str, Any]]:
        features: dict[str, dict[str, Any]] = {
            # LeRobot has no units and passes over them; our import reads them.
            column: {"dtype": "float32", "shape": [len(of)], "names": list(of.names), "units": list(of.units)}
            for column, of in ((ACTION, self.meta.action), (STATE, self.meta.state))
        }
        for camera in self.cameras.values():
            width, height = self.sizes[camera]
            feature = {"shape": [height, width, 3], "names": ["height", "width", "channels"]}
            features[camera] = {"dtype": "image", **feature}
            if self.as_videos:
                features[camera] = {"dtype": "video", **feature, "info": self._video_info(width, height)}
        for name, dtype in INDEX_COLUMNS.items():
            features[name] = {"dtype": dtype, "shape": [1], "names": None}
        return features

    def _video_info(self, width: int, height: int) -> dict[str, Any]:
        return {
            "video.height": height,
            "video.width": width,
            "video.codec": "h264",
            "video.pix_fmt": PIXEL_FORMAT,
            "video.is_depth_map": False,
            "video.fps": self.meta.fps,
            "video.channels": 3,
            "has_audio": False,
        }

    def _images(self, images: Dataset, name: str, start: int, count: int) -> Iterator[tuple[bytes, np.ndarray]]:
        """Each image encoded, and as uint8 (H, W, 3)."""
        camera = self.cameras[name]
        for row in images.select(range(start, start + count)):
            data = row[name]["bytes"]
            try:
                stored = decode(data)
                image = upright_rgb(stored)
            except UserError as error:
                raise UserError(f"an image of {name} {error}") from error
            if self.sizes.setdefault(camera, image.size) != image.size:
                first, other = (f"{width}x{height}" for width, height in (self.sizes[camera], image.size))
                raise UserError(
                    f"images of {name} are {first} and {other}; LeRobot has one size: leave some episodes out"
                )
            if image is not stored:
                encoded = io.BytesIO()
                image.save(encoded, "PNG")
                data = encoded.getvalue()
            yield data, np.asarray(image)

    def _open_data(self) -> dict[str, int]:
        """Readies the present data file, or a new one where that is full; says which. An episode is in one file."""
        if self._data is not None and self._data_bytes > DATA_FILE_BYTES:
            self._data.close()
            self._data, self._data_bytes, self._data_file = None, 0, self._data_file + 1
        place = _place(self._data_file)
        if self._data is None:
            file = self.folder / layout.DATA_FILE.format(**place)
            file.parent.mkdir(parents=True, exist_ok=True)
            self._data = pq.ParquetWriter(file, self._schema())
        return {f"data/{name}": value for name, value in place.items()}

    def _schema(self) -> pa.Schema:
        features: dict[str, Any] = {
            column: Value("float32") if len(names) == 1 else List(Value("float32"), length=len(names))
            for column, names in ((ACTION, self.meta.action_names), (STATE, self.meta.state_names))
        }
        features |= {camera: Image() for camera in self.cameras.values() if not self.as_videos}
        features |= {name: Value(dtype) for name, dtype in INDEX_COLUMNS.items()}
        return Features(features).arrow_schema

    def _write_rows(self, columns: dict[str, list]) -> None:
        """Appends a group of rows to the present data file."""
        assert self._data is not None
        table = pa.Table.from_pydict(columns, schema=self._data.schema)
        self._data.write_table(table)
        self._data_bytes += table.nbytes

    def _write_records(self) -> None:
        """Appends a group of episodes, which have the first one's columns, to what is known of each."""
        if self._records:
            table = pa.Table.from_pylist(self._records, None if self._episodes is None else self._episodes.schema)
            if self._episodes is None:
                file = self.folder / layout.EPISODES_FILE.format(chunk_index=0, file_index=0)
                file.parent.mkdir(parents=True)
                self._episodes = pq.ParquetWriter(file, table.schema)
            self._episodes.write_table(table)
            self._records.clear()

    def _open_video(self, camera: str, first_image: bytes) -> dict[str, Any]:
        """Readies the present video file, or a new one where that is full; says which, and from where."""
        video = self._videos.get(camera)
        if video is not None and video.path.stat().st_size > VIDEO_FILE_BYTES:
            video.close()
            video = None
            self._video_files[camera] += 1
        place = _place(self._video_files.setdefault(camera, 0))
        if video is None:
            size = upright_size(first_image)
            path = inside(self.folder, layout.VIDEO_FILE.format(video_key=camera, **place))
            video = self._videos[camera] = VideoWriter(path, self.meta.fps, size)
        found = {f"videos/{camera}/{name}": value for name, value in place.items()}
        return found | {f"videos/{camera}/from_timestamp": video.num_frames / self.meta.fps}

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=4, ensure_ascii=False), encoding="utf-8")


def _place(number: int) -> dict[str, int]:
    return {"chunk_index": number // layout.FILES_IN_CHUNK, "file_index": number % layout.FILES_IN_CHUNK}


def _cells(values: np.ndarray) -> list:
    return list(values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values)
