"""Push and pull through huggingface_hub's own client, in fresh processes, against a Hub on the loopback."""

import json

import pytest
from huggingface_hub.utils import filter_repo_objects

from dp_hf.cli.push_to_hub import main
from dp_hf.errors import UserError
from dp_hf.hub.upload import OUR_FILES, upload_folder
from dp_hf.pipelines.model_card import add_rollouts
from dp_hf.success.comparison import Comparison
from dp_hf.success.score_sheet import digest_files

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


def test_a_comparison_on_the_card(hub, client, make_pipeline, tmp_path):
    folder = tmp_path / "pipeline"
    make_pipeline().save_pretrained(folder)
    policies = {"A": {"pipeline": "x", "files": "0"}, "B": {"pipeline": "y", "files": digest_files(folder)}}
    scenes = {"real arm": Comparison.of([{"done": False}] * 4, [{"done": True}] * 4).to_dict()}
    file = tmp_path / "comparison.json"
    file.write_text(json.dumps({"policies": policies, "task": "a real arm", "scenes": scenes}))
    push = ["-m", "dp_hf.cli.main", "push-to-hub", "--pipeline", str(folder), "--repo_id", "me/better"]
    client(*push, "--results", str(file))
    assert "| real arm | 4 | 100% | 0% | +100.0 |" in hub[0].repos["models", "me/better"]["main"]["README.md"].decode()


def test_a_second_push_keeps_what_is_somebodys_and_removes_what_was_ours(hub, client, make_pipeline, tmp_path):
    pipeline = make_pipeline()
    pipeline.save_pretrained(tmp_path / "pipeline")
    push = ["-m", "dp_hf.cli.main", "push-to-hub", "--pipeline", str(tmp_path / "pipeline"), "--repo_id", "me/policy"]
    client(*push, "--bundle_code")
    files = hub[0].repos["models", "me/policy"]["main"]
    code = {"pipeline_diffusion_policy.py", "policy/policy.py", "normalizer/normalizer.py"}
    assert code <= set(files)
    # Whatever a push writes is known as ours.
    assert set(filter_repo_objects(files, allow_patterns=[*OUR_FILES["model"], "README.md"])) == set(files)

    added = {"notes.md": b"mine", "policy/notes.txt": b"mine", "my_code.py": b"mine"}
    files |= added
    files["README.md"] = b"---\nlicense: mit\n---\n# My own text\n"
    said = client(*push)
    files = hub[0].repos["models", "me/policy"]["main"]
    assert {name: files.get(name) for name in added} == added
    assert not code & set(files)
    assert all(name in said for name in ("README.md of me/policy: what was written there stays", *code))
    card = files["README.md"].decode()
    assert card.startswith("---\nlicense: mit\n")
    assert "# My own text" in card
    assert 'from_pretrained("me/policy")' in card
    assert '"model_index.json"' not in card

    before = dict(files)
    client("-c", VARIANT, str(tmp_path / "pipeline"))
    files = hub[0].repos["models", "me/policy"]["main"]
    assert set(files) - set(before) == {f"{part}/diffusion_pytorch_model.fp16.safetensors" for part in PARTS}
    assert set(before) <= set(files)


PARTS = ("policy", "normalizer")
VARIANT = """
import sys
from dp_hf import DiffusionPolicyPipeline
DiffusionPolicyPipeline.from_pretrained(sys.argv[1]).push_to_hub("me/policy", variant="fp16")
"""


def test_results_and_code_of_a_card_written_by_hand(hub, client, make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipeline")
    (tmp_path / "pipeline" / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    results = {"rates": {"stack": {"trials": 20, "rate": 0.85, "low": 0.64, "high": 0.95}}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    push = ["-m", "dp_hf.cli.main", "push-to-hub", "--pipeline", str(tmp_path / "pipeline"), "--repo_id", "me/hand"]
    for _ in range(2):
        client(*push, "--results", str(tmp_path / "results.json"), "--bundle_code")
        card = hub[0].repos["models", "me/hand"]["main"]["README.md"].decode()
        assert card.index("# Mine") < card.index("| stack | 85% | 64% to 95% |")
        assert "trust_remote_code=True" in card
        assert card.count("### Closed loop") == 1


PUSH = """
import sys
from dp_hf import DiffusionPolicyPipeline
from dp_hf.errors import UserError
pipeline = DiffusionPolicyPipeline.from_pretrained(sys.argv[1])
print(pipeline.push_to_hub("stacker", "first upload").commit_url)
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


def test_files_that_are_elsewhere_or_not_there_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    (folder / "meta.json").write_text("{}")
    (folder / "data" / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UserError, match="git lfs pull"):
        upload_folder(folder, "me/cubes")
    (folder / "data" / "a.parquet").unlink()
    (tmp_path / "secret").write_text("mine")
    (folder / "data" / "b.parquet").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="leaves the folder"):
        upload_folder(folder, "me/cubes")
    (folder / "data" / "b.parquet").unlink()
    (folder / "more").symlink_to(folder / "data")
    with pytest.raises(UserError, match="link to a folder"):
        upload_folder(folder, "me/cubes")


@pytest.mark.parametrize("results", [{}, {"rates": {}}, {"rates": {"stack": {"rate": 1}}}, {"rates": [1]}])
def test_results_that_are_none_are_refused(results):
    with pytest.raises(UserError, match=r"some\.json: no success rates"):
        add_rollouts("# Mine", results, "some.json")
