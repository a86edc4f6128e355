"""An arm of fourteen joints in radians, known from a YAML file alone: driven, recorded, converted, trained."""

import json
import re
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from arms import FOURTEEN_NUMBERS
from ros2_wire import LOOPBACK, PATIENCE, ros_environment

from dp_hf.arms.arm import Arm
from dp_hf.arms.arm_file import read_arm
from dp_hf.cli.main import main
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.episodes.find import find_episodes, find_failure
from dp_hf.episodes.reader import read_episode

REST = np.linspace(-0.3, 0.3, 14)
DIMENSIONS = {"state_dim": 14, "action_dim": 14}
NAMES = {f"{kind}_names": list(FOURTEEN_NUMBERS.names) for kind in ("state", "action")}
UNITS = {f"{kind}_units": ["radians"] * 14 for kind in ("state", "action")}
TINY = ["--image_encoder", "small_cnn", "--pretrained_backbone", "none", "--image_size", "16", "24"]
TINY += ["--hidden_dim", "16", "--diffusion_timesteps", "4", "--num_epochs", "1", "--batch_size", "4"]
TINY += ["--use_proprioception"]
LEFT, RIGHT = list(FOURTEEN_NUMBERS.names[:7]), list(FOURTEEN_NUMBERS.names[7:])


@pytest.fixture
def arm(tmp_path) -> tuple[Arm, str]:
    """(the arm, its file), all joints of both its arms with one controller."""
    joints = [f"joint_{name}" for name in FOURTEEN_NUMBERS.names]
    said = {
        "names": list(FOURTEEN_NUMBERS.names),
        "units": "radians",
        "gripper": None,
        "limits": {
            "positions": {"stops": [[-2, 2]] * 14},
            "velocity": 2,
            "acceleration": 10,
            "max_jump": 0.5,
            "start_tolerance": 0.1,
        },
        "ros": {"joints": joints, "image_topic": "/eye", "arm_topic": "/both_arms/joint_trajectory"},
    }
    file = tmp_path / "two_arms.yaml"
    file.write_text(json.dumps(said))  # which is YAML
    return read_arm(file), str(file)


@pytest.fixture
def pipeline(make_pipeline, tmp_path) -> str:
    """Folder of a policy of fourteen numbers whose actions are near REST."""
    from dp_hf import Normalizer

    pipeline = make_pipeline(horizon=8, n_action_steps=2, use_proprioception=True, **DIMENSIONS, **NAMES, **UNITS)
    rows = REST + np.random.default_rng(0).uniform(-0.2, 0.2, (100, 14))
    pipeline.register_modules(normalizer=Normalizer.from_data(rows, rows))
    pipeline.save_pretrained(tmp_path / "pipeline")
    return str(tmp_path / "pipeline")


class RealArm:
    """Context manager: the arm as a node of real ROS 2; `came` is what it was told, once it has ended."""

    def __init__(self, python: str, domain_id: int, file: str, state: np.ndarray = REST):
        self.command = [python, str(Path(__file__).with_name("real_ros2_arm.py")), file, *map(str, state)]
        self.environment = ros_environment() | LOOPBACK | {"ROS_DOMAIN_ID": str(domain_id)}

    def __enter__(self) -> "RealArm":
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, text=True, env=self.environment)
        assert self.process.stdout.readline() == "ready\n"
        return self

    def wait_for(self, number: int, node) -> None:
        """Until so many commands of a running node have come."""
        give_up, count = time.monotonic() + PATIENCE, 0
        while count < number:
            assert time.monotonic() < give_up, f"only {count} commands: {node.output}"
            assert node.process.poll() is None, node.output
            time.sleep(0.05)
            self.process.stdin.write("count\n")
            self.process.stdin.flush()
            count = int(self.process.stdout.readline())

    def __exit__(self, *exception) -> None:
        self.came = json.loads(self.process.communicate("quit\n", timeout=PATIENCE)[0])


def assert_within(arm: Arm, commands: np.ndarray) -> None:
    """Positions and velocities are. Of accelerations one would have to know when commands were sent."""
    assert ((commands >= arm.limits.lowest) & (commands <= arm.limits.highest)).all()
    assert (np.abs(np.diff(commands, axis=0)) <= arm.limits.velocity / arm.command_rate * (1 + 1e-6)).all()


