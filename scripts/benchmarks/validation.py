"""Whether a number that needs no robot ranks policies as their success does.

    python scripts/benchmarks/validation.py --policies RUNS/*/final --evaluations EVALUATIONS/* --data_dirs PLAIN OTHER

For every policy and every set of recordings (that no policy has learned from): the error of sampled actions as the
validation of a training has it, that of the arm while the gripper moves, and both for augmented pictures. Prints them
as JSON lines, and the rank correlation (Spearman's) of each with the success that `dp-hf evaluate --disturbances`
found, in each scene that half of the policies or more were measured in. Near -1 a number ranks as success does, near 0
it tells nothing.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dp_hf import DiffusionPolicyPipeline, TrainConfig, open_data
from dp_hf.cli.arguments import parse
from dp_hf.cli.recipes import find_recipe
from dp_hf.disturbances import TABLE
from dp_hf.training.augmentation import augment_images
from dp_hf.training.config import read_config_file
from dp_hf.training.observations import LiveImages
from dp_hf.training.options import AugmentationOptions
from dp_hf.training.validation import validate
from dp_hf.training.windows import Trajectories, WindowDataset, make_windows


@dataclass
class Validation:
    """Prints what can be known of policies without a robot beside how often they stacked."""

    policies: tuple[Path, ...]
    """Pipelines."""
    evaluations: tuple[Path, ...]
    """Output folders of `dp-hf evaluate --disturbances`, one for each policy."""
    data_dirs: tuple[str, ...]
    """Recordings that no policy has learned from."""
    augmentation: str = "stack_cpu"
    """Recipe whose augmentation changes the pictures."""


class Augmented(WindowDataset):
    """Windows whose pictures are changed, the same way for every policy that sees as many pixels."""

    def __init__(self, windows: WindowDataset, options: AugmentationOptions):
        super().__init__(windows.trajectories, windows.windows, windows.observations)
        self.options = options

    def __getitems__(self, indices):
        batch = super().__getitems__(indices)
        with torch.random.fork_rng():
            torch.manual_seed(indices[0])
            return batch | {"images": augment_images(batch["images"], self.options)}


def numbers(pipeline: DiffusionPolicyPipeline, data_dir: str, options: AugmentationOptions) -> dict[str, float]:
    config = pipeline.policy.config
    dataset, meta = open_data(data_dir, frame_skip=1)
    trajectories = Trajectories.from_dataset(dataset)
    rows = make_windows(trajectories.episode_index, list(range(len(meta.episodes))), config.n_obs_steps, config.horizon)
    windows = WindowDataset(trajectories, rows, LiveImages(dataset, tuple(config.camera_names), config.image_size))
    plain, augmented = (validate(pipeline, data, progress=False) for data in (windows, Augmented(windows, options)))
    return {
        "error": plain["error"],
        "first action": plain["by_chunk_step"][0],
        "gripper moves": plain["by_phase"]["gripper moves"],
        "augmented error": augmented["error"],
        "augmented, gripper moves": augmented["by_phase"]["gripper moves"],
        "augmented / plain": augmented["error"] / plain["error"],
    }


def success(evaluation: Path) -> dict[str, float]:
    """Share that stacked, by scene, of the rollouts that were made."""
    stacked: dict[str, list[bool]] = {}
    for line in (evaluation / "disturbances.jsonl").read_text(encoding="utf-8").splitlines()[1:]:
        rollout = json.loads(line)
        stacked.setdefault(rollout["scene"], []).append(rollout["stages"]["stacked"])
    return {scene: float(np.mean(results)) for scene, results in stacked.items()}


def correlations(rows: list[dict], name: str, kinds: list[str]) -> list[str]:
    """Of a number with the success in each scene, over the policies that were measured there."""
    cells = []
    for kind in kinds:
        measured = [row for row in rows if kind in row["success"]]
        value = spearman([row[name] for row in measured], [row["success"][kind] for row in measured])
        cells.append(f"{value:+.2f} ({len(measured)})")
    return cells


def spearman(one: list[float], other: list[float]) -> float:
    """Correlation of ranks, equal values sharing theirs."""
    ranks = [
        np.mean([np.searchsorted(np.sort(v), v, side) for side in ("left", "right")], axis=0) for v in (one, other)
    ]
    return float(np.corrcoef(*ranks)[0, 1])


def main() -> None:
    options = parse(Validation, None, "validation")
    torch.set_num_threads(1)
    augmentation = TrainConfig.from_options(**read_config_file(find_recipe("train", options.augmentation))).augmentation
    rows = []
    for policy, evaluation in zip(options.policies, options.evaluations, strict=True):
        pipeline = DiffusionPolicyPipeline.from_pretrained(policy)
        found = {
            f"{Path(data_dir).name}: {name}": value
            for data_dir in options.data_dirs
            for name, value in numbers(pipeline, data_dir, augmentation).items()
        }
        rows.append({"policy": str(policy), "success": success(evaluation), **found})
        print(json.dumps(rows[-1]), flush=True)
    scenes = [scene for scene in TABLE if 2 * sum(scene in row["success"] for row in rows) >= len(rows)]
    print(f"\n| rank correlation (policies) | {' | '.join(scenes)} |\n|{'---|' * (len(scenes) + 1)}")
    for name in rows[0]:
        if name not in ("policy", "success"):
            print(f"| {name} | {' | '.join(correlations(rows, name, scenes))} |")


if __name__ == "__main__":
    main()
