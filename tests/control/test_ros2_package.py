"""The ament_python package against a stub of rclpy, and built by colcon; see its README for what that leaves open."""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import ros_stub
from control_fakes import HOME, assert_legal

from dp_hf.arms.mycobot_280 import JOINT_NAMES, MYCOBOT_280, QUANTITIES, ROS_JOINTS
from dp_hf.episodes.find import find_episodes, find_failure
from dp_hf.episodes.reader import read_episode

PACKAGE = Path(__file__).parents[2] / "scripts" / "ros2" / "diffusion_policy_inference"
ARM_TOPIC = "/arm_controller/joint_trajectory"
ARM_ACTION = "/arm_controller/follow_joint_trajectory"
GRIPPER = "/gripper_action_controller/gripper_cmd"


@pytest.fixture
def world(monkeypatch):
    monkeypatch.syspath_prepend(str(PACKAGE))
    world = ros_stub.install(monkeypatch)
    for name in [name for name in sys.modules if name.startswith("diffusion_policy_inference")]:
        monkeypatch.delitem(sys.modules, name)
    yield world
    for name in [name for name in sys.modules if name.startswith("diffusion_policy_inference")]:
        del sys.modules[name]


class Arm(threading.Thread):
    """Publishes camera and joints into the stub's world, and goes where trajectories send it, until `stop`."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.world = world
        self.state = HOME.copy()
        self.running = True

    def run(self):
        random = np.random.default_rng(0)
        names = [*JOINT_NAMES, "gripper_controller"]
        while self.running:
            time.sleep(0.01)
            if len(self.world.subscriptions) < 3:
                continue
            if self.world.published.get(ARM_TOPIC):
                self.state[:6] = np.degrees(self.world.published[ARM_TOPIC][-1].points[0].positions)
            if goals := self.world.goals.get(ARM_ACTION):
                self.state[:6] = np.degrees(goals[-1].goal.trajectory.points[0].positions)
            if goals := self.world.goals.get(GRIPPER):
                self.state[6] = ROS_JOINTS.gripper_from_radians(goals[-1].goal.command.position)
            positions = [*np.radians(self.state[:6]), ROS_JOINTS.gripper_to_radians(self.state[6])]
            image = random.integers(0, 255, (24, 42, 3), dtype=np.uint8)
            self.world.publish("/joint_states", name=names, position=positions)
            self.world.publish(
                "/camera_head/color/image_raw", height=24, width=42, encoding="rgb8", step=126, data=image.tobytes()
            )

    def stop(self):
        self.running = False
        self.join()


@pytest.fixture
def arm(world):
    arm = Arm(world)
    arm.start()
    yield arm
    arm.stop()


@pytest.fixture
def pipeline(make_pipeline, tmp_path) -> str:
    from dp_hf import Normalizer

    pipeline = make_pipeline(horizon=8, n_action_steps=2, use_proprioception=True)
    rows = HOME + np.random.default_rng(0).uniform(-10, 10, (100, 7))
    pipeline.register_modules(normalizer=Normalizer.from_data(rows, rows))
    pipeline.save_pretrained(tmp_path / "models" / "stack")
    return str(tmp_path / "models" / "stack")


def run_node(world, until, while_running=lambda: None) -> int:
    """Runs the inference node in this thread, as ROS would, and ends it with SIGTERM once `until()` is true of it."""
    from diffusion_policy_inference.model_inference_node import main

    def wait_for(event):
        give_up = time.monotonic() + 60
        while not event() and time.monotonic() < give_up:
            time.sleep(0.01)

    def end():
        wait_for(lambda: any("inference takes" in line for line in world.log))
        wait_for(until)
        while_running()
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=end)
    thread.start()
    code = main([])
    thread.join()
    return code


def test_the_node_drives_by_topic_and_gripper_action(world, arm, pipeline):
    world.action_servers = {GRIPPER}
    folder = Path(pipeline)
    world.parameters = {"checkpoint_path": folder.name, "model_dir": str(folder.parent), "execute": True}
    assert run_node(world, until=lambda: len(world.published[ARM_TOPIC]) >= 100) == 0
    assert not world.is_initialized
    sent = world.published[ARM_TOPIC]
    assert sent[-1].sent_at - sent[0].sent_at > 0.9 * 0.02 * (len(sent) - 1)
    assert all(message.joint_names == list(JOINT_NAMES) for message in sent)
    commands = np.column_stack([np.degrees([message.points[0].positions for message in sent]), np.full(len(sent), 50)])
    assert_legal(commands, MYCOBOT_280.limits, 0.02, times=[message.sent_at for message in sent])
    assert np.abs(commands[-1] - HOME).max() > 0.1
    goals = [handle.goal.command for handle in world.goals[GRIPPER]]
    assert all(-0.5 <= goal.position <= 0 and goal.max_effort == 5.0 for goal in goals)
    assert len(goals) < len(sent)
    assert world.goals[GRIPPER][-1].cancelled  # on stop
    assert ARM_ACTION not in world.goals
    assert "misses" in world.log[-1]


def test_the_arm_can_be_commanded_by_action(world, arm, pipeline):
    world.action_servers = {GRIPPER, ARM_ACTION}
    world.parameters = {
        "checkpoint_path": pipeline,
        "execute": True,
        "arm_interface": "action",
        "command_rate": 10.0,
    }
    assert run_node(world, until=lambda: len(world.goals.get(ARM_ACTION, ())) >= 10) == 0
    assert world.published[ARM_TOPIC] == []
    assert world.goals[ARM_ACTION][-1].cancelled


def test_without_execute_nothing_is_sent(world, arm, pipeline):
    world.parameters = {"checkpoint_path": pipeline}
    ticks = count()
    assert run_node(world, until=lambda: next(ticks) > 100) == 0
    assert world.published[ARM_TOPIC] == []
    assert world.goals == {}


def test_the_services_stop_and_release(world, arm, pipeline):
    world.action_servers = {GRIPPER}
    world.parameters = {"checkpoint_path": pipeline, "execute": True}
    positions = {}

    def press():
        def latest():
            return np.array(world.published[ARM_TOPIC][-1].points[0].positions)

        assert world.call("model_inference_node/emergency_stop").success
        time.sleep(0.8)
        positions["stopped"] = latest()
        time.sleep(0.4)
        positions["still"] = latest()
        assert world.call("model_inference_node/reset").success
        time.sleep(1.0)
        positions["released"] = latest()

    assert run_node(world, until=lambda: len(world.published[ARM_TOPIC]) >= 50, while_running=press) == 0
    np.testing.assert_array_equal(positions["stopped"], positions["still"])
    assert np.abs(positions["released"] - positions["still"]).max() > 1e-3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "give checkpoint_path"),
        ({"checkpoint_path": "x", "robot_name": "ur5"}, "no limits are known for ur5"),
        ({"checkpoint_path": "x", "limits_file": "nowhere.yaml"}, "nowhere.yaml"),
        ({"checkpoint_path": "~/model.pth"}, f"{Path.home() / 'model.pth'}: no such file"),
        ({"checkpoint_path": "x", "inference_rate": "fast"}, "inference_rate is a number; got 'fast'"),
        ({"checkpoint_path": "x", "command_rate": True}, "command_rate is a number; got True"),
    ],
)
def test_wrong_parameters_are_named(world, parameters, message):
    from diffusion_policy_inference.model_inference_node import main

    world.parameters = parameters
    assert main([]) == 2
    assert message in world.log[-1]


def test_a_file_of_the_reference_is_answered_with_its_import(world, tmp_path):
    from diffusion_policy_inference.model_inference_node import main

    (tmp_path / "model.pth").write_bytes(b"weights")
    world.parameters = {"checkpoint_path": "model.pth", "model_dir": str(tmp_path)}
    assert main([]) == 2
    words = f"`dp-hf import-checkpoint --checkpoint {tmp_path / 'model.pth'} --pipeline {tmp_path / 'model'}`"
    assert words in world.log[-1]


@pytest.mark.parametrize(
    ("parameters", "rate", "said"),
    [
        ({}, 5.0, "5 actions a second, the policy's own rate"),
        ({"inference_rate": 0}, 5.0, "5 actions a second, the policy's own rate"),
        ({"inference_rate": 8}, 8.0, "8 actions a second, as asked for; the policy learned 5"),
        ({"inference_rate": 2.5}, 2.5, "2.5 actions a second, as asked for; the policy learned 5"),
    ],
)
def test_the_node_keeps_the_rate_that_the_policy_learned(world, arm, make_pipeline, tmp_path, parameters, rate, said):
    from diffusion_policy_inference.model_inference_node import make_controller
    from diffusion_policy_inference.rclpy_robot import RclpyRobot

    make_pipeline(fps=5.0).save_pretrained(tmp_path / "policy")
    world.parameters = {"checkpoint_path": str(tmp_path / "policy"), "command_rate": 20} | parameters
    node = ros_stub.Node("arm")
    controller = make_controller(node, RclpyRobot(node))
    assert controller.planner.step == pytest.approx(1 / rate)
    assert controller.period == pytest.approx(1 / 20)
    assert said in world.log


def test_a_policy_of_another_arm_is_refused(world, make_pipeline, tmp_path):
    from diffusion_policy_inference.model_inference_node import main

    names = {"action_names": QUANTITIES.names, "action_units": ("radians",) * 7}
    make_pipeline(**names).save_pretrained(tmp_path / "radians")
    world.parameters = {"checkpoint_path": str(tmp_path / "radians"), "execute": True}
    assert main([]) == 2
    assert "radians is not for this node's arm: its action has link1_to_link2 (radians) where" in world.log[-1]
    assert world.published[ARM_TOPIC] == []


def test_controllers_that_are_not_there_are_named(world, monkeypatch):
    from diffusion_policy_inference.rclpy_robot import RclpyRobot
    from rclpy.node import Node

    from dp_hf.errors import UserError

    robot = RclpyRobot(Node("test"))
    with pytest.raises(UserError, match=GRIPPER):
        robot.wait_for_controllers(timeout=0.1)
    image_qos = world.subscriptions["/camera_head/color/image_raw"][2]
    assert image_qos == "best effort"


def test_the_recorder_node_records_by_service(world, arm, tmp_path):
    from diffusion_policy_inference.recorder_node import main

    world.parameters = {"output_dir": str(tmp_path / "demonstrations"), "fps": 10.0}

    def operate():
        while "recorder_node/record" not in world.services:
            time.sleep(0.01)
        time.sleep(0.3)
        assert world.call("recorder_node/record", data=True).success
        time.sleep(1.1)
        assert world.call("recorder_node/record", data=False).success
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=operate)
    thread.start()
    assert main([]) == 0
    thread.join()
    (episode,) = find_episodes(tmp_path / "demonstrations")
    assert find_failure(episode) is None
    recorded = read_episode(episode)
    assert recorded.problems == []
    assert 7 <= len(recorded.frames) <= 13


def test_the_launch_file_has_the_arguments_and_hands_them_on(world):
    contents = runpy.run_path(str(PACKAGE / "launch" / "simulation_inference.launch.py"))
    (entities,) = contents["generate_launch_description"]().args
    *arguments, node = entities
    assert {argument.args[0] for argument in arguments} == {
        "use_sim_time",
        "log_level",
        "robot_name",
        "checkpoint_path",
        "model_dir",
        "inference_rate",
    }
    handed_on, fixed = node.parameters
    assert handed_on["inference_rate"].value_type is float
    assert handed_on["checkpoint_path"].args[0].args == ("checkpoint_path",)
    assert fixed == {"execute": True, "camera_has_noise": False}
    assert (node.package, node.executable) == ("diffusion_policy_inference", "model_inference_node")


def test_colcon_builds_the_package_without_ros(tmp_path):
    pytest.importorskip("colcon_core")
    colcon = Path(sys.executable).with_name("colcon")
    command = [str(colcon), "--log-base", str(tmp_path / "log"), "build", "--base-paths", str(PACKAGE)]
    command += ["--build-base", str(tmp_path / "build"), "--install-base", str(tmp_path / "install")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    installed = tmp_path / "install" / "diffusion_policy_inference"
    for script in ("model_inference_node", "recorder_node"):
        assert os.access(installed / "lib" / "diffusion_policy_inference" / script, os.X_OK)
    assert (installed / "share/diffusion_policy_inference/launch/simulation_inference.launch.py").is_file()
    assert (installed / "share/ament_index/resource_index/packages/diffusion_policy_inference").is_file()


def test_a_tilde_in_a_parameter_is_the_home_folder(world, pipeline, monkeypatch):
    from diffusion_policy_inference.model_inference_node import find_pipeline

    monkeypatch.setenv("HOME", str(Path(pipeline).parents[1]))
    assert find_pipeline("stack", "~/models") == find_pipeline("~/models/stack", "") == pipeline
    assert find_pipeline("me/policy", "") == "me/policy"


def test_a_gripper_goal_that_had_no_effect_is_sent_again(world):
    from diffusion_policy_inference.rclpy_robot import RclpyRobot

    robot = RclpyRobot(ros_stub.Node("arm"))
    world.publish("/joint_states", name=[*JOINT_NAMES, "gripper_controller"], position=[0.0] * 7)  # it is open
    closed = np.zeros(7)
    give_up = time.monotonic() + 5
    while len(world.goals.get(GRIPPER, [])) < 2:
        robot.send_command(closed)
        time.sleep(0.02)
        assert time.monotonic() < give_up
    assert [handle.goal.command.position for handle in world.goals[GRIPPER]] == [-0.5, -0.5]
    assert len(world.published[ARM_TOPIC]) > 20
