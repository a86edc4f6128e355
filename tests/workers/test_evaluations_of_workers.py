"""What several workers evaluate and compare is what one does."""

import json
import shutil
from pathlib import Path

import pytest
from dask_cluster import cluster

from dp_hf.cli.compare import main as compare
from dp_hf.cli.evaluate import main as evaluate
from dp_hf.cli.recipes import recipe_folder

REACH = ["--task_file", "reach.yaml", "--num_episodes", "6"]


def numbers(file):
    """What a result file says, but for times, and for where and by whom it was made."""
    content = json.loads(file.read_text())
    return {name: value for name, value in content.items() if name != "arguments" and "latency" not in name}


def results(how):
    """Of an evaluation and a comparison with these options."""
    place = Path(f"out_{how[1].replace(':', '').replace('/', '')}")
    out = ["--output_dir", str(place)]
    assert evaluate(["--pipeline", "policy", *REACH, "--video", "1", "--video_format", "gif", *out, *how]) == 0
    assert compare(["expert", "policy", *REACH, *out, *how]) == 0
    files = [numbers(place / name) for name in ("results.json", "comparison.json")]
    return *files, (place / "rollouts.gif").read_bytes()


@pytest.fixture
def of_one(tmp_path, make_pipeline, monkeypatch):
    """The results of one worker."""
    for name in ("reach.py", "reach.yaml"):
        shutil.copy(recipe_folder("tasks") / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {"action_names": ["dx", "dy"], "action_units": ["none"] * 2}
    names |= {"state_names": ["x", "y"], "state_units": ["metres"] * 2}
    numbers = {"horizon": 8, "n_action_steps": 8, "action_dim": 2, "state_dim": 2, "fps": 10.0}
    make_pipeline(image_size=(24, 24), **numbers, **names).save_pretrained("policy")
    return results(["--num_workers", "1"])


@pytest.mark.parametrize("num_workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_the_results_are_those_of_one_worker(of_one, num_workers):
    assert results(["--num_workers", str(num_workers)]) == of_one


@pytest.mark.slow
def test_the_results_of_a_cluster_are_those_of_one_worker(of_one, tmp_path):
    pytest.importorskip("distributed", reason="extra cluster")
    with cluster(tmp_path) as (address, _):
        assert results(["--cluster", address]) == of_one
