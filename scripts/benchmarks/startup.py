"""Start-up: the commands' help, and a saved pipeline from a fresh process to its first action.

python scripts/benchmarks/startup.py
"""

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import interleaved, machine, report
from PIL import Image

from dp_hf.cli.arguments import parse, run

LIBRARIES = "import torch, diffusers, timm"
# What an interpreter with these libraries does when it ends takes seconds, and nobody waits for it.
END = "import os, sys; sys.stdout.flush(); os._exit(0)"
FIRST_ACTION = f"""
import json, sys, time
times = [time.perf_counter()]
from dp_hf import DiffusionPolicyPipeline
times.append(time.perf_counter())
pipeline = DiffusionPolicyPipeline.from_pretrained(sys.argv[1])
times.append(time.perf_counter())
pipeline(sys.argv[2], num_inference_steps=int(sys.argv[3]))
times.append(time.perf_counter())
print(json.dumps([end - start for start, end in zip(times, times[1:])]))
{END}
"""


@dataclass
class StartupArguments:
    """Measures start-up: each figure is the median over fresh processes, which take turns."""

    pipeline: Path | None = None
    """Folder of a pipeline; default is the reference policy with random weights."""
    num_inference_steps: int = 1000
    """Denoising steps of the first action."""
    repeats: int = 5
    """Fresh processes for each figure, after one that does not count."""
    json: bool = False
    """Print JSON instead of tables."""


def main() -> int:
    return run(benchmark, parse(StartupArguments, None, "startup.py"))


def benchmark(arguments: StartupArguments) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipeline = arguments.pipeline or save_reference(Path(folder) / "pipeline")
        frame = Path(folder) / "frame.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 424, 3), dtype=np.uint8)).save(frame)
        phases: list[list[float]] = []

        def first_action() -> None:
            output = python("-c", FIRST_ACTION, pipeline, frame, arguments.num_inference_steps)
            phases.append(json.loads(output.splitlines()[-1]))

        times = interleaved(
            {
                "dp-hf --help": lambda: python("-m", "dp_hf.cli.main", "--help"),
                "dp-hf train --help": lambda: python("-m", "dp_hf.cli.main", "train", "--help"),
                "import dp_hf": lambda: python("-c", "import dp_hf"),
                LIBRARIES: lambda: python("-c", f"{LIBRARIES}; {END}"),
                "from_pretrained to the first action": first_action,
            },
            arguments.repeats,
        )
    names = ["import", "from_pretrained", "first action"]
    medians = [statistics.median(values) for values in zip(*phases[1:], strict=True)]
    report(
        {
            "machine": machine(),
            "tables": {
                "Fresh processes": [
                    {"process": name, "seconds": value, f"x {LIBRARIES}": value / times[LIBRARIES]}
                    for name, value in times.items()
                ],
                "Within the last of them": [
                    {"phase": name, "seconds": value} for name, value in zip(names, medians, strict=True)
                ],
            },
        },
        arguments.json,
    )


def save_reference(folder: Path) -> Path:
    """The reference policy: frozen ResNet34, MLP, 1000 steps of DDPM; random weights."""
    from diffusers import DDPMScheduler

    from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer

    DiffusionPolicyPipeline(DiffusionPolicyModel(), DDPMScheduler(), Normalizer("identity")).save_pretrained(folder)
    return folder


def python(*arguments: object) -> str:
    return subprocess.run([sys.executable, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
