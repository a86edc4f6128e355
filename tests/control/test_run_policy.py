"""The commands, with a real, tiny pipeline."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from control_fakes import HOME, assert_legal

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.cli.record_demonstrations import main as record_demonstrations
from dp_hf.cli.run_policy import main as run_policy
from dp_hf.episodes.find import find_episodes, find_failure
from dp_hf.episodes.reader import read_episode
from dp_hf.episodes.run_file import Run
from dp_hf.episodes.writer import EpisodeWriter


@pytest.fixture
def pipeline(make_pipeline, tmp_path) -> str:
    """Folder of a policy with random weights whose actions stay within 10 degrees of HOME."""
    from dp_hf import Normalizer

    pipeline = make_pipeline(horizon=8, n_action_steps=2, use_proprioception=True)
    rows = HOME + np.random.default_rng(0).uniform(-10, 10, (100, 7))
    pipeline.register_modules(normalizer=Normalizer.from_data(rows, rows))
    pipeline.save_pretrained(tmp_path / "pipeline")
    return str(tmp_path / "pipeline")


@pytest.fixture
def wire(monkeypatch, domain_id):
    """(domain id, context manager of a robot on it)."""
    pytest.importorskip("cyclonedds")
    from ros2_wire import WireRobot

    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return domain_id, WireRobot(domain_id)


@pytest.mark.parametrize(("aspects", "refused"), [(None, False), ((424 / 240,), False), ((4 / 3,), True)])
def test_a_camera_of_another_aspect_than_the_recordings_is_refused(make_pipeline, tmp_path, capsys, aspects, refused):
    make_pipeline(recorded_aspects=aspects).save_pretrained(tmp_path / "pipeline")
    code = run_policy(["--pipeline", str(tmp_path / "pipeline"), "--robot", "sim", "--duration", "0.3"])
    assert (code == 2) == refused
    said = "gives 424x240, and the policy was trained on pictures 1.33 times as wide as high, such as 320x240"
    assert (said in capsys.readouterr().err) == refused


def test_on_ros2_it_drives_and_records(pipeline, wire, tmp_path, capsys):
    domain_id, peer = wire
    with peer:
        code = run_policy(
            ["--pipeline", pipeline, "--robot", "ros2", "--ros2.domain_id", str(domain_id), "--execute"]
            + ["--duration", "2", "--record", str(tmp_path / "runs")]
        )
    assert code == 0
    assert "misses" in capsys.readouterr().out
    assert 60 <= len(peer.commands) <= 130
    assert_legal(peer.commands, MYCOBOT_280.limits, 0.02, times=peer.times)
    assert np.abs(peer.commands[-1] - HOME).max() > 0.1
    (episode,) = find_episodes(tmp_path / "runs")
    assert find_failure(episode) is None
    actions = read_episode(episode).actions
    assert 10 <= len(actions) <= 21
    # What is recorded as an action is a command that went out.
    nearest = np.abs(actions[:, None] - peer.commands[None]).max(2).min(1)
    assert nearest.max() < 1e-4


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("arm_topic", "nobody listens to /mistyped (--ros2.arm_topic): is the controller running"),
        ("gripper_topic", "no server with Fast DDS to /mistyped"),
    ],
)
def test_a_topic_that_nobody_listens_to_is_named_and_nothing_is_sent(
    pipeline, wire, ros_python, topic, said, capsys, monkeypatch
):
    from ros2_wire import WireRobot

    monkeypatch.setattr("dp_hf.control.start.START_TIMEOUT", 2.0)
    domain_id, _ = wire
    arguments = ["--pipeline", pipeline, "--robot", "ros2", "--ros2.domain_id", str(domain_id)]
    arguments += [f"--ros2.{topic}", "/mistyped", "--ros2.gripper_action", "/mistyped"]
    with WireRobot(domain_id, ros_python=ros_python("kilted")) as peer:
        assert run_policy([*arguments, "--execute", "--duration", "5"]) == 2
        assert said in capsys.readouterr().err
        assert run_policy([*arguments, "--duration", "0.2"]) == 0  # a dry run needs nobody
    assert len(peer.commands) == 0


def test_a_gripper_that_takes_an_action_is_driven_too(pipeline, wire, ros_python):
    from ros2_wire import WireRobot

    domain_id, _ = wire
    arguments = ["--pipeline", pipeline, "--robot", "ros2", "--ros2.domain_id", str(domain_id), "--execute"]
    python = ros_python("kilted", "control_msgs")
    with WireRobot(domain_id, ros_python=python, arguments=["--no_gripper", "--reject", "1"]) as peer:
        assert run_policy([*arguments, "--duration", "4"]) == 0
    assert len(peer.got["arm"]) > 50
    assert peer.got["gripper"] == []
    goals = peer.got["gripper_goals"]
    assert 1 <= len(goals) < len(peer.got["arm"])
    assert all(-0.5 <= position <= 0 and effort == 5.0 for _, position, effort in goals)


def test_without_execute_a_real_robot_is_not_moved(pipeline, wire, capsys):
    domain_id, peer = wire
    with peer:
        arguments = ["--pipeline", pipeline, "--robot", "ros2", "--ros2.domain_id", str(domain_id), "--duration", "1"]
        assert run_policy(arguments) == 0
    assert len(peer.commands) == 0
    assert "dry run" in capsys.readouterr().out


@pytest.mark.slow
def test_kill_brakes_and_kill_9_leaves_the_arm_where_it_is(pipeline, wire):
    domain_id, peer = wire
    command = [sys.executable, "-m", "dp_hf.cli.main", "run-policy", "--pipeline", pipeline, "--robot", "ros2"]
    command += ["--ros2.domain_id", str(domain_id), "--execute"]
    with peer:
        for number, code in [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)]:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            peer.wait_for(60)  # it drives, and knows its signals
            process.send_signal(number)
            assert process.wait(timeout=60) == code
    commands, gaps = peer.commands, np.diff(peer.times)
    first_of_second_run = int(np.argmax(gaps)) + 1
    first = slice(None, first_of_second_run)
    assert_legal(commands[first], MYCOBOT_280.limits, 0.02, times=peer.times[first])
    second = commands[first_of_second_run:]
    assert len(second) > 50
    # From rest where the first run ended; at its own end nobody could brake.
    times = peer.times[first_of_second_run:]
    assert_legal(second, MYCOBOT_280.limits, 0.02, start=commands[first_of_second_run - 1], times=times)


@pytest.mark.slow
def test_ten_predictions_a_second_for_a_minute(pipeline, wire):
    """Robot, camera (424x240 at 30 Hz) and controller in processes of their own; a prediction for every action."""
    from ros2_wire import WireRobot

    domain_id, _ = wire
    command = [sys.executable, "-m", "dp_hf.cli.main", "run-policy", "--pipeline", pipeline, "--execute"]
    command += ["--robot", "ros2", "--ros2.domain_id", str(domain_id), "--n_action_steps", "1", "--duration", "60"]
    with WireRobot(domain_id, 424, 240) as peer:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=True)
    report = done.stdout.splitlines()[-1]
    print(report)
    assert re.search(r" (599|600|601) chunks \([\d.]+ Hz, 0 misses, 0 starved\), 0 holds", report)
    assert_legal(peer.commands, MYCOBOT_280.limits, 0.02, times=peer.times)
    assert 2900 <= len(peer.commands) <= 3050


def test_an_episodes_images_drive_the_arm_and_the_run_ends_with_them(pipeline, wire, tmp_path, capsys):
    domain_id, peer = wire
    rng = np.random.default_rng(0)
    with EpisodeWriter(tmp_path / "data") as writer:
        for i in range(12):
            writer.add_frame(rng.integers(0, 255, (24, 42, 3), dtype=np.uint8), HOME, timestamp=0.1 * i)
    with peer:
        peer.tell("unplug")  # its own camera is not needed
        arguments = ["--pipeline", pipeline, "--robot", "ros2", "--ros2.domain_id", str(domain_id), "--execute"]
        start = time.monotonic()
        assert run_policy([*arguments, "--images_from", str(writer.path)]) == 0
    assert 1.0 < peer.times[-1] - peer.times[0] < 4
    assert time.monotonic() - start < 20
    assert "chunks" in capsys.readouterr().out


@pytest.fixture
def simulator():
    pytest.importorskip("mujoco")
    pytest.importorskip("gymnasium")
    from dp_hf.errors import UserError

    try:
        from dp_hf.simulation.stacking import make_environment

        make_environment(cameras=("front",)).close()
    except UserError as error:
        pytest.skip(str(error))


def test_in_the_simulator_it_drives_until_the_time_is_over(simulator, pipeline, tmp_path, capsys):
    assert run_policy(["--pipeline", pipeline, "--duration", "4", "--record", str(tmp_path / "runs")]) == 0
    assert "misses" in capsys.readouterr().out
    (episode,) = find_episodes(tmp_path / "runs")
    recorded = read_episode(episode)
    assert len(recorded.frames) >= 10
    report = json.loads((episode / "run_report.json").read_text())
    assert len(report["borders"]) == report["chunks"] >= 1
    assert report["borders"][0].keys() == {"time", "predicted", "latency", "prefix", "jump"}
    assert report["inference"]["p50"] > 0
    # The random policy wants to be around HOME.
    away = np.abs(recorded.states - HOME)[:, :6].max(1)
    assert away[0] > 60
    assert away[-1] < 30
    assert len(Run.read(episode, 7).chunks) >= 3


def test_a_run_in_which_nothing_could_be_executed_has_failed(simulator, pipeline, capsys):
    limits = Path(__file__).parents[2] / "configs" / "control" / "mycobot_280_slow.yaml"
    assert run_policy(["--pipeline", pipeline, "--duration", "1", "--limits", str(limits)]) == 1
    assert "0 chunks" in capsys.readouterr().out


def test_a_remote_policy_drives_like_a_local_one(pipeline, wire, capsys):
    pytest.importorskip("websockets")
    pytest.importorskip("msgpack")
    domain_id, peer = wire
    command = [sys.executable, "-m", "dp_hf.cli.main", "serve-policy", "--pipeline", pipeline, "--port", "0"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"DP_HF_TOKEN": "secret", "OMP_NUM_THREADS": "1"}
    )
    try:
        url = server.stdout.readline().split()[-1]
        arguments = ["--remote", url, "--robot", "ros2", "--ros2.domain_id", str(domain_id), "--execute"]
        assert run_policy([*arguments, "--duration", "1"]) == 2
        assert "is the token right" in capsys.readouterr().err
        with peer, pytest.MonkeyPatch.context() as patch:
            patch.setenv("DP_HF_TOKEN", "secret")
            assert run_policy([*arguments, "--duration", "2"]) == 0
        assert np.abs(peer.commands[-1] - HOME).max() > 0.1
        assert_legal(peer.commands, MYCOBOT_280.limits, 0.02, times=peer.times)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=20)
    assert server.returncode == 0


def test_episodes_of_a_ros2_robot_are_recorded_by_topic(wire, tmp_path, capsys):
    from dp_hf.control.robots.dds import Dds
    from dp_hf.control.robots.ros2_messages import Bool

    domain_id, peer = wire
    out = tmp_path / "demonstrations"

    def operate():
        operator = Dds(domain_id)
        record = operator.publisher("/record_episode", Bool)
        time.sleep(1.5)  # discovery
        record(Bool(True))
        time.sleep(1.2)
        record(Bool(False))
        time.sleep(0.5)
        record(Bool(True))
        time.sleep(0.8)
        os.kill(os.getpid(), signal.SIGTERM)
        operator.close()

    with peer:
        thread = threading.Thread(target=operate)
        thread.start()
        arguments = ["--robot", "ros2", "--ros2.domain_id", str(domain_id), "--output_dir", str(out)]
        assert record_demonstrations(arguments) == 0
        thread.join()
    done, cut_off = find_episodes(out)
    assert find_failure(done) is None
    recorded = read_episode(done)
    assert recorded.problems == []
    assert 7 <= len(recorded.frames) <= 14
    np.testing.assert_allclose(recorded.states, [HOME] * len(recorded.frames), atol=1e-4)
    assert "interrupted" in find_failure(cut_off)
    assert "dropped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --pipeline or --remote"),
        (["--pipeline", "x", "--execute", "--dry_run"], "either --execute or --dry_run"),
        (["--pipeline", "x", "--limits", "nowhere.yaml"], "nowhere.yaml"),
        (["--remote", "ws://127.0.0.1:1"], "no policy server"),
        (["--remote", "ws://127.0.0.1:1", "--token_file", "nowhere"], "nowhere: cannot be read"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys):
    assert run_policy(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def remote(make_pipeline):
    """A function that serves a policy, an arm's, and returns the address."""
    pytest.importorskip("websockets")
    pytest.importorskip("msgpack")
    from dp_hf.arms.mycobot_280 import QUANTITIES
    from dp_hf.control.policy_settings import PolicySettings
    from dp_hf.control.remote.server import PolicyServer

    numbers = {"state_names": QUANTITIES.names, "state_units": QUANTITIES.units}
    numbers |= {"action_names": QUANTITIES.names, "action_units": QUANTITIES.units}
    servers = []

    def serve(policy) -> str:
        config = make_pipeline(horizon=8, n_action_steps=2, use_proprioception=True, **numbers).policy.config
        server = PolicyServer(policy, PolicySettings.from_config(config), port=0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"ws://127.0.0.1:{server.port}"

    yield serve
    for server in servers:
        server.shutdown()


def test_a_policy_that_fails_or_hangs_before_the_arm_moves_is_one_sentence(remote, capsys):
    released = threading.Event()

    def broken(image, state):
        raise RuntimeError("out of memory \x1b[31m")

    arguments = ["--robot", "ros2", "--execute", "--remote"]
    assert run_policy([*arguments, remote(broken)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeError: out of memory \\x1b[31m" in line
    assert run_policy([*arguments, remote(lambda image, state: released.wait(20))]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "has not answered within 5 s" in line
    released.set()


HANGING = """
import sys, time
from functools import partial
from types import SimpleNamespace
import numpy as np
import dp_hf.control.controller as controller
from dp_hf.cli import run_policy
from dp_hf.cli.policy_arguments import PolicyArguments

controller.INFERENCE_TIMEOUT = 4.0
load = PolicyArguments.load_policy

def load_hanging(self, source):
    policy, settings, alarm = load(self, source)
    calls = []
    def hanging(image, state):
        calls.append(1)
        if len(calls) > 6:
            time.sleep(1000)
        return policy(image, state=state)
    return hanging, settings, alarm

PolicyArguments.load_policy = load_hanging
sys.exit(run_policy.main(sys.argv[1:]))
"""


def test_a_policy_that_hangs_on_the_way_ends_the_process(pipeline, wire):
    domain_id, peer = wire
    command = [sys.executable, "-c", HANGING, "--pipeline", pipeline, "--robot", "ros2", "--execute"]
    command += ["--ros2.domain_id", str(domain_id)]
    with peer:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: the policy has not answered for 4 s"
    assert "holding: the policy has given no actions for 0.5 s" in done.stderr
    assert "Traceback" not in done.stderr
    assert_legal(peer.commands, MYCOBOT_280.limits, 0.02, times=peer.times)


def exit_code(arguments):
    """Of run-policy, whose parser exits and whose run returns."""
    try:
        return run_policy(arguments)
    except SystemExit as exit:
        return exit.code


@pytest.mark.parametrize(
    ("options", "config", "message"),
    [
        (["--n_action_steps", "0"], {}, "n_action_steps is at least 1, a whole number or none; got 0"),
        (["--n_action_steps", "9"], {}, "n_action_steps is 1 to horizon (8); got 9"),
        ([], {"temporal_ensemble": float("nan")}, "temporal_ensemble"),
        ([], {"n_action_steps": 9}, "n_action_steps"),
        (["--rate", "0"], {}, "rate is above 0 and at most 1,000"),
        (["--rate", "nan"], {}, "rate is above 0 and at most 1,000"),
        (["--duration", "nan"], {}, "duration is above 0"),
        (["--duration", "-1"], {}, "duration is above 0"),
    ],
)
def test_options_out_of_range_are_refused_before_the_arm_moves(pipeline, wire, options, config, message, capsys):
    domain_id, peer = wire
    file = Path(pipeline, "policy", "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    with peer:
        arguments = ["--pipeline", pipeline, "--robot", "ros2", "--ros2.domain_id", str(domain_id), "--execute"]
        assert exit_code([*arguments, *options]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert len(peer.commands) == 0
