"""Scale: CPU time and memory of checking, converting, caching, an epoch and exporting, as the episodes grow in number.

python scripts/benchmarks/scale.py --output_dir outputs/scale

Episodes are copies of a few, with links to their images and other numbers. Each figure is of a command in a process of
its own: user and system time of it and its children, and the most memory that it held itself, that is without the pages
of mapped files, which the machine takes back when it needs them, and those apart. Goes on where it was cut off.
"""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from measuring import machine, report
from recordings import write_recordings

from dp_hf.cli.arguments import parse, run
from dp_hf.episodes.find import find_episodes
from dp_hf.files import read_json_values
from dp_hf.kept_lines import KeptLines

DISTINCT, FRAMES = 10, 42
NEEDED_BY = {"convert": {"cache and epoch", "epoch", "export"}, "cache and epoch": {"epoch"}}
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
    """Where scale.jsonl and scale.png go."""
    source: Path | None = None
    """Folder of episodes to copy from; default a few of 42 frames with a camera's noise."""
    sizes: tuple[int, ...] = (10, 100, 1000, 10_000)
    """Episodes."""
    steps: tuple[Literal["check", "convert", "cache and epoch", "epoch", "export", "evaluate"], ...] = (
        "check",
        "convert",
        "cache and epoch",
        "epoch",
        "export",
        "evaluate",
    )
    """Commands to measure; those that others need run anyway."""
    rollouts: int = 200
    """Most rollouts of the expert that are evaluated, of as many as there are episodes; 0 none."""
    num_workers: int = 1
    """Of check and convert."""
    json: bool = False
    """Print JSON instead of tables."""


def main() -> int:
    return run(benchmark, parse(ScaleArguments, None, "scale.py"))


def benchmark(arguments: ScaleArguments) -> None:
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    identity = {"source": str(arguments.source or ""), "num_workers": arguments.num_workers, "training": TRAINING}
    kept = KeptLines(arguments.output_dir / "scale.jsonl", identity, "figures")
    with kept, tempfile.TemporaryDirectory(dir=arguments.output_dir) as folder:
        source = arguments.source or write_recordings(Path(folder) / "source", DISTINCT, FRAMES)
        for size in arguments.sizes:
            known = {row["step"] for row in kept.records if row["episodes"] == size}
            place = Path(folder) / str(size)
            wanted = [
                step
                for step in arguments.steps
                if step not in known and (step != "evaluate" or size <= arguments.rollouts)
            ]
            if not wanted:
                continue
            link_episodes(source, place / "recordings", size)
            for step, command in steps(arguments, place, size).items():
                if step in wanted or NEEDED_BY.get(step, set()) & {*wanted}:
                    figures = measured(command, place)
                    if step in wanted:
                        kept.append({"step": step, "episodes": size, **figures})
                        print(kept.records[-1], file=sys.stderr)
            shutil.rmtree(place)
    rows = [*kept.records]
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
        "export": ["convert-episodes", "to-lerobot", *dataset, "--output_dir", str(place / "lerobot")],
        "cache and epoch": [*train, str(place / "first")],
        "epoch": [*train, str(place / "second")],
    }
    rollouts = f"evaluate --pipeline expert --num_episodes {size} --video 0 --camera_names wrist".split()
    return commands | {"evaluate": [*rollouts, "--output_dir", str(place / "evaluation")]}


def measured(command: list[str], place: Path) -> dict[str, float]:
    """CPU-seconds, seconds and MB of a command of dp-hf, and the most MB of one of its workers."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    held = {"RssAnon": 0, "RssFile": 0, "worker": 0}
    with open(place / "said.txt", "w") as said:
        environment = os.environ | {"DP_HF_CACHE": str(place / "cache"), "HF_DATASETS_CACHE": str(place / "cache")}
        process = subprocess.Popen([*COMMAND, *command], stdout=said, stderr=said, env=environment)
        while process.poll() is None:
            now = memory(process.pid)
            now["worker"] = max((memory(child).get("RssAnon", 0) for child in children(process.pid)), default=0)
            held = {name: max(most, now.get(name, 0)) for name, most in held.items()}
            time.sleep(0.02)
    elapsed = time.monotonic() - start
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {(place / 'said.txt').read_text()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    of = {"own_mb": "RssAnon", "mapped_mb": "RssFile", "worker_mb": "worker"}
    megabytes = {name: round(held[key] / 1e6) for name, key in of.items()}
    return {"cpu_seconds": round(seconds, 2), "seconds": round(elapsed, 2), **megabytes}


def memory(pid: int) -> dict[str, int]:
    """Bytes that a process holds: of its own, and pages of mapped files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}


def children(pid: int) -> list[int]:
    """Processes that one has started, by any of its threads."""
    try:
        threads = [*Path(f"/proc/{pid}/task").iterdir()]
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []


def exponents(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each step: slopes of the logarithms over its three largest numbers of episodes, by least squares; and what one
    more episode costs, between the two largest."""
    found = []
    for step in dict.fromkeys(row["step"] for row in rows):
        of_step = sorted((row for row in rows if row["step"] == step), key=lambda row: row["episodes"])[-3:]
        if len(of_step) < 2:
            continue
        values = {
            name: np.array([row[name] for row in of_step], float) for name in ("episodes", "cpu_seconds", "own_mb")
        }
        sizes = values.pop("episodes")
        slopes = {name: np.polyfit(np.log(sizes), np.log(of), 1)[0] for name, of in values.items()}
        more = {name: (of[-1] - of[-2]) / (sizes[-1] - sizes[-2]) for name, of in values.items()}
        found.append(
            {
                "step": step,
                "episodes": f"{sizes[0]:g} to {sizes[-1]:g}",
                **slopes,
                "cpu_milliseconds_an_episode": 1000 * more["cpu_seconds"],
                "kb_an_episode": 1000 * more["own_mb"],
            }
        )
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
