"""With LeRobot's own writer and loader, where `DP_HF_LEROBOT_PYTHON` names a Python that has `lerobot`.

LeRobot pins older versions of our dependencies, so it lives in an environment of its own:
`python -m venv lerobot && lerobot/bin/pip install lerobot`, then `DP_HF_LEROBOT_PYTHON=lerobot/bin/python pytest ...`.
"""

import json
import os
import subprocess

import numpy as np
import pytest

from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.interop.lerobot.exporting import export_lerobot
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
from lerobot.datasets.lerobot_dataset import LeRobotDataset
deltas = {"action": [0.0, 0.1, 0.2]}
dataset = LeRobotDataset("me/stack", root=sys.argv[1], delta_timestamps=deltas, video_backend="pyav")
rows = [dataset[i] for i in range(len(dataset))]
print(json.dumps({
    "episodes": dataset.num_episodes,
    "fps": dataset.fps,
    "tasks": [row["task"] for row in rows],
    "state": [row["observation.state"].tolist() for row in rows],
    "actions": [row["action"].tolist() for row in rows],
    "brightness": [row[dataset.meta.camera_keys[0]].mean().item() for row in rows],
    "mean": dataset.meta.stats["action"]["mean"].tolist(),
}))
"""


def run(code, *arguments):
    command = [PYTHON, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


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


@pytest.mark.parametrize("videos", [False, True])
def test_lerobot_opens_what_we_write(tmp_path, record_episode, videos):
    for name in ("episode1", "episode2"):
        record_episode(tmp_path / "in", name, seed=len(name))
    convert_episodes(tmp_path / "in", tmp_path / "ours")
    dataset, meta = load_dataset_folder(tmp_path / "ours")
    export_lerobot(dataset, meta, tmp_path / "lerobot", task="stack", videos=videos)
    found = json.loads(run(READ, tmp_path / "lerobot").splitlines()[-1])
    assert (found["episodes"], found["fps"], found["tasks"]) == (2, 10, ["stack"] * 16)
    assert found["state"] == dataset["state"][:]
    assert [chunk[0] for chunk in found["actions"]] == dataset["action"][:]
    assert found["actions"][0] == dataset["action"][:3]
    expected = [np.asarray(image).mean() / 255 for image in dataset["image"]]
    assert np.allclose(found["brightness"], expected, atol=0.02 if videos else 1e-5)
    assert np.allclose(found["mean"], meta.statistics["action"]["mean"])
