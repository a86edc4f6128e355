"""`dp-hf export-policy`: a pipeline for onnxruntime, smaller or faster, and how it compares with what it came from."""

import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dp_hf.arms.matching import require_data_of
from dp_hf.arms.quantities import amounts_of
from dp_hf.arms.undescribed import quantities_of
from dp_hf.cli.arguments import parse, run
from dp_hf.ranges import Range

if TYPE_CHECKING:
    import numpy as np

    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline

    Observation = tuple[list[dict[str, Any]], np.ndarray]  # the last frames by camera, and their states

WARM_UP_CALLS, TIMED_CALLS = 3, 20


@dataclass
class ExportPolicy:
    """Export a pipeline to ONNX and print its size, latency and action error beside the original's.

    The new folder loads as the old one does: DiffusionPolicyPipeline.from_pretrained(OUTPUT_DIR). Needs the extra onnx.
    """

    pipeline: str
    """folder or Hub repository of the pipeline"""
    output_dir: Path
    """new folder; must not exist"""
    format: Literal["onnx"] = "onnx"
    """what runs it: onnxruntime"""
    quantize: Literal["none", "int8", "bf16"] = "none"
    """int8: the image encoder in 8-bit integers, calibrated on DATA_DIR, for CPUs with int8 dot products; bf16: weights
    in half the size, computed with in float32. The denoiser is never int8: its errors would add up over the steps"""
    data_dir: str | None = None
    """dataset or episodes that the policy was trained on: calibrates int8, and measures the action error"""
    num_calibration_images: Annotated[int, Range(1)] = 128
    """images to calibrate on, evenly spaced over the data"""
    num_comparisons: Annotated[int, Range(1)] = 20
    """observations to compare actions on, evenly spaced over the data"""
    num_inference_steps: Annotated[int, Range(1)] | None = None
    """denoising steps in the comparison; default the pipeline's own"""


def main(argv: list[str] | None = None) -> int:
    return run(export, parse(ExportPolicy, argv, "dp-hf export-policy", old_names={"output": "output_dir"}))


def export(arguments: ExportPolicy) -> None:
    from dp_hf.errors import UserError
    from dp_hf.files import folder_written_beside
    from dp_hf.interop.onnx_export import export_onnx
    from dp_hf.pipelines.exported.pipeline import DiffusionPolicyPipeline as WithoutTorch
    from dp_hf.pipelines.inputs import prepare_images
    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline

    if arguments.output_dir.exists():
        raise UserError(f"{arguments.output_dir} exists: give a new folder, or move it away")
    if arguments.quantize == "int8" and arguments.data_dir is None:
        raise UserError("int8 is calibrated on the data that the policy was trained on: give it with --data_dir")
    pipeline = DiffusionPolicyPipeline.from_pretrained(arguments.pipeline)
    images = None
    if arguments.quantize == "int8":
        chosen = observations(pipeline, arguments.data_dir, arguments.num_calibration_images)
        images = prepare_images([history for history, _ in chosen], pipeline.policy.config).flatten(0, -4)
    with folder_written_beside(arguments.output_dir) as folder:
        export_onnx(pipeline, folder, arguments.quantize, images)
    exported = DiffusionPolicyPipeline.from_pretrained(arguments.output_dir)
    print(f"exported {arguments.pipeline} to {arguments.output_dir}")
    try:
        WithoutTorch.from_pretrained(arguments.output_dir)
    except UserError as error:
        print(f"it needs torch wherever it is used: {error}")
    print()
    print("\n".join(compare(pipeline, exported, arguments)))


