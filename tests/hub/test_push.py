"""Push and pull through huggingface_hub's own client, in fresh processes, against a Hub on the loopback."""

import json

from dp_hf.cli.push_to_hub import main

ACT = """
import numpy as np, sys, torch
from dp_hf import DiffusionPolicyPipeline
pipeline = DiffusionPolicyPipeline.from_pretrained(sys.argv[1])
image = np.zeros((240, 424, 3), np.uint8)
print(pipeline(image, generator=torch.Generator().manual_seed(0)).actions.tolist())
"""


def test_pushed_pipeline_loads_by_id_and_acts_the_same(hub, client, make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipeline")
    local = json.loads(client("-c", ACT, str(tmp_path / "pipeline")))

    client("-m", "dp_hf.cli.main", "push-to-hub", "--pipeline", str(tmp_path / "pipeline"), "--repo_id", "me/stacker")
    files = hub[0].repos["models", "me/stacker"]["main"]
    assert {"model_index.json", "README.md", "normalizer/diffusion_pytorch_model.safetensors"} <= files.keys()
    card = files["README.md"].decode()
    assert "pipeline_tag: robotics" in card
    assert 'from_pretrained("me/stacker")' in card

    assert json.loads(client("-c", ACT, "me/stacker")) == local
    assert json.loads(client("-c", ACT, "me/stacker", offline=True)) == local


def test_private_branch_and_results_on_the_card(hub, client, make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipeline")
    results = {"rates": {"stack": {"trials": 20, "rate": 0.85, "low": 0.64, "high": 0.95}}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    push = ["-m", "dp_hf.cli.main", "push-to-hub", "--pipeline", str(tmp_path / "pipeline"), "--repo_id", "me/private"]
    client(*push, "--private", "True", "--revision", "trial", "--results", str(tmp_path / "results.json"))
    assert hub[0].private["models", "me/private"]
    branches = hub[0].repos["models", "me/private"]
    assert "README.md" not in branches["main"]
    assert "| stack | 85% | 64% to 95% |" in branches["trial"]["README.md"].decode()


PUSH = """
import sys
from dp_hf import DiffusionPolicyPipeline
from dp_hf.errors import UserError
pipeline = DiffusionPolicyPipeline.from_pretrained(sys.argv[1])
print(pipeline.push_to_hub("stacker", "first upload"))
print(pipeline.push_to_hub("me/stacker", "an offer", None, None, True).pr_url)
try:
    pipeline.push_to_hub("me/other", True)
except UserError as error:
    print(error)
"""


def test_arguments_are_those_of_diffusers_in_its_order(hub, client, make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipeline")
    commit, pull_request, refused = client("-c", PUSH, str(tmp_path / "pipeline")).splitlines()
    assert "/me/stacker/commit/" in commit
    assert pull_request.endswith("/me/stacker/discussions/1")
    assert "commit_message is a text, not True" in refused
    assert hub[0].private == {("models", "me/stacker"): False}
    branches = hub[0].repos["models", "me/stacker"]
    assert branches["refs/pr/1"].keys() == branches["main"].keys() > {"model_index.json"}
    assert 'from_pretrained("me/stacker")' in branches["main"]["README.md"].decode()


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    assert main(["--pipeline", str(tmp_path), "--repo_id", "me/nothing"]) == 2
    assert "neither a pipeline" in capsys.readouterr().err
