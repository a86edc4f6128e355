"""Beside LeRobot: sampling, training and loading, each in turns with LeRobot's code in a process of its own.

python scripts/benchmarks/beside_lerobot.py --lerobot_python ~/lerobot/bin/python

LeRobot's diffusion policy is that of its version's defaults, with random weights and 10 steps of DDIM. Ours is the
reference's, as in `sampling.py` and `training.py`: another policy, so that the ratios tell what its kind costs beside
LeRobot's, not who does the same work faster. Loading is the same work. Times are those of the CPU, of one thread in
either process: other work on the machine lengthens them little.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import loading
import numpy as np
import sampling
import torch
import training
from diffusers import DDIMScheduler
from measuring import machine, report
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
    what: tuple[Literal["loading", "sampling", "training"], ...] = ("loading", "sampling", "training")
    """What is timed."""
    repeats: int = 5
    """Turns of each row; the median counts."""
    episodes: int = 4
    """Recorded episodes of 64 frames, for loading and training."""
    batch_size: int = 32
    """Samples in a training step, and windows in a loaded batch."""
    json: bool = False
    """Print a line of JSON for each row as soon as it is timed, instead of tables."""


def main() -> int:
    return run(benchmark, parse(LeRobotArguments, None, "beside_lerobot.py"))


def benchmark(arguments: LeRobotArguments) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["DP_HF_CACHE"] = str(root / "cache")
        with redirect_stdout(sys.stderr):
            write_recordings(root / "recordings", arguments.episodes, 64)
        for what in arguments.what:
            about = {"table": TABLES[what][0], "date": date.today().isoformat(), **machine()}
            rows = []
            for row in TABLES[what][1](arguments, root):
                rows.append(row)
                if arguments.json:
                    print(json.dumps(about | row), flush=True)
            if not arguments.json:
                report({"machine": about, "tables": {TABLES[what][0]: rows}}, as_json=False)


def loading_rows(arguments: LeRobotArguments, root: Path) -> Iterator[dict]:
    with redirect_stdout(sys.stderr):
        dataset, meta = open_data(root / "recordings", frame_skip=1)
    export_lerobot(dataset, meta, root / "lerobot", progress=False)
    ours = loading.LoadingArguments(batch_size=arguments.batch_size)
    options = {"folder": str(root / "lerobot"), "horizon": ours.horizon, "n_obs_steps": ours.n_obs_steps}
    options["batch_size"] = arguments.batch_size
    for name, cache in (("PNGs decoded, --cache none", "none"), ("cached images", "auto")):
        load = loading.our_epoch(dataset, ours, cache, frozen=False)
        here, there, answer = in_turns(arguments, load, "lerobot_loading.py", options)
        yield {
            "LeRobot": f"{answer['version']}, images in parquet",
            "ours": name,
            "LeRobot: windows a second": answer["windows"] / there,
            "ours: windows a second": len(dataset) / here,
            "ours is faster x": there / here,
        }


def sampling_rows(arguments: LeRobotArguments, root: Path) -> Iterator[dict]:
    pipeline = sampling.make_pipeline(sampling.SamplingArguments())
    few = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline = DiffusionPolicyPipeline(pipeline.policy, few, pipeline.normalizer)
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    yield from policy_rows(arguments, lambda: pipeline(frame, num_inference_steps=10))


def training_rows(arguments: LeRobotArguments, root: Path) -> Iterator[dict]:
    epochs, frames = training.epochs(root, root / "recordings", 5, batch_size=arguments.batch_size)
    yield from policy_rows(arguments, epochs, arguments.batch_size, steps=frames / arguments.batch_size)


def policy_rows(
    arguments: LeRobotArguments, ours: Callable[[], Any], train_batch: int = 0, steps: float = 1
) -> Iterator[dict]:
    """Rows of LeRobot's policies, of which one step is timed beside `ours`, which does `steps` at once."""
    for name, down_dims in POLICIES.items():
        options = {"down_dims": down_dims, "threads": 1, "train_batch": train_batch}
        here, there, answer = in_turns(arguments, ours, "lerobot_policy.py", options)
        yield {
            "LeRobot": f"{answer['version']}, {name}, {answer['parameters'] / 1e6:.0f} M parameters",
            "images to actions": f"{answer['n_obs_steps']} to {answer['horizon']}",
            "LeRobot: ms": 1000 * there,
            "ours: ms": 1000 * here / steps,
            "ours is faster x": there * steps / here,
        }


TABLES = {
    "loading": ("Loading: windows of 2 images and 16 actions, one process", loading_rows),
    "sampling": ("Sampling: images to actions, 10 steps of DDIM", sampling_rows),
    "training": ("Training: a step", training_rows),
}


def in_turns(
    arguments: LeRobotArguments, ours: Callable[[], Any], script: str, options: dict
) -> tuple[float, float, dict[str, Any]]:
    """Median CPU seconds of a call here, and of one there, and what LeRobot's side says of itself."""
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
            start = time.process_time()
            ours()
            here.append(time.process_time() - start)
    return statistics.median(here), statistics.median(there), answer


if __name__ == "__main__":
    sys.exit(main())
