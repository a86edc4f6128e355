"""An SO-101 by LeRobot's own class, with its motors faked at a pseudo-terminal, where `DP_HF_LEROBOT_PYTHON` names a
Python that has `lerobot[feetech]` and what the client of a policy server needs, without dp_hf's other packages.
"""

import json
import os
import re
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from fake_feetech import CENTRE, FakeFeetech

from dp_hf.arms.arm_file import read_arm
from dp_hf.cli.recipes import recipe_folder
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.errors import UserError

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("DP_HF_LEROBOT_PYTHON")
needs_lerobot = pytest.mark.skipif(PYTHON is None, reason="DP_HF_LEROBOT_PYTHON names no Python that has lerobot")
ARM = read_arm(recipe_folder("arms") / "so101.yaml")
RUN = """
import sys
import lerobot_camera
from dp_hf.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def address(make_pipeline):
    """Of a server of a policy whose actions are near the middle of the arm."""
    pytest.importorskip("websockets")
    from dp_hf import Normalizer
    from dp_hf.control.remote.server import PolicyServer

    names, units = list(ARM.quantities.names), list(ARM.quantities.units)
    described = {"action_names": names, "action_units": units, "state_names": names, "state_units": units}
    pipeline = make_pipeline(horizon=8, use_proprioception=True, state_dim=6, action_dim=6, **described)
    rows = np.array([0, 0, 0, 0, 0, 50]) + np.random.default_rng(0).uniform(-10, 10, (100, 6))
    pipeline.register_modules(normalizer=Normalizer.from_data(rows, rows))
    server = PolicyServer(pipeline, PolicySettings.from_config(pipeline.policy.config), port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"ws://127.0.0.1:{server.port}"
    server.shutdown()


def config(folder, port, changes=()) -> str:
    """LeRobot's file of the robot; it has a calibration of the whole turn."""
    motors = enumerate(ARM.quantities.names, 1)
    calibration = {"drive_mode": 0, "homing_offset": 0, "range_min": 0, "range_max": 4095}
    (folder / "desk.json").write_text(json.dumps({name: {"id": number, **calibration} for number, name in motors}))
    cameras = {"front": {"type": "noise", "width": 42, "height": 24, "fps": 30}}
    said = {"type": "so101_follower", "port": port, "id": "desk", "calibration_dir": str(folder), "cameras": cameras}
    (folder / "robot.yaml").write_text(yaml.safe_dump(said | dict(changes)))
    return str(folder / "robot.yaml")


def drive(address, config, *options) -> subprocess.CompletedProcess:
    robot = ["--robot", "dp_hf.control.robots.lerobot:LeRobotArm", "--robot_arguments", f"config={config}"]
    command = [PYTHON, "-c", RUN, "run-policy", "--remote", address, *robot, *options]
    places = [str(ROOT), str(Path(__file__).parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places), "HF_HOME": str(Path(config).parent / "home")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


@needs_lerobot
def test_it_drives_an_so101_beside_a_policy_server(address, tmp_path):
    with FakeFeetech() as motors:
        options = ["--arm", "so101", "--execute", "--duration", "2", "--record", str(tmp_path / "runs")]
        done = drive(address, config(tmp_path, motors.port), *options)
    assert done.returncode == 0, done.stderr
    assert "actions a second" in done.stdout
    goals = np.array([motors.goals[number][:10] for number in range(1, 6)]) - CENTRE
    assert np.abs(goals).max() > 5
    assert np.abs(goals * 360 / 4096).max() < 15
    steps = np.abs(np.diff(goals * 360 / 4096, axis=1))
    # Goals come at the bus's pace; two commands may lie between them.
    assert (steps <= 3 * ARM.limits.velocity[:5, None] / ARM.command_rate + 0.1).all()
    (said,) = (tmp_path / "runs").glob("recording.json")
    assert json.loads(said.read_text())["names"] == list(ARM.quantities.names)


@needs_lerobot
@pytest.mark.parametrize(
    ("changes", "arm", "said"),
    [
        ({"use_degrees": False}, "so101", r"has shoulder_pan in range_m100_100, and so101 in degrees"),
        ({"type": "so109_follower"}, "so101", r"robot\.yaml: LeRobot refuses it"),
        ({"id": "unknown"}, "so101", r"not calibrated: run lerobot-calibrate"),
        ({"port": "/dev/nothing"}, "so101", r"/dev/nothing"),
    ],
)
def test_what_does_not_fit_is_one_sentence(address, tmp_path, changes, arm, said):
    with FakeFeetech() as motors:
        done = drive(address, config(tmp_path, motors.port, changes), "--arm", arm, "--execute", "--duration", "1")
    assert done.returncode == 2, done.stderr
    assert re.search(said, [line for line in done.stderr.splitlines() if "error: " in line][-1])
    assert not any(motors.goals.values())


def test_without_lerobot_it_says_so(tmp_path):
    try:
        import lerobot  # noqa: F401
    except ImportError:
        from dp_hf.control.robots.lerobot import LeRobotArm

        with pytest.raises(UserError, match="LeRobot's robots need lerobot in this Python"):
            LeRobotArm(config(tmp_path, "/dev/nothing"), ARM)
