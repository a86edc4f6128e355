"""Beside LeRobot: sampling, training and loading, each in turns with LeRobot's code in a process of its own.

python scripts/benchmarks/beside_lerobot.py --lerobot_python ~/lerobot/bin/python

LeRobot's diffusion policy is that of its version's defaults, with random weights and 10 steps of DDIM. Ours is the
reference's, as in `sampling.py`, `training.py` and `loading.py`: another policy, so that the ratios tell what its kind
costs beside LeRobot's, not who does the same work faster. Loading is the same work.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import loading
import numpy as np
import sampling
import torch
import training
from diffusers import DDIMScheduler
from measuring import machine, report, seconds
from recordings import write_recordings

from dp_hf import DiffusionPolicyPipeline
from dp_hf.cli.arguments import parse, run
from dp_hf.episodes.dataset import open_data
from dp_hf.interop.lerobot.exporting import export_lerobot

FOLDER = Path(__file__).parent
POLICIES = {"default U-Net": None, "small U-Net (64, 128, 256)": [64, 128, 256]}


@dataclass
class LeRobotArguments:
    """Times LeRobot's diffusion policy and data loader beside ours."""

    lerobot_python: Path
    """Python of an environment with `lerobot[dataset,diffusion]`."""
    repeats: int = 5
    """Turns of each row; the median counts."""
    batch_size: int = 32
    """Samples in a training step, and windows in a loaded batch."""
    threads: int = 2
    """CPU threads of torch, here and there."""
    json: bool = False
    """Print JSON instead of tables."""


def main() -> int:
    return run(benchmark, parse(LeRobotArguments, None, "beside_lerobot.py"))


def benchmark(arguments: LeRobotArguments) -> None:
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        os.environ["DP_HF_CACHE"] = str(Path(folder) / "cache")
        tables = {
            "Sampling: images to actions, 10 steps of DDIM": sampling_table(arguments),
            f"Training: a step of {arguments.batch_size} samples": training_table(arguments, Path(folder)),
            "Loading: windows of 2 images and 16 actions, one process": loading_table(arguments, Path(folder)),
        }
    about = {"date": date.today().isoformat(), **machine()}
    report({"machine": about, "tables": tables}, arguments.json)


def sampling_table(arguments: LeRobotArguments) -> list[dict]:
    pipeline = sampling.make_pipeline(sampling.SamplingArguments())
    few = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline = DiffusionPolicyPipeline(pipeline.policy, few, pipeline.normalizer)
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    return policy_table(arguments, lambda: pipeline(frame, num_inference_steps=10))


def training_table(arguments: LeRobotArguments, root: Path) -> list[dict]:
    epochs, frames = training.epochs(root, write_recordings(root / "many", 8, 60), 1, batch_size=arguments.batch_size)
    return policy_table(arguments, epochs, arguments.batch_size, steps=frames / arguments.batch_size)


def policy_table(
    arguments: LeRobotArguments, ours: Callable[[], Any], train_batch: int = 0, steps: float = 1
) -> list[dict]:
    """Rows of LeRobot's policies, of which each step is timed beside `ours`, which does `steps` at once."""
    rows = []
    for name, down_dims in POLICIES.items():
        options = {"down_dims": down_dims, "threads": arguments.threads, "train_batch": train_batch}
        here, there, answer = in_turns(arguments, ours, "lerobot_policy.py", options)
        size = f"{answer['parameters'] / 1e6:.0f} M parameters"
        what = f"{answer['n_obs_steps']} images to {answer['horizon']} actions"
        rows.append(
            {
                "policy": f"LeRobot {answer['version']}, {name}, {size}, {what}",
                "ms": 1000 * there,
                "ours: ms": 1000 * here / steps,
                "ours is faster x": there * steps / here,
            }
        )
    return rows


def loading_table(arguments: LeRobotArguments, root: Path) -> list[dict]:
    dataset, meta = open_data(write_recordings(root / "recordings", 4, 64), frame_skip=1)
    export_lerobot(dataset, meta, root / "lerobot", progress=False)
    ours = loading.LoadingArguments(batch_size=arguments.batch_size)
    options = {"folder": str(root / "lerobot"), "horizon": ours.horizon, "n_obs_steps": ours.n_obs_steps}
    rows = []
    for name, cache in (("PNGs decoded, --cache none", "none"), ("cached images", "auto")):
        load = loading.our_epoch(dataset, ours, cache, frozen=False)
        here, there, answer = in_turns(
            arguments, load, "lerobot_loading.py", options | {"batch_size": arguments.batch_size}
        )
        rows.append(
            {
                "ours": name,
                f"LeRobot {answer['version']}, images in parquet: windows a second": answer["windows"] / there,
                "ours: windows a second": len(dataset) / here,
                "ours is faster x": there / here,
            }
        )
    return rows


def in_turns(
    arguments: LeRobotArguments, ours: Callable[[], Any], script: str, options: dict
) -> tuple[float, float, dict[str, Any]]:
    """Median seconds of a call here, and of one there, and what LeRobot's side says of itself."""
    command = [arguments.lerobot_python, FOLDER / script, json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lerobot:
        assert lerobot.stdin is not None
        assert lerobot.stdout is not None
        ours()
        here, there = [], []
        answer: dict[str, Any] = {}
        for _ in range(arguments.repeats):
            print(file=lerobot.stdin, flush=True)
            answer = json.loads(lerobot.stdout.readline())
            there.append(answer["seconds"])
            here.append(seconds(ours))
    return statistics.median(here), statistics.median(there), answer


if __name__ == "__main__":
    sys.exit(main())
