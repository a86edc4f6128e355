"""The ament_python package with real rclpy (Kilted) against a robot of real rclpy, and built by colcon."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from control_fakes import HOME, assert_legal
from helpers.alarms import limits_for
from ros2_nodes import PACKAGE, RunningNode
from ros2_wire import LOOPBACK, PATIENCE, WireRobot, ros_environment

from dp_hf import DiffusionPolicyPipeline
from dp_hf.arms.mycobot_280 import MYCOBOT_280, QUANTITIES
from dp_hf.episodes.find import find_episodes, find_failure
from dp_hf.episodes.reader import read_episode
from dp_hf.pipelines.weights import digest_weights

STOP, RESET = "/model_inference_node/emergency_stop", "/model_inference_node/reset"


@pytest.fixture(scope="module")
def kilted(ros_python) -> str:
    return ros_python("kilted", "control_msgs")


@pytest.fixture
def pipeline(make_pipeline, tmp_path) -> Path:
    from dp_hf import Normalizer

    pipeline = make_pipeline(horizon=8, n_action_steps=2, use_proprioception=True)
    rows = HOME + np.random.default_rng(0).uniform(-10, 10, (100, 7))
    pipeline.register_modules(normalizer=Normalizer.from_data(rows, rows))
    pipeline.save_pretrained(tmp_path / "models" / "stack")
    return tmp_path / "models" / "stack"


def test_the_node_drives_obeys_and_ends(kilted, domain_id, pipeline):
    """By topic and gripper action; a rejected goal is sent again; services, and the parameter that may be set."""
    robot = WireRobot(domain_id, ros_python=kilted, arguments=["--reject", "1", "--reliable"])
    parameters = [f"checkpoint_path:={pipeline.name}", f"model_dir:={pipeline.parent}", "execute:=true"]
    moments = []
    with (
        robot as peer,
        RunningNode(kilted, domain_id, "model_inference_node", *parameters, "inference_rate:=8") as node,
    ):
        node.wait_for("8 actions a second, as asked for; the policy learned 10")
        peer.wait_for(100, node=node)
        described = peer.ask("describe model_inference_node inference_rate")
        assert "read_only=True" in described
        assert "actions a second (Hz); 0 is the policy's own rate" in described
        assert "successful=False" in peer.ask("set model_inference_node inference_rate 5.0")
        for stop, release in [
            (f"trigger {STOP}", f"trigger {RESET}"),
            ("set model_inference_node execute false", "set model_inference_node execute true"),
        ]:
            assert "=True" in peer.ask(stop)
            time.sleep(0.8)
            moments.append(time.monotonic())
            time.sleep(0.4)
            moments.append(time.monotonic())
            assert "=True" in peer.ask(release)
            peer.wait_for(60, node=node)
        assert node.end(signal.SIGINT) == 0
    arm = np.array(peer.got["arm"])
    times, positions = arm[:, 0], arm[:, 1:]
    for begin, end in zip(moments[::2], moments[1::2], strict=True):
        held, after = positions[(times > begin) & (times < end)], positions[times > end]
        assert np.ptp(held, axis=0).max() == 0
        assert np.abs(after - held[0]).max() > 0.05
    assert "holding: emergency stop: the parameter execute was set to false" in node.output
    commands = np.column_stack([positions, np.full(len(arm), 50)])
    assert_legal(commands, MYCOBOT_280.limits, 0.02, times=times)
    assert "rejects goals" in node.output
    assert "unexpected goal response" not in node.output
    goals = peer.got["gripper_goals"]
    assert goals
    assert all(-0.5 <= position <= 0 and effort == 5.0 for _, position, effort in goals)
    assert peer.got["arm_goals"] == []
    assert "misses" in node.output


def test_an_alarm_is_answered_as_in_run_policy(kilted, domain_id, pipeline):
    """Of a policy that is always late after half a second: it tries three times more, and the arm is held then."""
    config = DiffusionPolicyPipeline.from_pretrained(pipeline).policy.config
    limits_for(config, digest_weights(pipeline), time=5.0).write(pipeline)
    parameters = [f"checkpoint_path:={pipeline}", "execute:=true", "on_alarm:=retry"]
    robot = WireRobot(domain_id, ros_python=kilted, arguments=["--reliable"])
    with robot as peer, RunningNode(kilted, domain_id, "model_inference_node", *parameters) as node:
        node.wait_for("alarm: on, then the arm goes back to where the run began and tries again, 3 times at most")
        node.wait_for("holding: alarm: it takes longer than the runs that succeeded")
        node.wait_for("to try again: 3 of 3")
        time.sleep(3)
        assert "=True" in peer.ask(f"trigger {RESET}")
        peer.wait_for(20, node=node)
        node.end(signal.SIGINT)
    assert "3 times back to the start" in node.output
    arm = np.array(peer.got["arm"])
    commands = np.column_stack([arm[:, 1:], np.full(len(arm), 50)])
    assert_legal(commands, MYCOBOT_280.limits, 0.02, times=arm[:, 0])


def test_the_arm_can_be_commanded_by_action(kilted, domain_id, pipeline):
    parameters = [f"checkpoint_path:={pipeline}", "execute:=true", "arm_interface:=action", "command_rate:=10"]
    parameters += ["use_sim_time:=true"]  # and nobody has a clock: the node's own time goes on
    robot = WireRobot(domain_id, ros_python=kilted)
    with robot as peer, RunningNode(kilted, domain_id, "model_inference_node", *parameters) as node:
        peer.wait_for(10, "arm_goals", node)
        assert node.end(signal.SIGTERM) == 0
    assert peer.got["arm"] == []


def test_nothing_is_sent_without_execute_or_where_nobody_listens(kilted, domain_id, pipeline):
    parameters = [f"checkpoint_path:={pipeline}"]
    moving = [*parameters, "execute:=true"]
    with (
        WireRobot(domain_id, ros_python=kilted, arguments=["--no_arm"]) as peer,
        RunningNode(kilted, domain_id, "model_inference_node", *parameters) as dry,
        RunningNode(kilted, domain_id, "model_inference_node", *moving, more=["-r", "__node:=wet"]) as wet,
    ):
        dry.wait_for("dry run: .* ")
        refused = peer.ask("set model_inference_node execute true")
        assert "successful=False" in refused
        assert "start the node with execute:=true" in refused
        assert wet.wait() == 2
        assert "cannot start, nobody listens to /arm_controller/joint_trajectory: is the arm's" in wet.output
        assert dry.end() == 0
        assert "chunks" in dry.output
    assert peer.got["gripper_goals"] == []


def test_silence_is_explained_and_ctrl_c_ends_a_node_that_waits(kilted, domain_id, pipeline):
    topics = [f"checkpoint_path:={pipeline}", "image_topic:=/joint_states", "joint_states_topic:=state"]
    more = ["-r", "__ns:=/left"]
    robot = WireRobot(domain_id, ros_python=kilted)
    with robot, RunningNode(kilted, domain_id, "model_inference_node", *topics, more=more) as node:
        node.wait_for("/joint_states holds sensor_msgs/msg/JointState; sensor_msgs/msg/Image is on /camera_head/color")
        node.wait_for("/left/state has no publisher; sensor_msgs/msg/JointState is on /joint_states: see the parameter")
        # It loads the policy, or waits for the camera.
        assert node.end(signal.SIGINT) in (0, 2), node.output
        assert "stopped before the start: SIGINT" in node.output or "cannot start, " in node.output


INTERRUPTED = """
import contextlib, os, signal, sys
from diffusion_policy_inference import model_inference_node

