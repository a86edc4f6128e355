"""Folders of pipelines that lack something or are damaged: they act as before, or one sentence names what is wrong."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline
from dp_hf.errors import UserError

FRAME = np.full((24, 42, 3), 120, np.uint8)
WEIGHTS = "policy/diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler/scheduler_config.json"
TENSOR = "denoising_network.output.weight"


@pytest.fixture
def folder(make_pipeline, tmp_path):
    make_pipeline(horizon=2).save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def act(folder):
    return DiffusionPolicyPipeline.from_pretrained(folder)(FRAME, generator=torch.Generator().manual_seed(0)).actions


def outcome(folder):
    """Its actions, or what is said of it."""
    try:
        return act(folder)
    except UserError as error:
        return str(error)


def change(file, **values):
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not Ellipsis}))


@pytest.mark.parametrize("part", ["policy", "normalizer"])
@pytest.mark.parametrize("kind", ["absent", "extra", "shape", "nan", "inf", "whole"])
def test_a_tensor_that_is_not_as_it_was_saved_is_refused(folder, part, kind):
    file = folder / part / "diffusion_pytorch_model.safetensors"
    name = TENSOR if part == "policy" else "action_scale"
    tensors = load_file(file)
    if kind == "absent":
        del tensors[name]
    elif kind == "extra":
        tensors[name := "more"] = torch.zeros(1)
    else:
        changed = {"shape": torch.zeros(3), "nan": tensors[name] * torch.nan, "inf": tensors[name] / 0}
        tensors[name] = (changed | {"whole": tensors[name].int()})[kind]
    save_file(tensors, file)
    with pytest.raises(UserError, match=f"{part}/diffusion_pytorch_model.safetensors.*{name}"):
        act(folder)


def test_the_policy_alone_is_loaded_as_strictly(folder):
    tensors = load_file(folder / WEIGHTS)
    del tensors[TENSOR]
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(UserError, match=f"lacks tensor {TENSOR}"):
        DiffusionPolicyModel.from_pretrained(folder / "policy")


@pytest.mark.parametrize("scheduler", [None, DPMSolverMultistepScheduler])
def test_a_lost_key_of_the_scheduler_is_no_default(make_pipeline, tmp_path, scheduler):
    pipeline = make_pipeline()
    if scheduler is not None:
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    pipeline.save_pretrained(tmp_path)
    before, saved = act(tmp_path), (tmp_path / SCHEDULER).read_text()
    for name in json.loads(saved):
        change(tmp_path / SCHEDULER, **{name: ...})
        found = outcome(tmp_path)
        if isinstance(found, str):
            assert f"scheduler_config.json: has no {name}" in found
        else:
            np.testing.assert_array_equal(found, before)
            assert name not in ("prediction_type", "beta_start", "solver_order", "timestep_spacing")
        (tmp_path / SCHEDULER).write_text(saved)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("policy/config.json", {"pooling": ...}, "has no pooling"),
        ("policy/config.json", {"horizon": ...}, "has no horizon"),
        ("normalizer/config.json", {"mode": ...}, "has no mode"),
        ("model_index.json", {"num_inference_steps": ...}, "has no num_inference_steps"),
        ("model_index.json", {"num_inference_steps": -1}, "num_inference_steps is 1 to 20; got -1"),
        ("model_index.json", {"num_inference_steps": 4.5}, "num_inference_steps is 1 to 20; got 4.5"),
        ("model_index.json", {"scheduler": 3}, "scheduler is"),
        ("model_index.json", {"scheduler": ["diffusers", "UNet2DModel"]}, "the scheduler is one of DDPM"),
        (SCHEDULER, {"num_train_timesteps": 10**12}, "num_train_timesteps is 1 to"),
        (SCHEDULER, {"beta_end": float("nan")}, "no noise schedule"),
        (SCHEDULER, {"beta_end": 3.0}, "no noise schedule"),
        (SCHEDULER, {"prediction_type": "nose"}, "prediction_type is epsilon"),
        (SCHEDULER, {"timestep_spacing": "nose"}, "cannot sample"),
        (SCHEDULER, {"clip_sample": 0}, "clip_sample is 0, and it is such as True"),
        (SCHEDULER, {"rescale_betas_zero_snr": -1}, "rescale_betas_zero_snr is -1, and it is such as False"),
        (SCHEDULER, {"steps_offset": True}, "steps_offset is True, and it is such as 0"),
        (SCHEDULER, {"clip_sample_range": "1"}, "clip_sample_range is '1', and it is such as 1"),
    ],
)
def test_a_config_that_means_something_else_is_refused(folder, file, values, message):
    change(folder / file, **values)
    with pytest.raises(UserError, match=f"{folder}.*{message}"):
        act(folder)


@pytest.mark.parametrize("file", [WEIGHTS, SCHEDULER, "policy/config.json", "model_index.json", "README.md"])
@pytest.mark.parametrize("kind", ["absent", "pointer", "cut", "latin"])
def test_a_file_that_did_not_arrive_is_named(folder, file, kind):
    path = folder / file
    if kind == "absent":
        path.unlink()
    else:
        whole = path.read_bytes()
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
        path.write_bytes({"pointer": pointer, "cut": whole[: len(whole) // 2], "latin": b"# Politique \xe9\n"}[kind])
    if file == "README.md" and kind != "latin":
        act(folder)
        return
    with pytest.raises(UserError, match=path.name) as caught:
        act(folder)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not caught.value


@pytest.mark.parametrize("command", ["infer", "evaluate", "run-policy", "serve-policy"])
def test_a_checkpoint_of_the_reference_is_answered_with_its_import(tmp_path, command, capsys):
    from dp_hf.cli.main import main

    file = tmp_path / "my run" / "epoch_9.pth"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    more = ["--image", "frame.png"] if command == "infer" else []
    words = f"`dp-hf import-checkpoint --checkpoint '{file}' --pipeline '{file.with_suffix('')}'` makes a pipeline"
    for place in (file, file.parent):  # the file, or the folder that holds it
        assert main([command, "--pipeline", str(place), *more]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert "Traceback" not in error
    with pytest.raises(UserError, match=r"nowhere\.pth: no such file, and a pipeline is a folder"):
        DiffusionPolicyPipeline.from_pretrained("nowhere.pth")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_whatever_is_damaged_it_acts_as_before_or_says_so(folder, data):
    before, copy = act(folder), folder.with_name("damaged")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    file = data.draw(st.sampled_from(sorted(path for path in copy.rglob("*") if path.is_file())), label="file")
    content = file.read_bytes()
    kind = data.draw(st.sampled_from(["remove", "cut", "drop a key", "another type"]), label="kind")
    if kind == "remove":
        file.unlink()
    elif kind == "cut" or file.suffix != ".json":
        file.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    else:
        name = data.draw(st.sampled_from(sorted(json.loads(content))), label="key")
        values = st.sampled_from([{"a": 1}, "text", [[]], 1e300, -7, float("nan")])
        change(file, **{name: ... if kind == "drop a key" else data.draw(values, label="value")})
    found = outcome(copy)
    if isinstance(found, str):
        assert "\n" not in found
        assert str(copy) in found
    elif kind != "another type":  # a value that is possible may mean other actions
        np.testing.assert_array_equal(found, before)
