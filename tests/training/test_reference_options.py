"""The reference's flags are obeyed or answered, in flags, in YAML files and from Python; its page has all of them."""

import re
from pathlib import Path

import pytest
import torch
from reference import OlderReference, randomize

from dp_hf.cli.main import main
from dp_hf.cli.train import parse_config
from dp_hf.errors import UserError
from dp_hf.training.config import TrainConfig, option_names
from dp_hf.training.reference_options import ANSWERS, RENAMED

PAGE = Path(__file__).parents[2] / "dp_hf" / "training" / "FROM_THE_REFERENCE.md"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--resume_from", "x.pth"], {"init_from": "x.pth"}),
        (["--resume-from=x.pth"], {"init_from": "x.pth"}),
        (["--freeze_resnet"], {"freeze_image_encoder": True}),
        (["--no_freeze_resnet"], {"freeze_image_encoder": False}),
        (["--use_pretrained_resnet"], {"pretrained_backbone": "timm"}),
        (["--no-use-pretrained-resnet"], {"pretrained_backbone": "none"}),
        (["--time_emb_dim", "32"], {"time_embed_dim": 32}),
    ],
)
def test_flags_of_equal_meaning_are_obeyed(flags, expected, tmp_path):
    options = parse_config(["--data_dir", "x", *flags]).options()
    assert {name: options[name] for name in expected} == expected


def test_the_same_in_a_file(tmp_path):
    file = tmp_path / "old.yaml"
    file.write_text("freeze_resnet: false\nuse_pretrained_resnet: false\nresume_from: x.pth\n")
    options = parse_config(["--config", str(file)]).options()
    found = [options[name] for name in ("freeze_image_encoder", "pretrained_backbone", "init_from")]
    assert found == [False, "none", "x.pth"]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_flag_without_counterpart_is_answered_everywhere(name, tmp_path, capsys):
    file = tmp_path / "old.yaml"
    file.write_text(f"{name}: 1\n")
    for flags in ([f"--{name}", "1"], [f"--{name}=1"], [f"--{name.replace('_', '-')}", "1"], ["--config", str(file)]):
        assert main(["train", "--data_dir", "x", *flags]) == 2
        error = capsys.readouterr().err
        assert ANSWERS[name] in error
        assert error.count("\n") == 1
    with pytest.raises(UserError, match="is the reference's"):
        TrainConfig.from_options(**{name: 1})


def test_old_names_are_told_from_python():
    with pytest.raises(UserError, match="here it is --pretrained_backbone timm"):
        TrainConfig.from_options(use_pretrained_resnet=True)


def test_a_checkpoint_of_the_reference_is_resumed_from_by_its_own_flag(make_config, tmp_path, capsys):
    config = make_config()
    file = tmp_path / "model.pth"
    reference = randomize(OlderReference(hidden_dim=32, num_layers=2))
    torch.save(
        {"model_state_dict": reference.state_dict(), "args": {"image_size": 32, "diffusion_timesteps": 10}}, file
    )
    flags = {
        "data_dir": config.data_dir, "output_dir": tmp_path / "out", "resume_from": file, "image_size": 32,
        "hidden_dim": 32, "num_mlp_layers": 2, "diffusion_timesteps": 10, "frame_skip": 1, "num_epochs": 1,
        "cache_dir": tmp_path / "cache",
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in flags.items()]
    assert main(["train", *words]) == 2
    assert "weights were trained with normalization identity, not min_max" in capsys.readouterr().err
    assert main(["train", *words, "--normalization", "identity"]) == 0
    assert (tmp_path / "out" / "final" / "model_index.json").is_file()


def test_the_page_has_every_flag_and_ours_exist():
    rows = re.findall(r"^\| (`--.*?) \| (.*) \|$", PAGE.read_text("utf-8"), re.M)
    theirs = {name for cell, _ in rows for name in re.findall(r"`--(\w+)", cell)}
    assert theirs >= (ANSWERS.keys() | RENAMED.keys()) - {name for name in RENAMED if name.startswith("no_")}
    for _, cell in rows:
        for name in re.findall(r"--(\w+)", cell):
            assert name.removeprefix("no_") in option_names() or name in ("episode", "gpu_ids"), name