def find_pipeline(*given):  # ends as an import does, in whose middle somebody presses Ctrl-C
    class Field:
        def __set_name__(self, owner, name):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # a handler runs between two instructions
                pass
    with contextlib.suppress(BaseException) if sys.argv[1] == "swallowed" else contextlib.nullcontext():
        class Configuration:
            field = Field()
    return sys.argv[2]

model_inference_node.find_pipeline = find_pipeline
sys.exit(model_inference_node.main())
"""


@pytest.mark.parametrize("fate", ["changed", "swallowed"])
def test_ctrl_c_in_an_import_ends_the_node_whatever_becomes_of_the_exception(fate, kilted, domain_id, pipeline):
    environment = ros_environment() | LOOPBACK | {"ROS_DOMAIN_ID": str(domain_id)}
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), environment["PYTHONPATH"]])
    command = [kilted, "-c", INTERRUPTED, fate, str(pipeline)]
    with WireRobot(domain_id, ros_python=kilted):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "stopped before the start: SIGINT" in said
    assert "Traceback" not in said


FAILING = """
import itertools, sys
from diffusion_policy_inference import model_inference_node, rclpy_robot, recorder_node
on_joint_state, calls = rclpy_robot.RclpyRobot._on_joint_state, itertools.count()

def fail_later(self, message):
    if next(calls) > int(sys.argv[2]):
        raise ZeroDivisionError("somebody's mistake")
    on_joint_state(self, message)

