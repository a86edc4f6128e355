import argparse
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dp_hf.errors import UserError
from dp_hf.interop.reference_checkpoint import export_checkpoint, import_policy, import_scheduler, read_checkpoint
from dp_hf.models.normalizer import Normalizer

sys.path.insert(0, str(Path(__file__).parent))
from reference import NewerReference, OlderReference, randomize, sample

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
ARGUMENTS = {"state_dim": 7, "image_size": 64, "diffusion_timesteps": 20, "beta_start": 1e-4, "beta_end": 0.02}

VARIANTS = {
    "newer, hidden 128, time x2": (lambda: NewerReference(128, 2), {}),
    "newer, hidden 256, time x4, 3 layers": (lambda: NewerReference(256, 4, num_layers=3), {}),
    "older": (lambda: OlderReference(256, 2), {}),
    "older, numbered backbone, time x4": (lambda: OlderReference(128, 4, indexed=True), {}),
    "older, mish, time before image": (
        lambda: OlderReference(mish=True, order="ati"),
        {"activation": "mish", "input_order": "action_time_image"},
    ),
}


def save(path, model, args=None, **content):
    args = argparse.Namespace(**ARGUMENTS) if args is None else args
    torch.save({"epoch": 7, "model_state_dict": model.state_dict(), "args": args, **content}, path)
    return path


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_predicts_the_same_noise(name, tmp_path):
    make, options = VARIANTS[name]
    reference = randomize(make())
    policy = import_policy(read_checkpoint(save(tmp_path / "model.pth", reference)), **options)
    images = torch.randint(0, 256, (3, 1, 1, 3, 64, 64), dtype=torch.uint8)
    actions = torch.randn(3, 7) * 100
    timesteps = torch.tensor([0, 517, 999])
    expected = reference(actions, timesteps, (images[:, 0, 0] / 255 - MEAN) / STD)
    predicted = policy(actions[:, None], timesteps, images).sample[:, 0]
    assert (predicted - expected).abs().max() < 1e-5 * max(1.0, expected.abs().max())


@torch.no_grad()
def test_samples_the_same_actions(tmp_path):
    from dp_hf import DiffusionPolicyPipeline

    reference = randomize(NewerReference())
    checkpoint = read_checkpoint(save(tmp_path / "model.pth", reference))
    policy = import_policy(checkpoint)
    pipeline = DiffusionPolicyPipeline(policy, import_scheduler(checkpoint), Normalizer("identity"))
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    pixels = (image / 255 - MEAN)[None] / STD
    predict = lambda actions, timesteps: 20 * reference(actions, timesteps, pixels)  # noqa: E731, large: clips show
    expected = sample(predict, (1, 7), 20, 1e-4, 0.02, torch.Generator().manual_seed(3))
    policy.denoising_network.output.weight.mul_(20)
    policy.denoising_network.output.bias.mul_(20)
    actions = pipeline(image, generator=torch.Generator().manual_seed(3), output_type="pt").actions
    assert expected.abs().max() > 1.5
    torch.testing.assert_close(actions[:, 0], expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["newer, hidden 128, time x2", "older", "older, mish, time before image"])
def test_exports_what_it_imported(name, tmp_path):
    make, options = VARIANTS[name]
    reference = randomize(make())
    checkpoint = read_checkpoint(save(tmp_path / "model.pth", reference, train_loss=0.25))
    policy = import_policy(checkpoint, **options)
    export_checkpoint(
        tmp_path / "out.pth",
        policy,
        import_scheduler(checkpoint),
        Normalizer("identity"),
        checkpoint.arguments,
        checkpoint.metrics,
        checkpoint.backbone_is_indexed,
        options.get("input_order", "action_image_time"),
    )
    exported = torch.load(tmp_path / "out.pth", weights_only=True)
    assert set(exported["model_state_dict"]) == set(reference.state_dict())
    for key, value in reference.state_dict().items():
        assert torch.equal(exported["model_state_dict"][key], value), key
    assert (exported["epoch"], exported["train_loss"]) == (7, 0.25)
    assert exported["args"].items() >= ARGUMENTS.items()
    optimizer = torch.optim.AdamW(reference.parameters())
    optimizer.load_state_dict(exported["optimizer_state_dict"])


