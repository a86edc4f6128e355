import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from dp_hf import DiffusionPolicyPipeline
from dp_hf.errors import UserError
from dp_hf.training.checkpoints import list_checkpoints
from dp_hf.training.records import read_metrics, read_training
from dp_hf.training.trainer import train


def test_run_leaves_what_it_promises(make_config, frame):
    config = make_config(
        horizon=3, n_action_steps=2, use_proprioception=True, save_interval=1, checkpoints_total_limit=2
    )
    output_dir = train(config)
    assert {path.name for path in output_dir.iterdir()} == {
        *("best", "final", "checkpoint-21", "checkpoint-28", "train_config.yaml", "metrics.jsonl", "curves.png")
    }
    assert yaml.safe_load((output_dir / "train_config.yaml").read_text())["horizon"] == 3
    rows = read_metrics(output_dir)
    losses = [row for row in rows if "loss" in row]
    assert [row["step"] for row in losses] == list(range(2, 29, 2))
    assert losses[-1]["learning_rate"] == pytest.approx(0, abs=1e-9)
    validations = [row for row in rows if "validation" in row]
    assert [row["epoch"] for row in validations] == [2, 4]
    assert (output_dir / "curves.png").read_bytes()[:4] == b"\x89PNG"

    for name in ("best", "final"):
        pipeline = DiffusionPolicyPipeline.from_pretrained(output_dir / name)
        actions = pipeline(frame, state=np.zeros(7)).actions
        assert actions.shape == (1, 3, 7)
        assert pipeline.policy.config.fps == 10
        assert pipeline.policy.config.recorded_aspects == [1.7778]
        known = read_training(output_dir / name)
        assert known["train_loss"] in {row["loss"] for row in losses if row["step"] <= known["step"]}
    assert read_training(output_dir / "final") == {"epoch": 4, "step": 28, "train_loss": losses[-1]["loss"]}
    card = (output_dir / "best" / "README.md").read_text()
    assert f"{min(row['validation']['by_joint']['gripper'] for row in validations):.1f}" in card


def test_learns(make_config):
    """The square in the image says where the first joint goes: sampled actions have to follow it."""
    config = make_config(
        **{"num_epochs": 60, "freeze_image_encoder": False, "pooling": "spatial_softmax", "num_keypoints": 4},
        **{"validation_fraction": 0.0, "validation_interval": 30, "use_proprioception": True, "dropout": 0.0},
        **{"prediction_type": "sample", "noise_samples_per_image": 4, "hidden_dim": 64},
    )
    errors = [row["validation"]["error"] for row in read_metrics(train(config)) if "validation" in row]
    assert errors[-1] < 6, "degrees, of about 40 before training"


def test_a_short_run_is_not_all_warm_up(make_config, capsys):
    output_dir = train(make_config(lr_warmup_steps=500, learning_rate=1e-3))
    rates = [row["learning_rate"] for row in read_metrics(output_dir) if "loss" in row]
    assert max(rates) == pytest.approx(1e-3, rel=0.05)
    assert "the learning rate rises for 2 updates in place of 500: a tenth of the 28" in capsys.readouterr().out


@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_encoder_of_random_weights_is_said_aloud(make_config, capsys, freeze):
    output_dir = train(make_config(freeze_image_encoder=freeze, num_epochs=1))
    assert ("frozen with random weights" in capsys.readouterr().out) is freeze
    assert ("frozen with random weights" in (output_dir / "final" / "README.md").read_text()) is freeze


def test_average_is_what_is_saved(make_config):
    output_dir = train(make_config(ema_decay=0.9))
    live = json.loads((output_dir / "final" / "policy" / "config.json").read_text())
    assert live["_class_name"] == "DiffusionPolicyModel"
    from safetensors.torch import load_file

    last = list_checkpoints(output_dir)[-1]
    saved = load_file(output_dir / "final" / "policy" / "diffusion_pytorch_model.safetensors")
    trained, average = load_file(last / "model.safetensors"), load_file(last / "ema.safetensors")
    learned = [name for name in saved if name.startswith("denoising_network")]
    assert len(average) == len(learned)
    for tensor in average.values():
        assert any(torch.equal(tensor, saved[name]) for name in learned)
    assert not torch.equal(saved[learned[0]], trained[learned[0]])


