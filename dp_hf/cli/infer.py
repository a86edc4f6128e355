"""`dp-hf infer`: the action for an image, or predicted against recorded actions for every frame of an episode."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dp_hf.arms.matching import require_data_of
from dp_hf.arms.quantities import Quantities, amounts_of, decimals
from dp_hf.arms.undescribed import quantities_of
from dp_hf.cli.action_table import heading, row
from dp_hf.cli.arguments import parse, run
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside
from dp_hf.ranges import Range

if TYPE_CHECKING:
    import numpy as np

    from dp_hf import DiffusionPolicyPipeline
    from dp_hf.episodes.conversion import ActionSource
    from dp_hf.episodes.metadata import DatasetMeta


@dataclass
class InferArguments:
    """Predicts with a trained pipeline: the action for one image, or a comparison over a recorded episode."""

    pipeline: str
    """Folder of a pipeline, or its repository id on the Hub."""
    image: list[Path] | None = None
    """Image file; for a policy with several cameras one for each, in the order of its camera_names."""
    state: list[Annotated[float, Range()]] | None = None
    """With --image, for a policy with proprioception: its numbers in their order, names and units as its card says."""
    episode: Path | None = None
    """Folder of a recorded episode (or of several): every frame is predicted and compared with the recording."""
    action_offset: Annotated[int, Range(0)] | None = None
    """With --episode: compare with the state this many of the policy's frames later; by default with what the policy
    has learned, recorded commands or a later state."""
    num_inference_steps: Annotated[int, Range(1)] | None = None
    """Denoising steps; by default the pipeline's own number."""
    batch_size: Annotated[int, Range(1)] = 32
    """Frames predicted at once."""
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    """Seed of the noise that the samples start from."""
    device: str | None = None
    """PyTorch device; by default a GPU where there is one."""
    output_dir: Path = Path("outputs/inference")
    """Folder for predictions.json and predictions.png of an episode."""


def main(argv: list[str] | None = None) -> int:
    return run(infer, parse(InferArguments, argv, "dp-hf infer"))


def infer(arguments: InferArguments) -> None:
    if (arguments.image is None) == (arguments.episode is None):
        raise UserError("give either --image FILE or --episode DIR")
    from dp_hf.pipelines.loading import load_pipeline

    pipeline = load_pipeline(arguments.pipeline, arguments.device)
    if arguments.episode is None:
        infer_image(pipeline, arguments)
    else:
        infer_episode(pipeline, arguments.episode, arguments)


def infer_image(pipeline: "DiffusionPolicyPipeline", arguments: InferArguments) -> None:
    """Prints the chunk of actions, one row an action."""
    import torch

    cameras = pipeline.policy.config.camera_names
    files = arguments.image or []
    if len(files) != len(cameras):
        raise UserError(f"this policy sees {len(cameras)} cameras ({', '.join(cameras)}); got {len(files)} images")
    actions = pipeline(
        dict(zip(cameras, files, strict=True)),
        state=arguments.state,
        num_inference_steps=arguments.num_inference_steps,
        generator=torch.Generator().manual_seed(arguments.seed),
    ).actions[0]
    quantities = quantities_of(pipeline.policy.config, "action")
    print(heading(quantities, "step"))
    for step, action in enumerate(actions):
        print(row(quantities, f"{step:>4}", action))
    print(quantities)


def infer_episode(pipeline: "DiffusionPolicyPipeline", episode: Path, arguments: InferArguments) -> None:
    """Prints the error of each number of an action; writes all predictions and a plot of them."""
    import numpy as np

    from dp_hf.episodes.cells import require_cameras
    from dp_hf.episodes.dataset import open_data, resample
    from dp_hf.episodes.rows import numbers_of
    from dp_hf.pipelines.execution import is_rate

    dataset, meta = open_data(episode, report=lambda summary: print(summary, file=sys.stderr))
    config = pipeline.policy.config
    # The policy's rate says which of the recorded frames it was trained on.
    frame_skip = max(1, round(meta.fps / config.fps)) * meta.frame_skip
    dataset, meta = resample(dataset, meta, frame_skip, *learned_actions(config, meta, arguments.action_offset))
    if not is_rate(meta.fps, config.fps):
        print(
            f"{episode} has {meta.fps:g} frames a second, and the policy acts {config.fps:g} times a second: its "
            "actions are compared with those of other moments",
            file=sys.stderr,
        )
    quantities = quantities_of(config, "action")
    require_cameras(config.camera_names, meta, str(episode))
    require_data_of(config, "action", meta.action, str(episode))
    if config.use_proprioception:
        require_data_of(config, "state", meta.state, str(episode))
    columns = numbers_of(dataset, episode)
    chunks = predict_rows(pipeline, dataset, columns, arguments)

    names = list(quantities.names)
    error = np.abs(chunks[:, 0] - columns["action"])
    print(
        f"{len(chunks)} frames at {meta.fps:g} a second, first action of each prediction against {meta.action_meaning}:"
    )
    width = max(map(len, names))
    print(f"{'':>{width}}  {'mean':>8}  {'p95':>8}  {'max':>8}")
    for name, unit, column in zip(names, quantities.units, error.T, strict=True):
        values = (column.mean(), np.percentile(column, 95), column.max())
        cells = "  ".join(f"{value:8.{decimals(unit)}f}" for value in values)
        print(f"{name:>{width}}  {cells}  {amounts_of([unit])}")

    result = {
        "pipeline": arguments.pipeline,
        "episode": str(episode),
        "names": names,
        "units": list(quantities.units),
        "fps": meta.fps,
        "episodes": [meta.episodes[index] for index in columns["episode_index"]],
        "action": meta.action_meaning,
        "mean_absolute_error": dict(zip(names, error.mean(0).tolist(), strict=True)),
        "recorded": columns["action"].tolist(),
        "predicted": chunks.tolist(),
    }
    with file_written_beside(arguments.output_dir / "predictions.json") as file:
        file.write_text(json.dumps(result), encoding="utf-8")
    with file_written_beside(arguments.output_dir / "predictions.png") as file:
        plot_predictions(columns, chunks, quantities, meta.fps, file)
    print(f"wrote {arguments.output_dir}/predictions.json and predictions.png")


