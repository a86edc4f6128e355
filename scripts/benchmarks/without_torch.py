"""An exported pipeline without torch, on one core: start, memory, and from an image to actions.

python scripts/benchmarks/without_torch.py --python ~/slim/bin/python

where ~/slim is an environment of numpy, onnxruntime, pillow, pyyaml and tyro, of dp_hf by `pip install --no-deps`,
and, for the rows with them, of openvino and pymycobot. The policy has the sizes of the quickstart's, and random
weights, which cost what trained ones do.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from measuring import machine, report
from PIL import Image

from dp_hf.cli.arguments import parse, run
from dp_hf.ranges import Range

ROOT = Path(__file__).parents[2]
STATE = [0.0, 12.0, -103.0, 20.0, 0.0, 0.0, 100.0]
MEASURE = """
import json, re, sys, time
start = time.perf_counter()
from dp_hf import DiffusionPolicyPipeline
source, frame, calls, backend = sys.argv[1:]
pipeline = DiffusionPolicyPipeline.from_pretrained(source)
import numpy as np
state = np.zeros(7)
if backend == "openvino":
    import openvino
    core = openvino.Core()
    core.set_property({"INFERENCE_NUM_THREADS": 1})
    def compiled(graph):
        request = core.compile_model(str(graph.file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
        return lambda *arrays: request.infer(list(arrays), share_inputs=True)[0]
    policy = pipeline.policy
    policy.encoder, policy.denoising_network = compiled(policy.encoder), compiled(policy.denoising_network)
pipeline(frame, state=state)
started = time.perf_counter() - start
image = np.random.default_rng(0).integers(0, 256, (240, 424, 3), dtype=np.uint8)
wall, cpu = [], []
for _ in range(int(calls)):
    before = time.perf_counter(), time.process_time()
    pipeline(image, state=state)
    wall.append(1000 * (time.perf_counter() - before[0]))
    cpu.append(1000 * (time.process_time() - before[1]))
status = open("/proc/self/status").read()
memory = {name: int(re.search(name + r":\\s+(\\d+)", status)[1]) / 1024 for name in ("VmRSS", "VmHWM")}
print(json.dumps({
    "start, s": started,
    "image to actions, ms": float(np.median(wall)),
    "99 of 100 within, ms": float(np.quantile(wall, 0.99)),
    "CPU, ms": float(np.median(cpu)),
    "memory, MB": memory["VmRSS"],
    "at most, MB": memory["VmHWM"],
}))
"""
DRIVE = """
import sys, time
import numpy as np
from dp_hf.cli import robot_arguments
from dp_hf.cli.main import main
from dp_hf.control.robot import Stamped
class Camera:
    def __init__(self, config): self.noise = np.random.default_rng(0)
    def read(self): return Stamped(self.noise.integers(0, 256, (240, 424, 3), dtype=np.uint8), time.monotonic())
    def close(self): ...
robot_arguments.OpenCvCamera = Camera
sys.exit(main(["run-policy", "--robot", "mycobot", "--execute", *sys.argv[1:]]))
"""


@dataclass
class WithoutTorchArguments:
    """Measures in fresh processes on one core, each figure over many calls, and the rows in turns."""

    pipeline: Path | None = None
    """Folder of a pipeline; default is the quickstart's sizes with random weights."""
    python: Path = Path(sys.executable)
    """Python of an environment without torch."""
    calls: Annotated[int, Range(1)] = 300
    """Images that each process predicts actions for."""
    repeats: Annotated[int, Range(1)] = 3
    """Processes of each row; the one of the least CPU time counts."""
    openvino: bool = False
    """Also with OpenVINO in the place of onnxruntime."""
    core_share: Annotated[float, Range(above=0, high=1)] = 1.0
    """CPU seconds a second that the processes may have, which are stopped and let go in turns: 0.125 is a core of an
    eighth of this one's speed."""
    drive_seconds: Annotated[float, Range(0)] = 0.0
    """Seconds of run-policy with the tests' firmware of a myCobot."""
    json: bool = False
    """Print JSON instead of tables."""


def main() -> int:
    return run(benchmark, parse(WithoutTorchArguments, None, "without_torch.py"))


def benchmark(arguments: WithoutTorchArguments) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = arguments.pipeline or save_quickstart(folder / "torch")
        exported = export(source, folder)
        frame = folder / "frame.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 424, 3), dtype=np.uint8)).save(frame)
        rows = {"torch": (Path(sys.executable), source, "torch")}
        rows |= {f"onnxruntime, {name}": (arguments.python, path, "onnx") for name, path in exported.items()}
        if arguments.openvino:
            rows |= {f"OpenVINO, {name}": (arguments.python, path, "openvino") for name, path in exported.items()}
        best: dict[str, dict[str, float]] = {}
        for _ in range(arguments.repeats):
            for name, (python, path, backend) in rows.items():
                words = [python, "-c", MEASURE, path, frame, arguments.calls, backend]
                figures = json.loads(on_one_core(words, arguments.core_share)[0].splitlines()[-1])
                best[name] = min(best.get(name, figures), figures, key=lambda each: each["CPU, ms"])
        tables: dict[str, Any] = {"One image to its chunk": [{"run by": name} | best[name] for name in rows]}
        if arguments.drive_seconds:
            tables["Driving a myCobot"] = drive(arguments, exported["float32"])
    facts = machine() | {"core share": arguments.core_share}
    report({"machine": facts, "tables": tables}, arguments.json)


def save_quickstart(folder: Path) -> Path:
    """A policy of the quickstart's recipe, before training."""
    from diffusers import DDIMScheduler

    from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer
    from dp_hf.arms.mycobot_280 import QUANTITIES

    names = {f"{kind}_{what}": getattr(QUANTITIES, what) for kind in ("state", "action") for what in ("names", "units")}
    sizes: dict[str, Any] = {
        "image_size": (48, 84),
        "cnn_width": 32,
        "hidden_dim": 512,
        "horizon": 16,
        "num_keypoints": 32,
    }
    policy = DiffusionPolicyModel(
        image_encoder="small_cnn",
        pooling="spatial_softmax",
        freeze_image_encoder=False,
        use_proprioception=True,
        **sizes,
        **names,
    )
    scheduler = DDIMScheduler(
        100, beta_schedule="squaredcos_cap_v2", prediction_type="sample", timestep_spacing="trailing"
    )
    rows = np.array(STATE) + np.random.default_rng(0).uniform(-8, 8, (100, 7))
    normalizer = Normalizer.from_data(rows, rows)
    DiffusionPolicyPipeline(policy, scheduler, normalizer, num_inference_steps=10).save_pretrained(folder)
    return folder


def export(source: Path, folder: Path) -> dict[str, Path]:
    """The pipeline's exports by name."""
    from dp_hf import DiffusionPolicyPipeline
    from dp_hf.interop.onnx_export import export_onnx

    exported = {"float32": folder / "onnx", "int8 encoder": folder / "int8"}
    for path in exported.values():
        path.mkdir()
        pipeline = DiffusionPolicyPipeline.from_pretrained(source)
        images = torch.randint(0, 256, (16, 3, *pipeline.policy.config.image_size), dtype=torch.uint8)
        export_onnx(pipeline, path, "int8" if path.name == "int8" else "none", images)
    return exported


def drive(arguments: WithoutTorchArguments, exported: Path) -> list[dict[str, Any]]:
    """run-policy with an arm's fake firmware, and a camera that is an object of its own."""
    sys.path.insert(0, str(ROOT / "tests" / "control"))
    from fake_mycobot import FakeMyCobot

    with FakeMyCobot() as firmware:
        firmware.angles, firmware.gripper = np.array(STATE[:6]), int(STATE[6])
        options = ["--mycobot.port", firmware.port, "--pipeline", exported, "--duration", arguments.drive_seconds]
        said, memory = on_one_core([arguments.python, "-c", DRIVE, *options], arguments.core_share)
    (summary,) = (line for line in said.splitlines() if " commands (" in line)
    return [{"run-policy": summary, "at most, MB": memory}]


def on_one_core(words: list[Any], share: float) -> tuple[str, float]:
    """What a process prints that has a part of one core, and its largest resident memory in MB."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    if words[0] == Path(sys.executable):
        environment["PYTHONPATH"] = str(ROOT)
    core, memory = max(os.sched_getaffinity(0)), 0.0
    with subprocess.Popen(
        list(map(str, words)),
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    ) as process:
        start = time.perf_counter()
        while process.poll() is None:
            time.sleep(0.001 if share < 1 else 0.05)
            if share < 1:  # it waits while it has had more than its share
                is_ahead = cpu_seconds(process.pid) > share * (time.perf_counter() - start)
                process.send_signal(signal.SIGSTOP if is_ahead else signal.SIGCONT)
            memory = resident(process.pid) or memory
        assert process.stdout is not None
        said = process.stdout.read()
    assert process.returncode == 0, said
    return said, memory


def cpu_seconds(pid: int) -> float:
    """Of all threads of a process."""
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError, IndexError):
            total += int(file.read_text().split()[0])
    return total / 1e9


def resident(pid: int) -> float:
    """MB at most so far; 0 of a process that has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        found = None
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    sys.exit(main())
