import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dp_hf import DiffusionPolicyPipeline
from dp_hf.cli.import_checkpoint import main as import_checkpoint
from dp_hf.cli.inspect_checkpoint import main as inspect_checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from reference import NewerReference, OlderReference, randomize

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkpoint(tmp_path):
    args = {"image_size": 64, "diffusion_timesteps": 10, "hidden_dim": 128}
    content = {
        "model_state_dict": randomize(NewerReference()).state_dict(),
        "epoch": 100,
        "train_loss": 0.5,
        "args": args,
    }
    torch.save(content, tmp_path / "model.pth")
    return tmp_path / "model.pth"


def test_there_and_back(checkpoint, tmp_path, frame, capsys):
    assert import_checkpoint([str(checkpoint), str(tmp_path / "pipeline")]) == 0
    assert "mlp_layernorm layout" in capsys.readouterr().out
    actions = DiffusionPolicyPipeline.from_pretrained(tmp_path / "pipeline")(frame).actions
    assert actions.shape == (1, 1, 7)

    assert import_checkpoint([str(tmp_path / "pipeline"), str(tmp_path / "back.pth"), "--export"]) == 0
    before, after = (torch.load(path, weights_only=True) for path in (checkpoint, tmp_path / "back.pth"))
    assert all(torch.equal(after["model_state_dict"][key], value) for key, value in before["model_state_dict"].items())
    assert (after["epoch"], after["args"]["diffusion_timesteps"]) == (100, 10)


def test_an_export_is_as_far_trained_as_the_policy_was(checkpoint, tmp_path, capsys):
    pipeline = tmp_path / "pipeline"
    assert import_checkpoint([str(checkpoint), str(pipeline)]) == 0
    (pipeline / "reference_checkpoint.json").unlink()
    assert import_checkpoint(["--export", str(pipeline), str(tmp_path / "untold.pth")]) == 0
    assert "epoch is None, and there is no loss" in capsys.readouterr().out
    # As a training of ours leaves it.
    (pipeline / "training.json").write_text('{"epoch": 12, "step": 480, "train_loss": 0.25}')
    assert import_checkpoint(["--export", str(pipeline), str(tmp_path / "told.pth")]) == 0
    assert "how far it was trained: epoch 12, train_loss 0.25" in capsys.readouterr().out
    untold, told = (torch.load(tmp_path / name, weights_only=True) for name in ("untold.pth", "told.pth"))
    assert (untold["epoch"], "train_loss" in untold) == (None, False)
    assert (told["epoch"], told["train_loss"]) == (12, 0.25)
    assert import_checkpoint([str(tmp_path / "untold.pth"), str(tmp_path / "again")]) == 0


def test_says_what_an_older_file_does_not_tell(tmp_path, capsys):
    torch.save({"model_state_dict": randomize(OlderReference()).state_dict()}, tmp_path / "model.pth")
    assert import_checkpoint([str(tmp_path / "model.pth"), str(tmp_path / "pipeline")]) == 0
    said = capsys.readouterr().err
    assert "--activation" in said
    assert "defaults: image_size 224, diffusion_timesteps 1000, beta_start 0.0001, beta_end 0.02" in said


def test_export_says_layout_and_activation_and_never_changes_them(tmp_path, capsys):
    torch.save({"model_state_dict": randomize(OlderReference(mish=True)).state_dict()}, tmp_path / "old.pth")
    pipeline = str(tmp_path / "pipeline")
    assert import_checkpoint([str(tmp_path / "old.pth"), pipeline, "--activation", "mish"]) == 0
    assert import_checkpoint([pipeline, str(tmp_path / "a.pth"), "--export", "--activation", "relu"]) == 2
    assert "--activation relu: the policy was trained with mish" in capsys.readouterr().err
    assert not (tmp_path / "a.pth").exists()
    assert import_checkpoint([pipeline, str(tmp_path / "a.pth"), "--export", "--activation", "mish"]) == 0
    assert (
        "older layout (image_encoder.*, mlp.*), activation mish, input order action_image_time"
        in capsys.readouterr().out
    )


def test_options_of_the_older_layout_are_not_ignored_by_the_newer(checkpoint, tmp_path, capsys):
    assert import_checkpoint([str(checkpoint), str(tmp_path / "pipeline"), "--activation", "mish"]) == 2
    assert "--activation is of the older layout" in capsys.readouterr().err
    assert not (tmp_path / "pipeline").exists()


def test_failures_leave_nothing_behind(checkpoint, tmp_path, capsys):
    (tmp_path / "bad.pth").write_bytes(checkpoint.read_bytes()[:1000])
    assert import_checkpoint([str(tmp_path / "bad.pth"), str(tmp_path / "pipeline")]) == 2
    assert import_checkpoint([str(checkpoint), str(checkpoint)]) == 2
    assert import_checkpoint(["--export", str(tmp_path / "absent"), str(tmp_path / "back.pth")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in errors] == [True] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.pth", "model.pth"]


def test_inspects_each_kind(checkpoint, tmp_path, make_pipeline, capsys):
    assert inspect_checkpoint([str(checkpoint)]) == 0
    text = capsys.readouterr().out
    assert "mlp_layernorm layout" in text
    assert "4 of 128" in text

    make_pipeline().save_pretrained(tmp_path / "pipeline")
    assert inspect_checkpoint([str(tmp_path / "pipeline"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "pipeline"
    assert found["policy"]["config.json"]["hidden_dim"] == 32
    assert found["normalizer"]["class"] == "Normalizer"

    assert inspect_checkpoint([str(tmp_path / "absent")]) == 2


def test_inspection_fails_on_values_that_are_not_finite(tmp_path, make_pipeline, capsys):
    pipeline = make_pipeline()
    with torch.no_grad():
        pipeline.policy.denoising_network.output.bias[0] = torch.inf
    pipeline.save_pretrained(tmp_path / "pipeline")
    assert inspect_checkpoint([str(tmp_path / "pipeline")]) == 1
    assert "denoising_network.output.bias" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["import_checkpoint", "inspect_checkpoint"])
def test_help_says_what_it_does(command):
    door = [sys.executable, str(ROOT / "scripts" / f"{command}.py"), "--help"]
    assert ".pth" in subprocess.run(door, capture_output=True, text=True, check=True).stdout
