"""What the alarm needs of recordings: what the encoder makes of the training data, and the scores of recorded runs."""

from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
import torch

from dp_hf.alarm.limits import AlarmLimits
from dp_hf.alarm.record import RunRecord
from dp_hf.alarm.reference import NEIGHBORS, Reference, evenly_spaced
from dp_hf.alarm.watch import Watch
from dp_hf.arms.matching import require_data_of
from dp_hf.episodes.cells import require_cameras
from dp_hf.episodes.dataset import open_data, resample
from dp_hf.episodes.rows import numbers_of
from dp_hf.errors import UserError
from dp_hf.pipelines.execution import is_rate, observation_rows
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
from dp_hf.training.observations import BUILD_BATCH, LiveImages


def reference_of(pipeline: DiffusionPolicyPipeline, data_dir: str | Path) -> Reference:
    """Frames of the data that a policy was trained on, at the policy's rate.

    Args:
        data_dir: dataset, folder of episodes, or dataset id on the Hub.

    Raises:
        UserError: the data has other cameras, numbers or another rate than the policy, or too few frames.
    """
    dataset, numbers = _open(pipeline, data_dir)
    if len(dataset) < NEIGHBORS:
        raise UserError(f"{data_dir} has {len(dataset)} frames: the policy was trained on more")
    rows = evenly_spaced(len(dataset))
    states = numbers["state"] if pipeline.policy.config.use_proprioception else numbers["state"][:, :0]
    features = _encoded(pipeline, dataset, rows).numpy()
    return Reference.of(rows, features, states, numbers["action"], numbers["episode_index"])


@torch.no_grad()
def score_recordings(
    pipeline: DiffusionPolicyPipeline,
    limits: AlarmLimits,
    data_dir: str | Path,
    num_inference_steps: int | None = None,
) -> list[RunRecord]:
    """The scores that a policy would have had in recorded runs, asked as often as it was there.

    Args:
        limits: say how often it was asked.
        data_dir: as in `reference_of`; every episode is a run.

    Raises:
        UserError: see `reference_of`.
    """
    config = pipeline.policy.config
    dataset, numbers = _open(pipeline, data_dir)
    observed = observation_rows(np.arange(len(dataset)), numbers["episode_index"], config.n_obs_steps)
    features = _encoded(pipeline, dataset, np.arange(len(dataset)))
    states = torch.from_numpy(numbers["state"])
    every, device = limits.calibration.n_action_steps, pipeline.policy.device
    runs = []
    for episode in np.unique(numbers["episode_index"]):
        watch, generator = Watch.of(limits, config), torch.Generator().manual_seed(int(episode))
        rows = np.flatnonzero(numbers["episode_index"] == episode)
        for row in rows[::every]:
            history = observed[row]
            state = states[history][None].to(device) if config.use_proprioception else None
            seen = features[history][None].to(device)
            chunk = pipeline.sample(seen, state, num_inference_steps, generator).cpu().numpy()[0]
            watch.see(features[row].numpy(), numbers["state"][row], chunk, every)
        runs.append(RunRecord.of(watch, len(rows) / config.fps))
    return runs


def _open(pipeline: DiffusionPolicyPipeline, data_dir: str | Path) -> tuple[datasets.Dataset, dict[str, np.ndarray]]:
    """Rows at the policy's rate, and their numbers."""
    config = pipeline.policy.config
    dataset, meta = open_data(data_dir)
    every = max(1, round(meta.fps / config.fps))
    if not is_rate(meta.fps / every, config.fps):
        raise UserError(
            f"{data_dir} has {meta.fps:g} frames a second, and the policy acts {config.fps:g} times: give data of its "
            "own rate"
        )
    if every > 1:
        dataset, meta = resample(dataset, meta, frame_skip=every * meta.frame_skip)
    require_cameras(config.camera_names, meta, str(data_dir))
    require_data_of(config, "action", meta.action, str(data_dir))
    if config.use_proprioception:
        require_data_of(config, "state", meta.state, str(data_dir))
    return dataset, numbers_of(dataset, data_dir)


@torch.no_grad()
def _encoded(pipeline: DiffusionPolicyPipeline, dataset: datasets.Dataset, rows: Sequence[int]) -> torch.Tensor:
    """(M, F) features of rows, on the CPU."""
    config, device = pipeline.policy.config, pipeline.policy.device
    images = LiveImages(dataset, tuple(config.camera_names), tuple(config.image_size))
    batches = torch.as_tensor(rows).split(BUILD_BATCH)
    return torch.cat(
        [pipeline.policy.encode_images(images[each].unsqueeze(1).to(device)).float().cpu()[:, 0] for each in batches]
    )
