"""A run that was stopped and continued ends where one that was not stopped ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dp_hf.errors import UserError
from dp_hf.training.checkpoints import find_checkpoint, list_checkpoints
from dp_hf.training.config import save_config
from dp_hf.training.records import read_metrics
from dp_hf.training.trainer import train

ROOT = Path(__file__).parents[2]

KINDS = {
    "cached features": {"freeze_image_encoder": True, "random_shift": 2, "cached_augmentations": 2},
    "learning encoder": {
        **{"freeze_image_encoder": False, "pooling": "spatial_softmax", "num_keypoints": 4, "random_shift": 2},
        **{"horizon": 3, "n_obs_steps": 2, "use_proprioception": True, "state_noise": 0.5, "color_jitter": 0.2},
        **{"random_rotation": 5.0, "light_patches": 0.5, "random_blur": 0.5, "image_noise": 3.0, "erased_patches": 1},
    },
    "accumulation": {"gradient_accumulation_steps": 3, "clip_grad_norm": 1.0, "noise_samples_per_image": 2},
    "batch norm": {"image_encoder": "resnet10t", "image_size": (32,), "freeze_image_encoder": False, "num_epochs": 2},
    "live images": {"cache": "none", "num_workers": 1, "random_shift": 1, "num_epochs": 2},
}


def assert_same_run(one: Path, other: Path) -> None:
    """Same weights, averaged weights, optimizer, random states, scores and rows."""
    (last,) = {path.name for path in (list_checkpoints(one)[-1], list_checkpoints(other)[-1])}
    for name in ("best/policy", "final/policy", last):
        files = sorted((one / name).glob("*.safetensors"))
        assert files
        for file in files:
            expected, actual = load_file(file), load_file(other / name / file.name)
            assert expected.keys() == actual.keys()
            for key in expected:
                assert torch.equal(expected[key], actual[key]), f"{name}/{file.name}: {key}"
    for file in (one / last).iterdir():
        if file.suffix in (".bin", ".pkl"):
            expected, actual = (torch.load(path, weights_only=False) for path in (file, other / last / file.name))
            assert str(expected) == str(actual), file.name
    assert progress_of(one / last) == progress_of(other / last)
    expected, actual = ([row | {"seconds": 0} for row in read_metrics(folder)] for folder in (one, other))
    assert expected == actual


def progress_of(checkpoint: Path) -> dict:
    return json.loads((checkpoint / "progress.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_run_equals_uninterrupted(kind, make_config, tmp_path):
    config = make_config(**KINDS[kind], save_steps=4, save_interval=2, checkpoints_total_limit=None)
    whole = train(config)
    # What a kill leaves: a checkpoint from the middle of an epoch, and rows written after it.
    config.output_dir = tmp_path / "killed"
    config.output_dir.mkdir()
    middle = next(folder for folder in list_checkpoints(whole) if progress_of(folder)["batch"] > 0)
    shutil.copytree(middle, config.output_dir / middle.name)
    progress = progress_of(middle)
    rows = (whole / "metrics.jsonl").read_text().splitlines(keepends=True)
    (config.output_dir / "metrics.jsonl").write_text("".join(rows[: progress["metrics_rows"] + 2]) + '{"step": 1')
    save_config(config, config.output_dir / "train_config.yaml")

    config.resume_from_checkpoint = "latest"
    assert_same_run(whole, train(config))


def test_changed_run_does_not_equal(make_config, tmp_path):
    """The comparison above can fail."""
    one = train(make_config(num_epochs=1, validation_interval=1))
    other = train(make_config(num_epochs=1, validation_interval=1, seed=1, output_dir=tmp_path / "other"))
    with pytest.raises(AssertionError):
        assert_same_run(one, other)


def command(config, *more: str) -> list[str]:
    config.output_dir.mkdir(parents=True, exist_ok=True)
    file = config.output_dir.with_suffix(".yaml")
    save_config(config, file)
    return [str(ROOT / "scripts" / "train.py"), "--config", str(file), *more]


def wait_for_checkpoint(process: subprocess.Popen, output_dir: Path) -> None:
    while not list_checkpoints(output_dir):
        assert process.poll() is None, "ended before its first checkpoint"
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_process_resumes_exactly(make_config, tmp_path):
    options = KINDS["learning encoder"] | {"num_epochs": 15, "save_steps": 10, "save_interval": 15}
    whole = make_config(**options, output_dir=tmp_path / "whole")
    killed = make_config(**options, output_dir=tmp_path / "killed")
    subprocess.run([sys.executable, *command(whole)], check=True)
    process = subprocess.Popen([sys.executable, *command(killed)])
    wait_for_checkpoint(process, killed.output_dir)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed.output_dir / "final").exists()
    subprocess.run([sys.executable, *command(killed, "--resume_from_checkpoint", "latest")], check=True)
    assert_same_run(whole.output_dir, killed.output_dir)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_process_saves_and_resumes_exactly(number, make_config, tmp_path):
    options = KINDS["accumulation"] | {"num_epochs": 25, "save_steps": 10}
    whole = make_config(**options, output_dir=tmp_path / "whole")
    stopped = make_config(**options, output_dir=tmp_path / "stopped")
    subprocess.run([sys.executable, *command(whole)], check=True)
    process = subprocess.Popen([sys.executable, *command(stopped)])
    wait_for_checkpoint(process, stopped.output_dir)
    process.send_signal(number)
    assert process.wait() == 130
    subprocess.run([sys.executable, *command(stopped, "--resume_from_checkpoint", "latest")], check=True)
    assert_same_run(whole.output_dir, stopped.output_dir)


@pytest.mark.slow
def test_two_processes_resume_exactly(make_config, tmp_path):
    """Over gloo; every process has its own noise, and both are asked for."""
    options = KINDS["learning encoder"] | {"num_processes": 2, "save_steps": 3, "checkpoints_total_limit": None}
    launch = [sys.executable, "-m", "accelerate.commands.launch"]
    launch += ["--config_file", str(ROOT / "configs/accelerate/cpu_2_processes.yaml"), "--main_process_port", "0"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    whole = make_config(**options, output_dir=tmp_path / "whole")
    subprocess.run([*launch, *command(whole)], env=environment, check=True)
    resumed = make_config(**options, output_dir=tmp_path / "resumed")
    middle = next(folder for folder in list_checkpoints(whole.output_dir) if progress_of(folder)["batch"] > 0)
    first, second = (torch.load(middle / f"random_states_{i}.pkl", weights_only=False) for i in range(2))
    assert not torch.equal(first["torch_manual_seed"], second["torch_manual_seed"])
    shutil.copytree(middle, resumed.output_dir / middle.name)
    shutil.copy(whole.output_dir / "metrics.jsonl", resumed.output_dir)
    subprocess.run([*launch, *command(resumed, "--resume_from_checkpoint", "latest")], env=environment, check=True)
    assert_same_run(whole.output_dir, resumed.output_dir)


def test_refuses_what_it_cannot_continue(make_config, tmp_path):
    config = make_config(num_epochs=1)
    output_dir = train(config)
    with pytest.raises(UserError, match="holds a run already"):
        train(config)
    for changes, message in [
        ({"validation_fraction": 0.5}, r"validation_fraction: 0.25 -> 0.5\)"),
        ({"hidden_dim": 16}, r"hidden_dim: 32 -> 16\)"),
        ({"ema_decay": 0.0}, r"ema_decay: 0.9 -> 0.0\)"),
    ]:
        with pytest.raises(UserError, match=message):
            train(make_config(num_epochs=2, resume_from_checkpoint="latest", **changes))
    with pytest.raises(UserError, match="no checkpoint to resume"):
        find_checkpoint(tmp_path / "nothing", "latest")
    with pytest.raises(UserError, match="no such checkpoint"):
        find_checkpoint(output_dir, "checkpoint-99")
    (output_dir / "checkpoint-7" / "progress.json").write_text("{}")
    with pytest.raises(UserError, match="not a checkpoint"):
        train(make_config(resume_from_checkpoint="checkpoint-7"))
