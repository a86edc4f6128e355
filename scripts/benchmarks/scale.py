"""Scale: CPU time and memory of checking, converting, caching, an epoch and exporting, as the episodes grow in number.

python scripts/benchmarks/scale.py --output_dir outputs/scale

Episodes are copies of a few, with links to their images and other numbers. Each figure is of a command in a process of
its own: user and system time of it and its children, and the most memory that it held itself, that is without the pages
of mapped files, which the machine takes back when it needs them.
"""

import json
import math
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine, report
from recordings import write_recordings

from dp_hf.cli.arguments import parse, run
from dp_hf.episodes.find import find_episodes
from dp_hf.files import read_json_values

DISTINCT, FRAMES = 10, 42
COMMAND = [sys.executable, "-m", "dp_hf.cli.main"]
TRAINING = (
    "--image_encoder small_cnn --image_size 60 106 --no_freeze_image_encoder --pretrained_backbone none "
    "--pooling spatial_softmax --frame_skip 1 --noise_scheduler ddim --num_inference_steps 2 "
    "--batch_size 64 --num_epochs 1 --validation_windows 100 --tracker none"
)


@dataclass
class ScaleArguments:
    """Measures how costs grow with the episodes, and fits exponents: 1 is a straight line through the origin."""

    output_dir: Path = Path("outputs/scale")
    """Where scale.json and scale.png go."""
    source: Path | None = None
    """Folder of episodes to copy from; default a few of 42 frames with a camera's noise."""
    sizes: tuple[int, ...] = (10, 100, 1000, 10_000)
    """Episodes."""
    rollouts: int = 1000
    """Most rollouts of the expert that are evaluated, of as many as there are episodes; 0 none."""
    num_workers: int = 1
    """Of check and convert."""
    json: bool = False
    """Print JSON instead of tables."""


def main() -> int:
    return run(benchmark, parse(ScaleArguments, None, "scale.py"))


def benchmark(arguments: ScaleArguments) -> None:
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=arguments.output_dir) as folder:
        source = arguments.source or write_recordings(Path(folder) / "source", DISTINCT, FRAMES)
        for size in arguments.sizes:
            place = Path(folder) / str(size)
            link_episodes(source, place / "recordings", size)
            for step, command in steps(arguments, place, size).items():
                rows.append({"step": step, "episodes": size, **measured(command, place)})
                print(rows[-1], file=sys.stderr)
            shutil.rmtree(place)
    (arguments.output_dir / "scale.json").write_text(json.dumps(rows, indent=1))
    draw(rows, arguments.output_dir / "scale.png")
    tables = {"CPU-seconds and MB": rows, "Exponents": exponents(rows)}
    report({"machine": machine(), "tables": tables}, arguments.json)


def link_episodes(source: Path, target: Path, number: int) -> None:
    """Writes `number` episodes with links to the images of those in `source`, each with numbers of its own."""
    rng, episodes = random.Random(0), find_episodes(source)
    for index in range(number):
        (states,) = episodes[index % len(episodes)].glob("states.json")
        folder = target / f"episode_{index:06d}"
        for image in (path for path in states.parent.rglob("*") if path.suffix in (".png", ".jpg")):
            link = folder / image.relative_to(states.parent)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(image, link)
        (frames,) = read_json_values(states)
        shift = 0.1 * rng.random()
        moved = [{**frame, "angles": [angle + shift for angle in frame["angles"]]} for frame in frames]
        (folder / states.name).write_text(json.dumps(moved))


def steps(arguments: ScaleArguments, place: Path, size: int) -> dict[str, list[str]]:
    """The commands, in their order; the first of both trainings finds no cache."""
    workers = ("--num_workers", str(arguments.num_workers))
    dataset = ("--data_dir", str(place / "dataset"))
    train = ["train", *dataset, *TRAINING.split(), "--cache_dir", str(place / "cache"), "--output_dir"]
    commands = {
        "check": ["check-episodes", "scan", str(place / "recordings"), *workers],
        "convert": ["convert-episodes", "--data_dir", str(place / "recordings"), "--output_dir", dataset[1], *workers],
        "cache and epoch": [*train, str(place / "first")],
        "epoch": [*train, str(place / "second")],
        "export": ["convert-episodes", "to-lerobot", *dataset, "--output_dir", str(place / "lerobot")],
    }
    if size <= arguments.rollouts:
        rollouts = f"evaluate --pipeline expert --num_episodes {size} --video 0 --camera_names wrist".split()
        commands["evaluate"] = [*rollouts, "--output_dir", str(place / "evaluation")]
    return commands


def measured(command: list[str], place: Path) -> dict[str, float]:
    """CPU-seconds and MB of a command of dp-hf."""
    before, held = resource.getrusage(resource.RUSAGE_CHILDREN), 0
    with open(place / "said.txt", "w") as said:
        environment = os.environ | {"DP_HF_CACHE": str(place / "cache"), "HF_DATASETS_CACHE": str(place / "cache")}
        process = subprocess.Popen([*COMMAND, *command], stdout=said, stderr=said, env=environment)
        while process.poll() is None:
            held = max(held, own_memory(process.pid))
            time.sleep(0.02)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {(place / 'said.txt').read_text()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_seconds": round(seconds, 2), "own_mb": round(held / 1e6)}


def own_memory(pid: int) -> int:
    """Bytes that a process holds, without pages of files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def exponents(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each step: slopes of the logarithms, between the two largest numbers of episodes."""
    found = []
    for step in dict.fromkeys(row["step"] for row in rows):
        of_step = sorted((row for row in rows if row["step"] == step), key=lambda row: row["episodes"])
        for less, more in list(pairwise(of_step))[-1:]:
            times = math.log(more["episodes"] / less["episodes"])
            slope = {name: math.log(more[name] / less[name]) / times for name in ("cpu_seconds", "own_mb")}
            marginal = (more["cpu_seconds"] - less["cpu_seconds"]) / (more["episodes"] - less["episodes"])
            span = f"{less['episodes']} to {more['episodes']}"
            found.append({"step": step, "episodes": span, **slope, "cpu_milliseconds_an_episode": 1000 * marginal})
    return found


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    for axis, name in zip(axes, ("cpu_seconds", "own_mb"), strict=True):
        for step in dict.fromkeys(row["step"] for row in rows):
            points = np.array([(row["episodes"], row[name]) for row in rows if row["step"] == step])
            axis.loglog(*points.T, marker="o", label=step)
        axis.set(xlabel="episodes", ylabel=name)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(file)


if __name__ == "__main__":
    sys.exit(main())
