import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dp_hf.cli.main import main
from dp_hf.episodes.writer import EpisodeWriter

ROOT = Path(__file__).parents[2]
SMALL = ["--image_encoder", "small_cnn", "--pretrained_backbone", "none", "--image_size", "32", "--hidden_dim", "32"]


def test_real_recording_trains_and_predicts(real_data, tmp_path, capsys):
    data, out = str(real_data / "real_mycobot"), str(tmp_path / "out")
    flags = ["--num-epochs", "2", "--diffusion_timesteps", "10", "--frame-skip", "1"]
    assert main(["train", "--data_dir", data, "--output_dir", out, *SMALL, *flags]) == 0
    output = capsys.readouterr().out
    assert "1 training episodes (16 frames), 0 held out" in output
    assert "no episode is held out" in output
    assert main(["train", "--data_dir", data, "--output_dir", out, *SMALL, *flags]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (
        main(["train", "--config", f"{out}/train_config.yaml", "--resume_from_checkpoint=latest", "--num_epochs=3"])
        == 0
    )
    assert "changed: num_epochs: 2 -> 3" in capsys.readouterr().out

    from dp_hf import DiffusionPolicyPipeline

    image = real_data / "real_mycobot" / "episode95" / "frame_dir" / "image1.png"
    image = image if image.exists() else next((real_data / "real_mycobot").rglob("*.png"))
    actions = DiffusionPolicyPipeline.from_pretrained(Path(out) / "final")(image).actions
    assert actions.shape == (1, 1, 7)
    assert np.isfinite(actions).all()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--data_dir is missing"),
        (["--data_dir", "/nowhere"], "/nowhere"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
        (["--data_dir", "x", "--resume_from_checkpoint", "latest"], "no checkpoint to resume"),
    ],
)
def test_wrong_usage_is_one_line_and_2(flags, message, tmp_path, capsys):
    assert main(["train", "--output_dir", str(tmp_path / "out"), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_impossible_option_is_2(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["train", "--data_dir", "x", "--horizon", "0"])
    assert exit_.value.code == 2
    assert "horizon is at least 1" in capsys.readouterr().err


def test_help_is_quick_and_shows_defaults():
    result = subprocess.run(
        [sys.executable, "-X", "importtime", ROOT / "scripts" / "train.py", "--help"], capture_output=True, text=True
    )
    assert result.returncode == 0
    assert "--learning_rate" in result.stdout
    assert "(default: 0.0001)" in result.stdout
    for group in ("data", "policy", "diffusion", "optimization", "augmentation", "loading", "hardware", "validation"):
        assert f"{group} options" in result.stdout
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert not imported & {"torch", "diffusers", "datasets", "timm"}


@pytest.mark.slow
def test_rollouts_in_the_simulator(tmp_path):
    pytest.importorskip("mujoco")
    data, out = tmp_path / "data", tmp_path / "out"
    rng = np.random.default_rng(0)
    with EpisodeWriter(data, name="episode_20250101_000000_000") as writer:
        for i in range(8):
            writer.add_frame(
                rng.integers(0, 256, (240, 424, 3), dtype=np.uint8), rng.uniform(0, 60, 7), timestamp=i / 10
            )
    flags = ["--num_epochs", "2", "--rollout_interval", "1", "--rollout_episodes", "1", "--diffusion_timesteps", "5"]
    flags += ["--horizon", "8", "--n_action_steps", "8", "--use_proprioception"]
    assert main(["train", "--data_dir", str(data), "--output_dir", str(out), *SMALL, *flags]) == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["rollout"]["success_rate"] for row in rows if "rollout" in row] == [0.0, 0.0]
    assert (out / "best" / "model_index.json").is_file()
