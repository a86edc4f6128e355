"""A training's output given where its policy or its data is meant: every door names the right path."""

import re

import pytest

from dp_hf import DiffusionPolicyPipeline, open_data
from dp_hf.cli.inspect_checkpoint import main as inspect_checkpoint
from dp_hf.cli.push_to_hub import main as push_to_hub
from dp_hf.errors import UserError


@pytest.fixture
def run(make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "run" / "best")
    (tmp_path / "run" / "train_config.yaml").write_text("data_dir: demonstrations\n")
    (tmp_path / "run" / "checkpoint-3").mkdir()
    (tmp_path / "run" / "checkpoint-3" / "random_states_0.pkl").write_bytes(b"")
    return tmp_path / "run"


@pytest.mark.parametrize("given", [".", "checkpoint-3"])
def test_the_policy_of_a_run_is_named_at_every_door(run, given, capsys):
    meant = re.escape(f"the trained policy is {run / 'best'}")
    for door in (DiffusionPolicyPipeline.from_pretrained, open_data):
        with pytest.raises(UserError, match=meant):
            door(run / given)
    assert push_to_hub(["--pipeline", str(run / given), "--repo_id", "me/policy"]) == 2
    assert re.search(meant, capsys.readouterr().err)


def test_without_a_best_it_is_the_final_one(run):
    (run / "best").rename(run / "final")
    with pytest.raises(UserError, match=re.escape(f"the trained policy is {run / 'final'}")):
        DiffusionPolicyPipeline.from_pretrained(run)


def test_an_evaluation_has_no_episodes(tmp_path):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(UserError, match=r"is an evaluation .* `dp-hf report --training RUN --evaluation"):
        open_data(tmp_path)


def test_what_is_inspected_may_be_a_run(run, capsys):
    assert inspect_checkpoint([str(run)]) == 2
    assert f"the trained policy is {run / 'best'}" in capsys.readouterr().err
