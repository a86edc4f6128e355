"""An alarm lies in its pipeline's folder, comes with it, and is refused where it is damaged or another's."""

import json
import shutil

import numpy as np
import pytest
import torch
from helpers.alarms import limits_for
from safetensors.numpy import load_file, save_file

from dp_hf import DiffusionPolicyPipeline
from dp_hf.errors import UserError
from dp_hf.pipelines.weights import digest_weights


@pytest.fixture
def folder(make_pipeline, tmp_path):
    """A pipeline with an alarm."""
    pipeline = make_pipeline(horizon=4, use_proprioception=True)
    pipeline.save_pretrained(tmp_path / "pipeline")
    limits = limits_for(pipeline.policy.config, digest_weights(tmp_path / "pipeline"), time=60.5)
    limits.write(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def same(one, other):
    assert (one.limits, one.alone, one.usual, one.calibration) == (
        *(other.limits, other.alone, other.usual, other.calibration),
    )
    for name, values in vars(one.reference).items():
        np.testing.assert_array_equal(values, getattr(other.reference, name))
        assert values.dtype == np.float32


def test_it_comes_with_the_pipeline_and_goes_with_it(folder, tmp_path):
    pipeline = DiffusionPolicyPipeline.from_pretrained(folder)
    assert pipeline.alarm.limits == {"plan": 1e6, "time": 60.5}
    pipeline.save_pretrained(tmp_path / "again")
    same(DiffusionPolicyPipeline.from_pretrained(tmp_path / "again").alarm, pipeline.alarm)


def test_weights_that_have_changed_do_not_keep_it(folder, tmp_path, caplog):
    pipeline = DiffusionPolicyPipeline.from_pretrained(folder)
    with torch.no_grad():
        pipeline.normalizer.action_scale += 1
    pipeline.save_pretrained(folder)
    assert "measured with other weights" in caplog.text
    assert not (folder / "alarm").exists()
    assert DiffusionPolicyPipeline.from_pretrained(folder).alarm is None


def test_that_of_another_policy_is_refused(folder, make_pipeline, tmp_path):
    make_pipeline(horizon=4, use_proprioception=True).save_pretrained(tmp_path / "other")
    shutil.copytree(folder / "alarm", tmp_path / "other" / "alarm")
    with pytest.raises(UserError, match="limits of another policy: restore it, remove the folder, or measure"):
        DiffusionPolicyPipeline.from_pretrained(tmp_path / "other")


@pytest.mark.parametrize(
    "values",
    [
        {"limits": {"plan": 1.0}},
        {"limits": {"plan": 1.0, "time": -1.0}},
        {"limits": {"plan": "1", "time": 1.0}},
        {"limits": [1.0, 2.0]},
        {"alone": {"plan": 1.0, "progress": 1.0, "picture": 1.0}},
        {"usual": None},
        {"calibration": {}},
        {"version": 2},
        {"version": ...},
    ],
)
def test_limits_that_are_none_are_refused_in_one_sentence(folder, values):
    file = folder / "alarm" / "limits.json"
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not Ellipsis}))
    with pytest.raises(UserError, match=r"limits\.json.*calibrate-alarm"):
        DiffusionPolicyPipeline.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("false_alarms", value) for value in (-0.1, 0, 1, "2", [], 1e999)),
        *(("num_successes", value) for value in (0, "2", [], 1.5)),
        *(("n_action_steps", value) for value in (-1, "2", [], True)),
        *(("temporal_ensemble", value) for value in ("2", [], 1e999)),
        *(("weights", value) for value in (1, [], "another's")),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(folder, name, value):
    file = folder / "alarm" / "limits.json"
    content = json.loads(file.read_text())
    content["calibration"][name] = value
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"limits\.json.*calibrate-alarm"):
        DiffusionPolicyPipeline.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["absent", "cut", "lost", "nan", "width", "rows", "scale", "float64"])
def test_a_reference_that_is_damaged_is_refused_in_one_sentence(folder, kind):
    file = folder / "alarm" / "reference.safetensors"
    arrays = load_file(file)
    if kind == "absent":
        file.unlink()
    elif kind == "cut":
        file.write_bytes(file.read_bytes()[:-10])
    else:
        changed = {
            "lost": {"states": None},
            "nan": {"features": arrays["features"] * np.nan},
            "width": {"states": arrays["states"][:, :3].copy()},
            "rows": {"remaining": arrays["remaining"][1:].copy()},
            "scale": {"feature_scale": arrays["feature_scale"] * 0},
            "float64": {"features": arrays["features"].astype(np.float64)},
        }[kind]
        save_file({name: each for name, each in {**arrays, **changed}.items() if each is not None}, file)
    with pytest.raises(UserError, match=r"reference\.safetensors"):
        DiffusionPolicyPipeline.from_pretrained(folder)


def test_a_policy_of_ones_own_in_its_place_has_none(folder):
    pipeline = DiffusionPolicyPipeline.from_pretrained(folder)
    assert DiffusionPolicyPipeline.from_pretrained(folder, policy=pipeline.policy).alarm is None


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["none", "bf16"])
def test_an_export_keeps_it_where_it_acts_as_before(folder, tmp_path, quantize):
    pytest.importorskip("onnxruntime")
    from dp_hf.interop.onnx_export import export_onnx
    from dp_hf.pipelines.exported.pipeline import DiffusionPolicyPipeline as WithoutTorch

    pipeline = DiffusionPolicyPipeline.from_pretrained(folder)
    (tmp_path / "exported").mkdir()
    export_onnx(pipeline, tmp_path / "exported", quantize)
    frame, state = np.zeros((24, 42, 3), np.uint8), np.zeros(7)
    for loaded in map(
        lambda kind: kind.from_pretrained(tmp_path / "exported"), (DiffusionPolicyPipeline, WithoutTorch)
    ):
        assert (loaded.alarm is None) == (quantize != "none")
        if loaded.alarm is not None:
            assert loaded.alarm.limits == pipeline.alarm.limits
            features = loaded(frame, state=state, num_inference_steps=2).image_features
            expected = pipeline(frame, state=state, num_inference_steps=2).image_features
            np.testing.assert_allclose(features, expected, atol=1e-4)
