"""With LeRobot's own writer and loader, where `DP_HF_LEROBOT_PYTHON` names a Python that has `lerobot`.

LeRobot pins older versions of our dependencies, so it lives in an environment of its own:
`python3.12 -m venv lerobot && lerobot/bin/pip install lerobot[dataset]`, then
`DP_HF_LEROBOT_PYTHON=lerobot/bin/python pytest ...`.
"""

import json
import os
import subprocess

import numpy as np
import pytest

from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.interop.lerobot import exporting
from dp_hf.interop.lerobot.importing import import_lerobot

PYTHON = os.environ.get("DP_HF_LEROBOT_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="DP_HF_LEROBOT_PYTHON names no Python that has lerobot"),
]

WRITE = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
root, kind = sys.argv[1:]
vector = {"dtype": "float32", "shape": (6,), "names": [f"joint_{i}.pos" for i in range(6)]}
image = {"dtype": kind, "shape": (64, 96, 3), "names": ["height", "width", "channels"]}
features = {"action": vector, "observation.state": vector}
features |= {f"observation.images.{name}": image for name in ("front", "wrist")}
dataset = LeRobotDataset.create("me/stack", 10, features, root=root, use_videos=kind == "video")
for episode in range(3):
    for frame in range(8):
        row = {"action": np.full(6, frame, np.float32), "observation.state": np.full(6, episode, np.float32)}
        for level, name in ((0, "front"), (90, "wrist")):
            picture = np.full((64, 96, 3), (40 * episode, 16 * frame, level), np.uint8)
            row[f"observation.images.{name}"] = picture
        dataset.add_frame(row | {"task": "stack"})
    dataset.save_episode()
dataset.finalize()
"""

READ = """
import json, sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
root, out = sys.argv[1:]
deltas = {"action": [0.0, 0.1, 0.2]}
dataset = LeRobotDataset("me/stack", root=root or None, delta_timestamps=deltas, video_backend="pyav")
rows = [dataset[i] for i in range(len(dataset))]
camera, = dataset.meta.camera_keys
np.savez(
    out,
    state=np.stack([row["observation.state"] for row in rows]),
    actions=np.stack([row["action"] for row in rows]),
    images=np.stack([row[camera].numpy().transpose(1, 2, 0) for row in rows]),
    mean=dataset.meta.stats["action"]["mean"],
)
print(json.dumps({"episodes": dataset.num_episodes, "fps": dataset.fps, "tasks": [row["task"] for row in rows]}))
"""


def run(code, *arguments, **environment):
    command = [PYTHON, "-c", code, *map(str, arguments)]
    environment = {"HF_HUB_OFFLINE": "1"} | environment
    return subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.parametrize("kind", ["image", "video"])
def test_reads_what_lerobot_writes(tmp_path, kind):
    run(WRITE, tmp_path / "in", kind)
    report = import_lerobot(tmp_path / "in", tmp_path / "out")
    dataset, meta = load_dataset_folder(tmp_path / "out")
    assert (report.problems, report.left_out, report.tasks) == ([], [], ["stack"])
    assert (len(dataset), meta.fps, meta.camera_names) == (24, 10, ["front", "wrist"])
    for row in dataset:
        assert row["state"] == [row["episode_index"]] * 6
        assert row["action"] == [row["frame_index"]] * 6
        for name, level in (("front", 0), ("wrist", 90)):
            expected = (40 * row["episode_index"], 16 * row["frame_index"], level)
            assert np.abs(np.asarray(row[name]).mean((0, 1)) - expected).max() < (1 if kind == "image" else 8)


@pytest.fixture
def ours(tmp_path):
    """Rows and description of 12 episodes of 8, 9, ... frames, each frame of its own colour and state."""
    for number in range(12):
        with EpisodeWriter(tmp_path / "in", f"episode{number:02d}") as writer:
            for frame in range(8 + number):
                image = np.full((48, 64, 3), (20 * number, 12 * frame, 90), np.uint8)
                writer.add_frame(image, np.float32([number, frame, 0, 0, 0, 0, 50]))
    convert_episodes(tmp_path / "in", tmp_path / "ours")
    return load_dataset_folder(tmp_path / "ours")


def require_equal(found, arrays, dataset, meta, videos):
    """Every frame, state and chunk of actions is what we have; of videos the picture, as H.264 has it."""
    assert (found["episodes"], found["fps"], found["tasks"]) == (12, 10, ["stack"] * len(dataset))
    assert np.array_equal(arrays["state"], dataset["state"][:])
    assert np.array_equal(arrays["actions"][:, 0], dataset["action"][:])
    assert np.array_equal(arrays["actions"][0], dataset["action"][:3])
    images = np.stack([np.asarray(image) for image in dataset["image"]])
    if videos:
        # The next frame or episode is 12 or 20 away in one of three colours.
        assert np.abs(arrays["images"] * 255 - images).mean((1, 2)).max() < 4
    else:
        assert np.array_equal((arrays["images"] * 255).round(), images)
    assert np.allclose(arrays["mean"], meta.statistics["action"]["mean"])


@pytest.mark.parametrize("files", ["one file", "several files"])
@pytest.mark.parametrize("videos", [False, True])
def test_lerobot_opens_what_we_write(tmp_path, ours, monkeypatch, videos, files):
    if files == "several files":
        monkeypatch.setattr(exporting, "DATA_FILE_BYTES", 1000)
        monkeypatch.setattr(exporting, "VIDEO_FILE_BYTES", -1)
    exporting.export_lerobot(*ours, tmp_path / "lerobot", task="stack", videos=videos)
    if files == "several files":
        info = tmp_path / "lerobot" / "meta" / "info.json"
        sizes = {"data_files_size_in_mb": 1, "video_files_size_in_mb": 1}
        info.write_text(json.dumps(json.loads(info.read_text()) | sizes))
    for kind in ("data/*/*.parquet", "videos/*/*/*.mp4") if videos else ("data/*/*.parquet",):
        assert (len(list((tmp_path / "lerobot").glob(kind))) > 1) == (files == "several files"), kind
    found = json.loads(run(READ, tmp_path / "lerobot", tmp_path / "read.npz").splitlines()[-1])
    require_equal(found, np.load(tmp_path / "read.npz"), *ours, videos)


def test_lerobot_finds_what_we_push(tmp_path, ours, hub, client):
    exporting.export_lerobot(*ours, tmp_path / "lerobot", task="stack")
    client("-m", "dp_hf.cli.main", "push-to-hub", "--data_dir", str(tmp_path / "lerobot"), "--repo_id", "me/stack")
    where = {"HF_ENDPOINT": hub[1], "HF_HOME": str(tmp_path / "theirs"), "HF_HUB_OFFLINE": "0"}
    found = json.loads(run(READ, "", tmp_path / "read.npz", **where).splitlines()[-1])
    require_equal(found, np.load(tmp_path / "read.npz"), *ours, videos=False)
