"""What checking, converting and exporting hold in memory hardly grows with the episodes."""

import io
import json
import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from dp_hf.episodes.checks import check_episodes
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.episodes.metadata import column_statistics
from dp_hf.episodes.statistics import Statistics
from dp_hf.interop.lerobot import exporting

FRAMES = 100


def record(data_dir, number):
    """Episodes of tiny pictures, linked to those of the first, with states of their own."""
    rng = np.random.default_rng(0)
    pictures = []
    for shade in (0, 255):
        Image.new("RGB", (8, 8), (shade, 80, 160)).save(file := io.BytesIO(), "png")
        pictures.append(file.getvalue())
    for episode in range(number):
        folder = data_dir / f"episode_{episode}"
        folder.mkdir(parents=True)
        frames = []
        for index, angles in enumerate(np.cumsum(rng.normal(size=(FRAMES, 6)), axis=0).tolist()):
            name = f"{index}.png"
            if episode == 0:
                (folder / name).write_bytes(pictures[index % 2])
            else:
                os.link(data_dir / "episode_0" / name, folder / name)
            frames.append({"image": name, "angles": angles, "gripper_value": [50.0], "timestamp": index / 10})
        (folder / "states.json").write_text(json.dumps(frames))


def peak_of(function):
    tracemalloc.start()
    try:
        kept = function()
        return tracemalloc.get_traced_memory()[1], kept
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("command", ["check", "convert"])
def test_an_episode_more_takes_little_memory(command, tmp_path):
    peaks = []
    for number in (1, 6, 18):  # what is imported and kept once is in the first
        record(data_dir := tmp_path / f"{number}", number)
        if command == "check":
            peak, report = peak_of(lambda data_dir=data_dir: check_episodes(data_dir, progress=False))
            assert sum(len(episode.frames) for episode in report.usable) == FRAMES * number
        else:
            output_dir = tmp_path / f"dataset_{number}"
            peak, report = peak_of(
                lambda data_dir=data_dir, output_dir=output_dir: convert_episodes(data_dir, output_dir, progress=False)
            )
            assert report.meta.num_frames == FRAMES * number
        peaks.append(peak)
    assert (peaks[2] - peaks[1]) / 12 < 6000  # bytes; 15 kB and more with the frames in memory


def test_an_episode_more_takes_little_memory_to_export(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "EPISODES_IN_GROUP", 2)
    peaks = []
    for number in (1, 6, 18):
        record(tmp_path / f"{number}", number)
        convert_episodes(tmp_path / f"{number}", tmp_path / f"dataset_{number}", progress=False)
        dataset, meta = load_dataset_folder(tmp_path / f"dataset_{number}")
        target = tmp_path / f"lerobot_{number}"
        peaks.append(peak_of(lambda found=(dataset, meta), to=target: exporting.export_lerobot(*found, to))[0])
    assert (peaks[2] - peaks[1]) / 12 < 40_000  # bytes, of which 100 frames' numbers


@pytest.mark.parametrize("width", [1, 2, 7, 8, 33])
def test_statistics_of_parts_are_those_of_the_whole(width, tmp_path):
    rng = np.random.default_rng(width)
    for count in (1, 2, 60):
        parts = [rng.normal(3, 10, (rng.integers(1, 400), width)).astype(np.float32) for _ in range(count)]
        parts[0][:, 0] = -0.0
        statistics = Statistics(tmp_path)
        for rows in parts:
            statistics.add(rows)
        assert json.dumps(statistics.of_columns()) == json.dumps(column_statistics(np.concatenate(parts)))