rclpy_robot.RclpyRobot._on_joint_state = fail_later
nodes = {"model": model_inference_node, "recorder": recorder_node}
parameters = [word for parameter in sys.argv[3:] for word in ("-p", parameter)]
sys.exit(nodes[sys.argv[1]].main(["--ros-args", *parameters]))
"""


@pytest.mark.parametrize("name", ["model", "recorder"])
def test_what_a_callback_raises_ends_the_run_with_its_name(name, kilted, domain_id, pipeline, tmp_path):
    parameters = {"model": [f"checkpoint_path:={pipeline}"], "recorder": [f"output_dir:={tmp_path}"]}[name]
    environment = ros_environment() | LOOPBACK | {"ROS_DOMAIN_ID": str(domain_id)}
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), environment["PYTHONPATH"]])
    command = [kilted, "-c", FAILING, name, "20", *parameters]
    with WireRobot(domain_id, ros_python=kilted):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    said = done.stdout + done.stderr
    assert "the node's thread failed: ZeroDivisionError: somebody's mistake" in said
    assert "Traceback" not in said
    assert done.returncode == 1


MANY = """
import json, sys
from diffusion_policy_inference import model_inference_node, recorder_node
nodes = {"model": model_inference_node, "recorder": recorder_node}
for node, parameters in json.loads(sys.argv[1]):
    code = nodes[node].main(["--ros-args", *(word for p in parameters for word in ("-p", p))])
    print("code", code, file=sys.stderr, flush=True)