def learned_actions(config, meta: "DatasetMeta", action_offset: int | None) -> "tuple[int | None, ActionSource]":
    """Which recorded actions a prediction is compared with: their offset (None for commands) and their source.

    Args:
        action_offset: states, this many frames later, whatever the policy has learned.
    """
    if action_offset is not None:
        return action_offset, "state"
    source, offset = config.get("action_source"), config.get("action_offset")
    if source == "state" and offset is not None:
        return offset, "state"
    if meta.action_source == "recorded":
        chosen: tuple[int | None, ActionSource] = None, "recorded"
    else:
        chosen = 1, "state"
    if source is None:
        words = "recorded commands" if chosen[0] is None else "the next state; --action_offset names another"
        print(f"the policy does not say what its actions were (it was made before): compared with {words}")
    elif chosen[0] is not None:
        print("the policy has learned commands, which this recording lacks: compared with the next state")
    return chosen


def predict_rows(pipeline, dataset, columns: dict, arguments: InferArguments) -> "np.ndarray":
    """Chunks (rows, horizon, action_dim) for every row of a dataset; a history never reaches into another episode."""
    import numpy as np
    import torch
    from tqdm import tqdm

    from dp_hf.episodes.cells import camera_cells, window_pictures
    from dp_hf.pipelines.execution import observation_rows

    config = pipeline.policy.config
    cells = camera_cells(dataset, config.camera_names)
    generator = torch.Generator().manual_seed(arguments.seed)
    chunks = []
    for start in tqdm(range(0, len(dataset), arguments.batch_size), "Predicting", unit="batch", delay=1):
        rows = np.arange(start, min(start + arguments.batch_size, len(dataset)))
        history = observation_rows(rows, columns["episode_index"], config.n_obs_steps)
        frames = window_pictures(cells, history)
        chunks.append(
            pipeline(
                frames,
                state=columns["state"][history],
                num_inference_steps=arguments.num_inference_steps,
                generator=generator,
            ).actions
        )
    return np.concatenate(chunks)


def plot_predictions(columns: dict, chunks, quantities: Quantities, fps: float, file: Path) -> None:
    """One panel a number: the recording, the first predicted actions, and thinly the rest of each chunk.

    No line goes on from an episode, or from a part of one that was cut at a hole, to the next.
    """
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot as plt

    recorded, ends = columns["action"], np.flatnonzero(np.diff(columns["episode_index"])) + 1
    seconds = np.arange(len(recorded)) / fps
    recorded_style = {"color": "black", "linewidth": 1.4, "label": "recorded"}
    predicted_style = {"color": "tab:orange", "linewidth": 1.2, "label": "predicted"}
    figure, axes = plt.subplots(
        len(quantities), 1, figsize=(9, 1.7 * len(quantities)), sharex=True, squeeze=False, layout="constrained"
    )
    for dim, (axis, label) in enumerate(zip(axes[:, 0], quantities.labels, strict=True)):
        for start in range(0, len(chunks), max(1, chunks.shape[1] // 2)):
            ahead = np.arange(start, start + chunks.shape[1]) / fps
            axis.plot(ahead, chunks[start, :, dim], color="tab:orange", alpha=0.35, linewidth=0.8)
        for values, style in ((recorded[:, dim], recorded_style), (chunks[:, 0, dim], predicted_style)):
            axis.plot(np.insert(seconds, ends, np.nan), np.insert(values, ends, np.nan), **style)
        axis.set_ylabel(label.replace(" (", "\n("), fontsize="small")
        axis.grid(alpha=0.3)
    axes[0, 0].legend(loc="upper right", ncols=2, fontsize="small")
    axes[-1, 0].set_xlabel("seconds")
    figure.savefig(file, dpi=110)
    plt.close(figure)