def test_frozen_encoder_stays_as_it_was(make_config):
    config = make_config(image_encoder="resnet10t", image_size=(32,), cache="none", num_epochs=1)
    checkpoint = list_checkpoints(train(config))[-1]
    from safetensors.torch import load_file

    tensors = load_file(checkpoint / "model.safetensors")
    statistics = [value for name, value in tensors.items() if name.endswith("running_mean")]
    assert statistics
    assert all((value == 0).all() for value in statistics)


def test_rollouts_choose_the_best(make_config):
    rates = iter([0.5, 1.0, 0.0])
    seen = []

    def rollout(pipeline):
        assert not pipeline.policy.training
        seen.append(pipeline.policy.denoising_network.output.weight.clone())
        return {"success_rate": next(rates)}

    config = make_config(num_epochs=3, rollout_interval=1)
    output_dir = train(config, rollout)
    found = [row["rollout"]["success_rate"] for row in read_metrics(output_dir) if "rollout" in row]
    assert found == [0.5, 1.0, 0.0]
    best = DiffusionPolicyPipeline.from_pretrained(output_dir / "best").policy.denoising_network.output.weight
    assert torch.equal(best, seen[1])


def test_several_cameras(make_config, tmp_path):
    from dp_hf.episodes.writer import EpisodeWriter

    rng = np.random.default_rng(0)
    for episode in range(2):
        with EpisodeWriter(tmp_path / "two", name=f"episode_20250101_00000{episode}_000") as writer:
            for i in range(6):
                images = {name: rng.integers(0, 256, (24, 32, 3), dtype=np.uint8) for name in ("left", "right")}
                writer.add_frame(images, rng.uniform(-60, 60, 7).clip(0), timestamp=0.1 * i)
    config = make_config(data_dir=str(tmp_path / "two"), num_epochs=1)
    pipeline = DiffusionPolicyPipeline.from_pretrained(train(config) / "final")
    assert list(pipeline.policy.config.camera_names) == ["left", "right"]
    config.output_dir, config.data.camera_names = tmp_path / "one", ("right",)
    assert list(DiffusionPolicyPipeline.from_pretrained(train(config) / "final").policy.config.camera_names) == [
        "right"
    ]
    config.output_dir, config.data.camera_names = tmp_path / "none", ("top",)
    with pytest.raises(UserError, match="no camera top; it has left, right"):
        train(config)


def test_wrong_requests(make_config):
    with pytest.raises(UserError, match="--data_dir is missing"):
        train(make_config(data_dir=""))
    with pytest.raises(UserError, match="2 processes were asked for, 1 run"):
        train(make_config(num_processes=2))
    if not find_spec("wandb"):
        with pytest.raises(UserError, match="pip install wandb"):
            train(make_config(tracker="wandb"))
    assert not make_config().output_dir.exists()


@pytest.mark.parametrize("precision", ["bf16"])
def test_mixed_precision(precision, make_config):
    output_dir = train(make_config(mixed_precision=precision, freeze_image_encoder=False, num_epochs=2))
    assert np.isfinite([row["loss"] for row in read_metrics(output_dir) if "loss" in row]).all()
    pipeline = DiffusionPolicyPipeline.from_pretrained(output_dir / "final")
    assert pipeline.policy.dtype == torch.float32


def test_a_loss_that_is_not_finite_stops_the_run(make_config):
    with pytest.raises(UserError, match="lower --learning_rate"):
        train(make_config(learning_rate=10, num_mlp_layers=40, lr_scheduler="constant", log_interval=1))


def test_tensorboard(make_config):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    output_dir = train(make_config(tracker="tensorboard", num_epochs=2))
    accumulator = events.EventAccumulator(str(output_dir / "dp_hf"))
    accumulator.Reload()
    assert {"loss", "learning_rate", "validation/error", "validation/by_joint/gripper"} <= set(
        accumulator.Tags()["scalars"]
    )


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no /dev/shm")
def test_workers_without_shared_memory_for_their_batches_are_refused(make_config):
    with pytest.raises(UserError, match=r"batches on their way take \d+ MB of shared memory, /dev/shm has \d+ MB free"):
        train(make_config(cache="none", num_workers=1000, batch_size=32, image_size=(2048,)))