def compare(
    pipeline: "DiffusionPolicyPipeline", exported: "DiffusionPolicyPipeline", arguments: ExportPolicy
) -> Iterator[str]:
    """The lines of a table: the original and the exported pipeline, and how far apart their actions are."""
    import numpy as np
    import torch

    from dp_hf.pipelines.inputs import prepare_images

    steps = arguments.num_inference_steps
    chosen = [blank_observation(pipeline)]
    if arguments.data_dir is not None:
        chosen = observations(pipeline, arguments.data_dir, arguments.num_comparisons)
    name = f"onnx {arguments.quantize}".removesuffix(" none")
    folders = {"torch float32": Path(pipeline.policy.config._name_or_path), name: arguments.output_dir / "policy"}
    actions = {}
    yield f"{'':<16}{'size':>12}{'encoder':>12}{'image to action':>18}"
    for (label, folder), variant in zip(folders.items(), (pipeline, exported), strict=True):
        size = sum(file.stat().st_size for file in folder.iterdir() if file.suffix in (".safetensors", ".onnx"))
        prepared = prepare_images([chosen[0][0]], variant.policy.config)
        encoder = median_ms(lambda variant=variant, prepared=prepared: variant.policy.encode_images(prepared))
        whole = median_ms(lambda variant=variant: act(variant, chosen[0], steps))
        yield f"{label:<16}{size / 1e6:>9.1f} MB{encoder:>9.1f} ms{whole:>15.1f} ms"
        actions[label] = np.concatenate([act(variant, observation, steps) for observation in chosen])
    yield f"medians of {TIMED_CALLS} calls, {torch.get_num_threads()} threads"
    if arguments.data_dir is None:
        yield "action error: not measured; give the policy's data with --data_dir"
        return
    error = np.abs(actions[name] - actions["torch float32"])
    quantities = quantities_of(pipeline.policy.config, "action")
    yield f"action error on {len(chosen)} observations, same noise:"
    width = max(map(len, quantities.names))
    yield f"  {'':{width}}  {'mean':>8}  {'max':>8}"
    for value, unit, column in zip(
        quantities.names, quantities.units, error.reshape(-1, len(quantities)).T, strict=True
    ):
        yield f"  {value:{width}}  {column.mean():8.4f}  {column.max():8.4f}  {amounts_of([unit])}"


def act(pipeline: "DiffusionPolicyPipeline", observation: "Observation", steps: int | None) -> "np.ndarray":
    """Actions (1, horizon, action_dim) from a fixed start of the noise."""
    import torch

    history, states = observation
    state = states[None] if pipeline.policy.config.use_proprioception else None
    generator = torch.Generator().manual_seed(0)
    return pipeline([history], state=state, num_inference_steps=steps, generator=generator).actions


def median_ms(function: Any) -> float:
    times = []
    for _ in range(WARM_UP_CALLS + TIMED_CALLS):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[WARM_UP_CALLS:])


def observations(pipeline: "DiffusionPolicyPipeline", data_dir: str | None, count: int) -> "list[Observation]":
    """At most `count` observations, evenly spaced over a dataset."""
    import numpy as np

    from dp_hf.episodes.cells import camera_cells, require_cameras, window_pictures
    from dp_hf.episodes.dataset import open_data
    from dp_hf.episodes.rows import numbers_of
    from dp_hf.pipelines.execution import observation_rows

    assert data_dir is not None
    config = pipeline.policy.config
    dataset, meta = open_data(data_dir, report=lambda summary: print(summary, file=sys.stderr))
    require_cameras(config.camera_names, meta, data_dir)
    require_data_of(config, "state", meta.state, data_dir)
    columns = numbers_of(dataset, data_dir)
    episodes, states = columns["episode_index"], columns["state"]
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int))
    observed = observation_rows(rows, episodes, config.n_obs_steps)
    histories = window_pictures(camera_cells(dataset, config.camera_names), observed)
    return list(zip(histories, states[observed], strict=True))


def blank_observation(pipeline: "DiffusionPolicyPipeline") -> "Observation":
    """A grey one, to time calls with."""
    import numpy as np

    config = pipeline.policy.config
    image = np.full((*config.image_size, 3), 128, dtype=np.uint8)
    frame = dict.fromkeys(config.camera_names, image)
    return [frame] * config.n_obs_steps, np.zeros((config.n_obs_steps, config.state_dim), dtype=np.float32)
