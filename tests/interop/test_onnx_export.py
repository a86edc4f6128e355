import json

import numpy as np
import pytest
import torch

from dp_hf import DiffusionPolicyPipeline
from dp_hf.cli.export_policy import main
from dp_hf.errors import UserError
from dp_hf.interop.bundled_code import add_code
from dp_hf.interop.onnx_export import export_onnx
from dp_hf.pipelines.inputs import prepare_images

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

SEVERAL = {
    "denoiser": "unet1d",
    "down_dims": (16, 32),
    "horizon": 6,
    "n_obs_steps": 2,
    "camera_names": ("head", "wrist"),
    "use_proprioception": True,
    "pooling": "spatial_softmax",
    "num_keypoints": 8,
    "freeze_image_encoder": False,
}


def act(pipeline, images, **kwargs):
    return pipeline(images, generator=torch.Generator().manual_seed(0), **kwargs).actions


@pytest.fixture(scope="module")
def images():
    return list(np.random.default_rng(0).integers(0, 256, (6, 240, 424, 3), dtype=np.uint8))


def test_gives_the_same_actions_for_several_cameras_steps_and_batches(tmp_path, make_pipeline, images):
    pipeline = make_pipeline(**SEVERAL)
    pipeline.save_pretrained(tmp_path / "torch")
    assert main(["--pipeline", str(tmp_path / "torch"), "--output_dir", str(tmp_path / "onnx")]) == 0
    exported = DiffusionPolicyPipeline.from_pretrained(tmp_path / "onnx", backend="onnx")
    frames = [{"head": images[i], "wrist": images[i + 1]} for i in range(5)]
    state = np.linspace(-90, 90, 3 * 7, dtype=np.float32).reshape(3, 7)
    batch = [frames[i : i + 2] for i in range(3)]
    np.testing.assert_allclose(
        act(exported, batch, state=state), act(pipeline, batch, state=state), atol=1e-3, rtol=1e-4
    )


@pytest.mark.parametrize(("quantize", "share"), [("int8", 0.45), ("bf16", 0.7)])
def test_quantized_actions_are_close_and_smaller(tmp_path, make_pipeline, images, quantize, share):
    pipeline = make_pipeline(hidden_dim=8)
    pixels = prepare_images(images, pipeline.policy.config)
    for name in ("none", quantize):
        (tmp_path / name).mkdir()
        export_onnx(pipeline, tmp_path / name, name, pixels.flatten(0, -4))
    exported = DiffusionPolicyPipeline.from_pretrained(tmp_path / quantize)
    # Features, as actions need not differ: a denoiser of eight units may ignore them, and actions are clipped.
    with torch.no_grad():
        features, rounded = (each.policy.encode_images(pixels) for each in (pipeline, exported))
    assert 1e-4 < (rounded - features).norm() / features.norm() < 0.03
    np.testing.assert_allclose(act(exported, images), act(pipeline, images), atol=2)  # degrees, of 320
    sizes = [(tmp_path / name / "policy" / "encoder.onnx").stat().st_size for name in ("none", quantize)]
    assert sizes[1] < share * sizes[0]
    assert exported.policy.config.quantization == quantize


def test_an_exported_pipeline_behaves_like_one(tmp_path, make_pipeline, images):
    (tmp_path / "onnx").mkdir()
    export_onnx(make_pipeline(), tmp_path / "onnx")
    exported = DiffusionPolicyPipeline.from_pretrained(tmp_path / "onnx").to("cpu")
    exported.save_pretrained(tmp_path / "again")
    again = DiffusionPolicyPipeline.from_pretrained(tmp_path / "again")
    assert np.array_equal(act(again, images[0]), act(exported, images[0]))
    with pytest.raises(UserError, match="onnxruntime optimizes"):
        exported.optimize_for_inference()
    with pytest.raises(UserError, match="exported already"):
        export_onnx(exported, tmp_path)
    with pytest.raises(UserError, match="exported to ONNX cannot be added"):
        add_code(tmp_path / "onnx")
    with pytest.raises(UserError, match="is for onnx, not for torch"):
        DiffusionPolicyPipeline.from_pretrained(tmp_path / "onnx", backend="torch")
    (tmp_path / "onnx" / "policy" / "denoiser.onnx").write_bytes(b"no graph")
    with pytest.raises(UserError, match=r"denoiser\.onnx: damaged, or of another export"):
        DiffusionPolicyPipeline.from_pretrained(tmp_path / "onnx")
    config = tmp_path / "onnx" / "policy" / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"export": None}))  # as of exports before there were digests
    with pytest.raises(UserError, match=r"denoiser\.onnx: onnxruntime cannot run it"):
        DiffusionPolicyPipeline.from_pretrained(tmp_path / "onnx")


def test_command_compares_on_the_users_data(tmp_path, make_pipeline, record_episode, capsys):
    make_pipeline().save_pretrained(tmp_path / "torch")
    record_episode(tmp_path / "data", "episode1")
    arguments = ["--pipeline", str(tmp_path / "torch"), "--output_dir", str(tmp_path / "onnx"), "--quantize", "int8"]
    assert main(arguments) == 2
    assert "give it with --data_dir" in capsys.readouterr().err
    assert main([*arguments, "--data_dir", str(tmp_path / "data"), "--num_comparisons", "3"]) == 0
    out = capsys.readouterr().out
    assert "onnx int8" in out
    assert "action error on 3 observations" in out
    assert json.loads((tmp_path / "onnx" / "policy" / "config.json").read_text())["_class_name"] == "OnnxPolicy"
    assert main([*arguments, "--data_dir", str(tmp_path / "data")]) == 2
    assert "exists" in capsys.readouterr().err


def test_a_failed_export_leaves_nothing(tmp_path, make_pipeline, monkeypatch):
    make_pipeline().save_pretrained(tmp_path / "torch")
    arguments = ["--pipeline", str(tmp_path / "torch"), "--output_dir", str(tmp_path / "onnx"), "--quantize", "int8"]
    assert main([*arguments, "--data_dir", str(tmp_path / "absent")]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["torch"]