"""


def test_wrong_parameters_are_one_sentence(kilted, domain_id, make_pipeline, tmp_path):
    names = {"action_names": QUANTITIES.names, "action_units": ("radians",) * 7}
    make_pipeline(**names).save_pretrained(tmp_path / "radians")
    (tmp_path / "model.pth").write_bytes(b"weights")
    cases = [
        ([], "give checkpoint_path"),
        (["checkpoint_path:=x", "robot_name:=ur5"], "ur5: no such file, and dp_hf has none of that name"),
        (["checkpoint_path:=x", "robot_name:=panda", "arm_interface:=action"], "panda has no arm_action in its ros:"),
        (["checkpoint_path:=x", "limits_file:=nowhere.yaml"], "nowhere.yaml"),
        (["checkpoint_path:=x", "inference_rate:=fast"], "inference_rate is a number; got 'fast'"),
        (["checkpoint_path:=x", "limit_file:=slow.yaml"], "limit_file is no parameter of model_inference_node"),
        (["command_rate:=0"], "command_rate is above 0"),
        (["command_rate:=true"], "command_rate is a number; got True"),
        (["checkpoint_path:=123"], "checkpoint_path is a text; got 123"),
        (["execute:=1"], "execute is true or false; got 1"),
        (["num_inference_steps:=10.0"], "num_inference_steps is a whole number; got 10.0"),
        (["arm_joint_names:=[1,2]"], "arm_joint_names is a list of texts; got"),
        (["arm_joint_names:=[a,b]"], "arm_joint_names has 2 joints; mycobot_280 has 6"),
        (["checkpoint_path:=x", "on_alarm:=shout"], "on_alarm is one of hold, retry, person, end, off, not 'shout'"),
        (["arm_interface:=serial"], "arm_interface is topic or action, not 'serial'"),
        (["checkpoint_path:=~/model.pth"], f"{tmp_path / 'model.pth'}"),
        (["checkpoint_path:=model.pth", f"model_dir:={tmp_path}"], f"`dp-hf import-checkpoint --checkpoint {tmp_path}"),
        (
            [f"checkpoint_path:={tmp_path / 'radians'}", "execute:=true"],
            "radians is not for this node's arm: its action",
        ),
    ]
    questions = json.dumps([("model", parameters) for parameters, _ in cases] + [("recorder", ["fps:=slow"])])
    environment = ros_environment() | LOOPBACK | {"ROS_DOMAIN_ID": str(domain_id), "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), environment["PYTHONPATH"]])
    done = subprocess.run(
        [kilted, "-c", MANY, questions], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    answers = done.stderr.split("code 2\n")
    assert len(answers) == len(cases) + 2, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    for (parameters, words), answer in zip([*cases, ("fps", "fps is a number; got 'slow'")], answers, strict=False):
        assert words in answer, f"{parameters}: {answer}"


def test_the_recorder_node_records_by_service(kilted, domain_id, tmp_path):
    parameters = [f"output_dir:={tmp_path / 'demonstrations'}", "fps:=10"]
    record = "record /recorder_node/record"
    with WireRobot(domain_id, ros_python=kilted) as peer:
        peer.tell("unplug")
        with RunningNode(kilted, domain_id, "recorder_node", *parameters) as node:
            node.wait_for("into ")
            time.sleep(0.5)
            refused = peer.ask(f"{record} true")
            assert "success=False" in refused
            assert "no camera frame has arrived" in refused or "no joint state has arrived" in refused
            peer.tell("heal")
            give_up = time.monotonic() + 20
            while "success=True" not in peer.ask(f"{record} true"):
                assert time.monotonic() < give_up
                time.sleep(0.2)
            time.sleep(1.1)
            assert "success=True" in peer.ask(f"{record} false")
            time.sleep(0.3)
            assert node.end(signal.SIGTERM) == 0
    (episode,) = find_episodes(tmp_path / "demonstrations")
    assert find_failure(episode) is None
    recorded = read_episode(episode)
    assert recorded.problems == []
    assert 3 <= len(recorded.frames) <= 14


WATCH = """
import time
from dp_hf.arms.mycobot_280 import MYCOBOT_280
from diffusion_policy_inference.rclpy_robot import RclpyRobot
from diffusion_policy_inference.spinning import spinning_node
seen = set()
with spinning_node("watch", []) as node:
    # A busy machine may take longer to find them than a silence that is explained.
    while not all(map(node.get_publishers_info_by_topic, ("/camera_head/color/image_raw", "/joint_states"))):
        time.sleep(0.005)
    robot = RclpyRobot(node, MYCOBOT_280)
    while len(seen) < 60:
        time.sleep(0.005)
        if robot.read_image() is not None:
            seen.add(robot.read_image().timestamp)