def test_reads_arguments_and_metrics_of_the_types_that_training_leaves(tmp_path):
    args = argparse.Namespace(**ARGUMENTS, data_dir=Path("data/stack"), lr=np.float64(1e-4), augment=False)
    content = {"eval_metric": np.float64(3.5), "train_loss": 0.5, "optimizer_state_dict": {}}
    checkpoint = read_checkpoint(save(tmp_path / "model.pth", torch.nn.Linear(2, 2), args, **content))
    assert checkpoint.metrics == {"epoch": 7, "eval_metric": 3.5, "train_loss": 0.5}
    assert checkpoint.arguments == {**ARGUMENTS, "data_dir": "data/stack", "lr": 1e-4, "augment": False}
    assert checkpoint.has_optimizer


class Command:
    def __reduce__(self):
        return os.system, (f"touch {Path(__file__).parent}/harmed",)


@pytest.mark.parametrize("how", ["in arguments", "bare pickle", "namespace attribute"])
def test_runs_nothing_that_a_file_asks_for(how, tmp_path):
    path = tmp_path / "model.pth"
    if how == "bare pickle":
        path.write_bytes(pickle.dumps(Command(), protocol=2))
    else:
        args = Command() if how == "in arguments" else argparse.Namespace(data_dir=Command())
        save(path, torch.nn.Linear(2, 2), args)
    with pytest.raises(UserError, match=r"model\.pth: refused: it asks to run \w+\.system"):
        read_checkpoint(path)
    assert not (Path(__file__).parent / "harmed").exists()


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<!DOCTYPE html>", b"PK\x03\x04truncated", pickle.dumps(Command())]
)
def test_refuses_what_is_no_checkpoint(content, tmp_path):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(UserError, match="not a checkpoint that PyTorch saved"):
        read_checkpoint(tmp_path / "model.pth")


def break_weights(state, how):
    if how == "missing":
        del state["layers.1.layers.0.bias"]
    elif how == "unknown":
        state["extra.weight"] = torch.zeros(2)
    elif how == "not finite":
        state["output_projection.bias"][0] = torch.nan
    elif how == "shape":
        state["layers.0.layers.0.weight"] = torch.zeros(128, 5)
    elif how == "flat":
        state["time_mlp.1.weight"] = torch.zeros(128)
    elif how == "another network":
        for key in list(state):
            state[f"unet.{key}"] = state.pop(key)


@pytest.mark.parametrize("how", ["missing", "unknown", "not finite", "shape", "flat", "another network"])
def test_names_what_is_wrong_with_the_weights(how, tmp_path):
    model = randomize(NewerReference())
    state = model.state_dict()
    break_weights(state, how)
    torch.save({"model_state_dict": state}, tmp_path / "model.pth")
    expected = {
        "missing": r"1 parameters are missing, such as layers\.1\.layers\.0\.bias",
        "unknown": r"not the reference's, such as extra\.weight",
        "not finite": r"output_projection\.bias holds values that are not finite",
        "shape": "not the shapes of the reference",
        "flat": r"time_mlp\.1\.weight is of shape \(128,\)",
        "another network": "its parameters are unet",
    }
    with pytest.raises(UserError, match=expected[how]):
        import_policy(read_checkpoint(tmp_path / "model.pth"))


@pytest.mark.parametrize("wrong", [{"diffusion_timesteps": 0}, {"beta_end": "0.02"}, {"beta_start": 0.5}])
def test_names_a_wrong_training_argument(wrong, tmp_path):
    checkpoint = read_checkpoint(save(tmp_path / "model.pth", torch.nn.Linear(2, 2), ARGUMENTS | wrong))
    with pytest.raises(UserError, match=next(iter(wrong))):
        import_scheduler(checkpoint)


def test_exports_only_what_the_reference_can_hold(tmp_path, make_pipeline):
    pipeline = make_pipeline(horizon=4)
    with pytest.raises(UserError, match=r"resnet34.*horizon 1.*identity.*clip_sample False"):
        export_checkpoint(tmp_path / "out.pth", pipeline.policy, pipeline.scheduler, pipeline.normalizer)
    assert list(tmp_path.glob("*.pth*")) == []
