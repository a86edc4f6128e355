"""The two graphs of an exported policy, run by onnxruntime; and whether they are of one export. Free of torch."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.errors import UserError
from dp_hf.models.policy_config import prefix_dim

ENCODER_FILE, DENOISER_FILE = "encoder.onnx", "denoiser.onnx"
# Of what an export's config says of its files; one that does not know the number cannot run the export.
EXPORT_FORMAT = 1
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
# A smaller graph is run in less time than it takes to wake other threads.
ONE_THREAD_BYTES = 4_000_000
_AGAIN = "export the policy again with dp-hf export-policy"


class OnnxGraph:
    """One graph, called with arrays in the order of its inputs.

    Attributes:
        inputs: name to type and shape, but for the batch, such as {"images": ("tensor(uint8)", [3, 48, 84])}.
        output: shape, likewise.

    Raises:
        UserError: onnxruntime is not installed, the file is not there, or cannot be run.
    """

    def __init__(self, file: Path):
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError('this policy needs onnxruntime: pip install "dp_hf[onnx]"') from error
        if not file.is_file():
            raise UserError(f"{file}: no such file; {_AGAIN}")
        self.file = file
        providers = [provider for provider in PROVIDERS if provider in onnxruntime.get_available_providers()]
        options = onnxruntime.SessionOptions()
        is_small = file.stat().st_size < ONE_THREAD_BYTES
        options.intra_op_num_threads = 1 if is_small else 0
        if is_small:  # a second copy of the weights, in another order, would make nothing faster
            options.add_session_config_entry("session.disable_prepacking", "1")
        # Threads that wait in a loop would take the cores from the rest of a controller.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(file, options, providers=providers)
        except Exception as error:  # onnxruntime's own exceptions have no common base
            reason = str(error).splitlines()[0]
            raise UserError(f"{file}: onnxruntime cannot run it ({reason}); export the policy again") from error
        self.inputs = {value.name: (value.type, value.shape[1:]) for value in self.session.get_inputs()}
        self.output = self.session.get_outputs()[0].shape[1:]

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        return self.session.run(None, dict(zip(self.inputs, arrays, strict=True)))[0]


def open_graphs(folder: Path, config: Any) -> tuple[OnnxGraph, OnnxGraph]:
    """Encoder and denoiser of an exported policy, which are those that its config was written for.

    Args:
        folder: `policy/` of the export.
        config: the policy's, with `export`, see `export_record`, where the export is not from before there was one.

    Raises:
        UserError: a file that is absent, damaged or of another export, or a graph for other shapes than the config's.
    """
    require_export(folder, getattr(config, "export", None))
    encoder, denoiser = OnnxGraph(folder / ENCODER_FILE), OnnxGraph(folder / DENOISER_FILE)
    if len(encoder.output) != 1 or not isinstance(encoder.output[0], int):
        raise UserError(f"{encoder.file}: gives {encoder.output}, and one vector of features is expected; {_AGAIN}")
    observed = encoder.output[0] * len(config.camera_names) * config.n_obs_steps
    observed += config.state_dim * config.n_obs_steps if config.use_proprioception else 0
    observed += prefix_dim(config)
    chunk = [config.horizon, config.action_dim]
    _require(encoder, {"images": ("tensor(uint8)", [3, *config.image_size])})
    _require(
        denoiser,
        {
            "noisy_actions": ("tensor(float)", chunk),
            "timesteps": ("tensor(int64)", []),
            "observation": ("tensor(float)", [observed]),
        },
    )
    return encoder, denoiser


def export_record(folder: Path) -> dict[str, Any]:
    """What an export's config says of itself: its format, and the digest of each of its graphs."""
    return {
        "format": EXPORT_FORMAT,
        "sha256": {name: _digest(folder / name) for name in (ENCODER_FILE, DENOISER_FILE)},
    }


def require_export(folder: Path, record: Mapping[str, Any] | None) -> None:
    """Raises `UserError` for graphs that are not those of `record`; None, of an older export, says nothing."""
    if record is None:
        return
    try:
        number, digests = record["format"], {str(name): str(value) for name, value in record["sha256"].items()}
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{folder}/config.json: its export is {str(record)[:80]}; {_AGAIN}") from error
    if number != EXPORT_FORMAT:
        raise UserError(
            f"{folder}/config.json: an export of format {number}, and this dp_hf runs format {EXPORT_FORMAT}: install "
            "the dp_hf that it was exported with, or export the policy again with this one"
        )
    if digests.keys() != {ENCODER_FILE, DENOISER_FILE}:
        raise UserError(f"{folder}/config.json: its export is of {', '.join(digests)[:80]}; {_AGAIN}")
    for name, digest in digests.items():
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: no such file; {_AGAIN}")
        if _digest(folder / name) != digest:
            raise UserError(
                f"{folder / name}: damaged, or of another export than {folder}/config.json: copy the whole folder "
                "anew, or export the policy again"
            )


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _require(graph: OnnxGraph, expected: dict[str, tuple[str, list]]) -> None:
    if graph.inputs != expected:
        raise UserError(
            f"{graph.file}: takes {_in_words(graph.inputs)}, and the policy's config.json is of {_in_words(expected)}: "
            "they are of different exports; copy the whole folder anew, or export the policy again"
        )


def _in_words(inputs: Mapping[str, tuple[str, list]]) -> str:
    return ", ".join(f"{name} {shape} {type_}" for name, (type_, shape) in inputs.items())
