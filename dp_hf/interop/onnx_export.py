"""Exports a pipeline to ONNX, as a folder that `DiffusionPolicyPipeline.from_pretrained` opens."""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from dp_hf.errors import UserError
from dp_hf.models.onnx_graph import DENOISER_FILE, ENCODER_FILE, export_record
from dp_hf.models.onnx_policy import OnnxPolicy
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.models.policy_config import prefix_dim
from dp_hf.pipelines.alarm_folder import with_weights_of, write_alarm
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline

Quantization = Literal["none", "int8", "bf16"]

OPSET = 18
# What the int8 backbone computes in int8; the rest, such as a spatial softmax, stays float32.
INT8_OPERATORS = ["Conv", "Relu", "Add", "MaxPool", "GlobalAveragePool", "Gemm", "MatMul"]


def export_onnx(
    pipeline: DiffusionPolicyPipeline,
    folder: Path,
    quantize: Quantization = "none",
    calibration_images: torch.Tensor | None = None,
) -> None:
    """Writes the pipeline with its encoder and denoiser as ONNX graphs, both with a free batch size.

    `int8` quantizes the encoder's weights (per channel) and activations, after calibration, for CPUs with int8 dot
    products (AVX512-VNNI, AVX-VNNI, Arm dot product). `bf16` stores weights in half the size and computes in float32.
    The denoiser is never int8: it is small, and its errors would add up over the denoising steps.

    Args:
        folder: an existing, empty folder.
        calibration_images: uint8 (N, 3, H, W), of the size the policy takes; for `int8`.

    Raises:
        UserError: the packages of the extra `onnx` are missing, or int8 is asked for without images.
    """
    policy = pipeline.policy
    if not isinstance(policy, DiffusionPolicyModel):
        raise UserError("this pipeline is exported already: give the one that it was made from")
    if quantize == "int8" and calibration_images is None:
        raise UserError("int8 is calibrated on images: give the recordings that the policy was trained on, --data_dir")
    pipeline.save_pretrained(folder)
    target = folder / "policy"
    for weights in target.glob("*.safetensors*"):
        weights.unlink()
    with _quiet():
        _export(policy.encoder, target / ENCODER_FILE, images=example_images(policy))
        _export(policy.denoising_network, target / DENOISER_FILE, **_example_of_denoiser(policy))
        if quantize == "int8":
            assert calibration_images is not None
            _quantize_int8(target / ENCODER_FILE, calibration_images)
        elif quantize == "bf16":
            for name in (ENCODER_FILE, DENOISER_FILE):
                _store_bf16(target / name)
    _edit_json(
        target / "config.json",
        _class_name=OnnxPolicy.__name__,
        quantization=quantize,
        export=export_record(target),
    )
    _edit_json(folder / "model_index.json", policy=[OnnxPolicy.__module__, OnnxPolicy.__name__])
    # A quantized encoder's features are others, and so far from those of training that the limits do not hold.
    write_alarm(folder, with_weights_of(folder, pipeline.alarm) if quantize == "none" else None)


def example_images(policy: DiffusionPolicyModel) -> torch.Tensor:
    """Two black images of the policy's size."""
    return torch.zeros(2, 3, *policy.config.image_size, dtype=torch.uint8)


def _example_of_denoiser(policy: DiffusionPolicyModel) -> dict[str, torch.Tensor]:
    config = policy.config
    features = policy.encoder.feature_dim * len(config.camera_names) * config.n_obs_steps
    features += config.state_dim * config.n_obs_steps if config.use_proprioception else 0
    return {
        "noisy_actions": torch.zeros(2, config.horizon, config.action_dim),
        "timesteps": torch.zeros(2, dtype=torch.int64),
        "observation": torch.zeros(2, features + prefix_dim(config)),
    }


def _export(module: torch.nn.Module, file: Path, **inputs: torch.Tensor) -> None:
    try:
        import onnxscript  # noqa: F401, the exporter needs it
    except ImportError as error:
        raise UserError('the export needs more packages: pip install "dp_hf[onnx]"') from error
    batch = torch.export.Dim("batch", max=2**31 - 1)  # without an end, torch 2.6 finds that not every batch will do
    torch.onnx.export(
        module.cpu().float().eval(),
        tuple(inputs.values()),
        file,
        input_names=list(inputs),
        output_names=["output"],
        dynamic_shapes=tuple({0: batch} for _ in inputs),
        dynamo=True,
        external_data=False,
        opset_version=OPSET,
        verbose=False,
    )


def _quantize_int8(file: Path, images: torch.Tensor) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):
        def __init__(self):
            self.remaining = iter(tqdm(images.split(1), "Calibrating", unit="image", delay=1))

        def get_next(self):
            image = next(self.remaining, None)
            return None if image is None else {"images": image.numpy()}

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / file.name
        quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(file),
            Images(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=INT8_OPERATORS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _store_bf16(file: Path) -> None:
    """Halves every large weight of a graph, which is widened again when it is loaded."""
    import onnx

    model = onnx.load(file)
    graph, casts = model.graph, []
    for weight in graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < 256:
            continue
        name, values = weight.name, torch.from_numpy(onnx.numpy_helper.to_array(weight).copy())
        weight.CopyFrom(
            onnx.TensorProto(
                name=f"{name}_bf16",
                data_type=onnx.TensorProto.BFLOAT16,
                dims=weight.dims,
                raw_data=values.bfloat16().view(torch.int16).numpy().tobytes(),
            )
        )
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, file)


def _edit_json(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notes on their own workings."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