@contextmanager
def served(source: str):
    """The address of a server of the pipeline."""
    from dp_hf import DiffusionPolicyPipeline
    from dp_hf.control.remote.server import PolicyServer

    pipeline = DiffusionPolicyPipeline.from_pretrained(source)
    server = PolicyServer(pipeline, PolicySettings.from_config(pipeline.policy.config), port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"ws://127.0.0.1:{server.port}"
    server.shutdown()


@pytest.fixture
def ros(monkeypatch, domain_id, ros_python):
    """(a Python with ROS 2, its domain), which this process is in too."""
    for needed in ("cyclonedds", "websockets", "msgpack"):
        pytest.importorskip(needed)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    return ros_python("kilted"), domain_id


def test_from_a_file_to_a_trained_policy(ros, arm, pipeline, tmp_path, capsys):
    (python, domain_id), (arm, file) = ros, arm
    driven = ["--robot", "ros2", "--arm", file]
    with RealArm(python, domain_id, file) as watched:
        assert main(["run-policy", "--pipeline", pipeline, *driven, "--duration", "0.5"]) == 0
    assert watched.came == []
    assert "dry run" in capsys.readouterr().out

    with RealArm(python, domain_id, file) as moved, served(pipeline) as address:
        recorded = ["--record", str(tmp_path / "runs"), "--execute", "--duration", "2"]
        assert main(["run-policy", "--remote", address, *driven, *recorded]) == 0
    names, positions = zip(*moved.came, strict=True)
    assert all(each == list(arm.ros.names) for each in names)
    commands = np.array(positions)
    assert len(commands) > 30
    assert np.abs(commands[-1] - REST).max() > 0.02
    assert_within(arm, commands)

    (episode,) = find_episodes(tmp_path / "runs")
    assert find_failure(episode) is None
    read = read_episode(episode)
    assert read.recording.quantities == FOURTEEN_NUMBERS
    nearest = np.abs(read.actions[:, None] - commands[None]).max(2).min(1)
    assert nearest.max() < 1e-6  # what is recorded as an action went out

    out = str(tmp_path / "trained")
    assert main(["convert-episodes", "--data_dir", str(tmp_path / "runs"), "--output_dir", str(tmp_path / "data")]) == 0
    assert (
        main(
            [
                "train",
                "--data_dir",
                str(tmp_path / "data"),
                "--output_dir",
                out,
                "--frame_skip",
                "1",
                "--learn_from",
                "all",
                *TINY,
            ]
        )
        == 0
    )
    capsys.readouterr()
    with RealArm(python, domain_id, file) as moved:
        started = ["run-policy", "--pipeline", f"{out}/final", *driven, "--execute", "--duration", "0.5"]
        assert main(started) in (0, 1)  # what so little training has taught may be too far away to be done
    assert re.search(r"\d+ commands", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"action_dim": 7, "action_names": LEFT, "action_units": ["radians"] * 7}, "has 7 numbers"),
        ({"action_units": ["degrees"] * 14}, r"has left_waist \(degrees\) where left_waist \(radians\)"),
        ({"action_names": [*RIGHT, *LEFT]}, "has right_waist .* where left_waist"),
        ({"state_units": ["unknown"] * 14}, r"its state has left_waist \(unit unknown\)"),
        ({"action_names": None, "action_units": None}, r"its action has \[0\] \(unit unknown\) where left_waist"),
    ],
)
def test_a_policy_of_another_arm_stops_before_anything_moves(arm, make_pipeline, tmp_path, capsys, changes, said):
    config = DIMENSIONS | NAMES | UNITS | changes
    make_pipeline(use_proprioception=True, **config).save_pretrained(tmp_path / "other")
    arguments = ["run-policy", "--pipeline", str(tmp_path / "other"), "--robot", "ros2", "--arm", arm[1], "--execute"]
    assert main(arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert re.search(f"other is not for --robot ros2: .*{said}", line)


@pytest.mark.parametrize("message", ["JointTrajectory", "Float64MultiArray"])
def test_the_nodes_drive_it_too(ros_python, domain_id, arm, pipeline, message):
    """`robot_name` is the arm's file; each message that a controller may take."""
    from ros2_nodes import RunningNode

    python = ros_python("kilted", "control_msgs")
    arm, file = arm
    said = json.loads(Path(file).read_text())
    said["ros"]["message"] = message
    Path(file).write_text(json.dumps(said))
    parameters = [f"checkpoint_path:={pipeline}", f"robot_name:={file}", "execute:=true"]
    with (
        RealArm(python, domain_id, file) as moved,
        RunningNode(python, domain_id, "model_inference_node", *parameters) as node,
    ):
        node.wait_for("actions a second")
        moved.wait_for(20, node)
        assert node.end() == 0
    names, positions = zip(*moved.came, strict=True)
    assert names[0] == (list(arm.ros.names) if message == "JointTrajectory" else None)
    assert_within(arm, np.array(positions))