print(sorted(seen))
"""


def test_large_images_arrive(kilted, domain_id):
    """Of a camera that sends best effort, of which the loopback's own way lost three in four."""
    environment = ros_environment() | LOOPBACK | {"ROS_DOMAIN_ID": str(domain_id)}
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), environment["PYTHONPATH"]])
    with WireRobot(domain_id, 640, 480, kilted) as peer:
        done = subprocess.run([kilted, "-c", WATCH], env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stderr == ""  # ROS warns of what it does not take
    seen = json.loads(done.stdout)
    sent = [moment for moment in peer.got["images"] if seen[0] < moment < seen[-1]]
    assert len(seen) > 0.6 * len(sent)


TELL = """
import os
from diffusion_policy_inference.spinning import receive_large_images
receive_large_images()
told = {name: os.path.basename(value) for name, value in os.environ.items() if name.endswith("_PROFILES_FILE")}
print(os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE"), told)
"""


@pytest.mark.parametrize(
    ("distribution", "chosen", "told"),
    [
        ("kilted", {}, "None {'FASTDDS_DEFAULT_PROFILES_FILE': 'fast_dds.xml'}"),
        ("jazzy", {}, "None {'FASTRTPS_DEFAULT_PROFILES_FILE': 'fast_dds.xml'}"),
        ("kilted", LOOPBACK, "SYSTEM_DEFAULT {'FASTDDS_DEFAULT_PROFILES_FILE': 'fast_dds_loopback.xml'}"),
        (
            "kilted",
            {**LOOPBACK, "ROS_STATIC_PEERS": "10.0.0.2"},
            "LOCALHOST {'FASTDDS_DEFAULT_PROFILES_FILE': 'fast_dds.xml'}",
        ),
        (
            "kilted",
            {**LOOPBACK, "FASTDDS_DEFAULT_PROFILES_FILE": "/own.xml"},
            "LOCALHOST {'FASTDDS_DEFAULT_PROFILES_FILE': 'own.xml'}",
        ),
    ],
)
def test_fast_dds_is_told_of_large_images(ros_python, distribution, chosen, told):
    """Without ROS_DISTRO, too: of a best-effort camera Jazzy's node took 404 of 2026 images."""
    unwanted = ("ROS_DISTRO", "ROS_AUTOMATIC_DISCOVERY_RANGE")
    environment = {name: value for name, value in ros_environment().items() if name not in unwanted} | chosen
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), environment["PYTHONPATH"]])
    command = [ros_python(distribution), "-c", TELL]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == f"{told}\n"


def in_a_node(ros_python: str, domain_id: int, code: str, *parameters: str) -> subprocess.CompletedProcess:
    """Runs Python in which there is a `node` with these parameters."""
    code = f"import sys\nfrom diffusion_policy_inference.spinning import spinning_node\n{code}"
    environment = ros_environment() | LOOPBACK | {"ROS_DOMAIN_ID": str(domain_id)}
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), environment["PYTHONPATH"]])
    command = [ros_python, "-c", code, "--ros-args", *(word for each in parameters for word in ("-p", each))]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_limits_by_name_and_a_camera_without_noise(kilted, domain_id):
    asked = """
from diffusion_policy_inference.parameters import declare_arm
with spinning_node("asked", sys.argv) as node:
    limits = declare_arm(node).limits
    print(limits.max_frozen_age, limits.velocity[0])
"""
    done = in_a_node(kilted, domain_id, asked, "limits_file:=mycobot_280_slow", "camera_has_noise:=false")
    assert done.stdout == f"None {MYCOBOT_280.limits.velocity[0] / 4}\n", done.stderr


def test_ctrl_c_while_a_node_is_imported(kilted):
    environment = ros_environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), environment["PYTHONPATH"]])
    # A shell that starts the tests in the background lets its children ignore it.
    code = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import diffusion_policy_inference
os.kill(os.getpid(), signal.SIGINT)
"""
    done = subprocess.run([kilted, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def launch_action(name: str) -> type:
    """Keeps its arguments: `args` and the keywords as attributes."""

    def construct(self, *args, **keywords):
        vars(self).update(args=args, **keywords)

    return type(name, (), {"__init__": construct})


def test_the_launch_file_has_the_arguments_and_hands_them_on(monkeypatch):
    """`launch` and `launch_ros` are in no wheel: this shows what is asked of them, not what they do."""
    names = {
        "launch": ["LaunchDescription"],
        "launch.actions": ["DeclareLaunchArgument"],
        "launch.substitutions": ["LaunchConfiguration"],
        "launch_ros": [],
        "launch_ros.actions": ["Node"],
        "launch_ros.parameter_descriptions": ["ParameterValue"],
    }
    for module, classes in names.items():
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
        vars(sys.modules[module]).update({name: launch_action(name) for name in classes})
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    installed = tmp_path / "install" / "diffusion_policy_inference"
    for script in ("model_inference_node", "recorder_node"):
        assert os.access(installed / "lib" / "diffusion_policy_inference" / script, os.X_OK)
    assert (installed / "share/diffusion_policy_inference/launch/simulation_inference.launch.py").is_file()
    assert list(installed.rglob("fast_dds.xml"))
    assert list(installed.rglob("fast_dds_loopback.xml"))
    assert (installed / "share/ament_index/resource_index/packages/diffusion_policy_inference").is_file()
