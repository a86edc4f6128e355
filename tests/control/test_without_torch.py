"""An exported policy drives an arm from a computer that has no torch."""

import re

import numpy as np
import pytest
from control_fakes import HOME
from without_torch import run_without_torch

from dp_hf import Normalizer

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("pymycobot")

# The command itself; only the camera is not there.
DRIVE = """
import time
import numpy as np
from dp_hf.cli import robot_arguments
from dp_hf.control.robot import Stamped

class Camera:
    def __init__(self, config):
        self.noise = np.random.default_rng(0)

    def read(self):
        return Stamped(self.noise.integers(0, 256, (240, 424, 3), dtype=np.uint8), time.monotonic())

    def close(self): ...

robot_arguments.OpenCvCamera = Camera
from dp_hf.cli.main import main
code = main(["run-policy", "--robot", "mycobot", "--execute", "--duration", "3", *sys.argv[1:]])
assert not {"torch", "diffusers", "filelock"} & set(sys.modules)
sys.exit(code)
"""


@pytest.fixture
def exported(make_pipeline, tmp_path):
    """Folders of a policy with random weights whose actions stay within 10 degrees of HOME, exported and not."""
    from dp_hf.interop.onnx_export import export_onnx

    pipeline = make_pipeline(horizon=8, n_action_steps=2, use_proprioception=True)
    rows = HOME + np.random.default_rng(0).uniform(-10, 10, (100, 7))
    pipeline.register_modules(normalizer=Normalizer.from_data(rows, rows))
    pipeline.save_pretrained(tmp_path / "torch")
    (tmp_path / "exported").mkdir()
    export_onnx(pipeline, tmp_path / "exported")
    return tmp_path / "exported", tmp_path / "torch"


def test_run_policy_drives_a_mycobot(exported):
    from fake_mycobot import FakeMyCobot

    with FakeMyCobot() as firmware:
        firmware.angles, firmware.gripper = HOME[:6], int(HOME[6])
        done = run_without_torch(DRIVE, "--mycobot.port", firmware.port, "--pipeline", exported[0])
    assert firmware.illegal == []
    assert len(firmware.commands) > 20
    assert re.search(r"[1-9]\d* chunks", done.stdout)
    assert np.abs(firmware.angles - HOME[:6]).max() > 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "is run by torch, which is not installed here: where it is, `dp-hf export-policy --pipeline"),
        (["--device", "cuda"], "is an exported policy: onnxruntime optimizes it itself"),
        (["--bf16_encoder"], "is an exported policy: onnxruntime optimizes it itself"),
    ],
)
def test_what_it_cannot_run_is_told_in_a_sentence(exported, options, said):
    folder = exported[0] if options else exported[1]
    done = run_without_torch(DRIVE, "--pipeline", folder, *options, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
