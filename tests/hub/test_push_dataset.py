"""Datasets through huggingface_hub's and datasets' own clients, in fresh processes, against a Hub on the loopback."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from local_hub import serve_hub

LOAD = """
import json
from dp_hf.episodes.dataset import load_dataset_folder, open_data
dataset, meta = open_data("me/cubes")
rows = list(load_dataset_folder("me/cubes", streaming=True)[0])
assert [row["state"] for row in rows] == dataset["state"][:]
print(json.dumps({"state": rows[0]["state"], "size": dataset[0]["image"].size, "episodes": meta.episodes}))
"""


@pytest.fixture
def hub():
    with serve_hub() as (hub, address):
        yield hub, address


def run(address, home, *arguments):
    environment = os.environ | {
        "HF_ENDPOINT": address,
        "HF_HOME": str(home),
        "HF_TOKEN": "hf_test",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
    }
    result = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_pushed_dataset_replaces_the_last_and_loads_by_id(hub, tmp_path, record_episode):
    hub, address = hub
    episode = record_episode(tmp_path / "in", "episode1")
    key = ("datasets", "me/cubes")
    hub.repos[key], hub.private[key] = {"main": {"data/train-00000-of-00002.parquet": b"an older push"}}, False
    convert = ["-m", "dp_hf.cli.main", "convert-episodes", "--data_dir", str(tmp_path / "in")]
    convert += ["--output_dir", str(tmp_path / "out"), "--push_to_hub", "me/cubes"]
    assert "pushed to" in run(address, tmp_path / "home", *convert)
    files = hub.repos[key]["main"]
    assert set(files) == {"README.md", "meta.json", "data/train-00000-of-00001.parquet"}

    first = json.loads((episode / "states.json").read_text())[0]
    loaded = json.loads(run(address, tmp_path / "other_home", "-c", LOAD).splitlines()[-1])
    assert np.allclose(loaded["state"], [*first["angles"], *first["gripper_value"]])
    assert (loaded["size"], loaded["episodes"]) == ([42, 24], ["episode1"])
