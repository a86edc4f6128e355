"""What several workers evaluate and compare is what one does."""

import json

import pytest
from dask_cluster import cluster

from dp_hf.cli.compare import main as compare
from dp_hf.cli.evaluate import main as evaluate

LAYOUTS = ["--num_episodes", "4", "--num_inference_steps", "1", "--camera_names", "front"]


def numbers(file):
    """What a result file says, but for times, and for where and by whom it was made."""
    content = json.loads(file.read_text())
    return {name: value for name, value in content.items() if name != "arguments" and "latency" not in name}


def results(tmp_path, how):
    """Of an evaluation and a comparison with these options."""
    place = tmp_path / "_".join(how).strip("-").replace("/", "").replace(":", "")
    policies = [str(tmp_path / "policy"), str(tmp_path / "other")]
    out = ["--output_dir", str(place)]
    assert evaluate(["--pipeline", policies[0], *LAYOUTS, "--video", "1", "--video_format", "gif", *out, *how]) == 0
    assert compare([*policies, *LAYOUTS, *out, *how]) == 0
    return (
        *(numbers(place / name) for name in ("results.json", "comparison.json")),
        (place / "rollouts.gif").read_bytes(),
    )


@pytest.fixture
def policies(tmp_path, make_pipeline):
    for name in ("policy", "other"):
        make_pipeline(horizon=48, n_action_steps=48).save_pretrained(tmp_path / name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", ["2", "4"])
def test_the_results_are_those_of_one_worker(policies, num_workers):
    assert results(policies, ["--num_workers", num_workers]) == results(policies, ["--num_workers", "1"])


@pytest.mark.slow
def test_the_results_of_a_cluster_are_those_of_one_worker(policies):
    pytest.importorskip("distributed", reason="extra cluster")
    with cluster(policies) as (address, _):
        assert results(policies, ["--cluster", address]) == results(policies, ["--num_workers", "1"])
