import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from arms import FIVE
from control_fakes import HOME, as_policy, assert_legal
from helpers.alarms import limits_for
from hypothesis import given
from hypothesis import strategies as st

from dp_hf import Normalizer
from dp_hf.arms.mycobot_280 import JOINT_NAMES, MYCOBOT_280, ROS_JOINTS
from dp_hf.arms.ros import GatheredJoints, RosTopics
from dp_hf.arms.ros_images import image_from_message
from dp_hf.cli.run_policy import main as run_policy
from dp_hf.control.controller import Controller
from dp_hf.episodes.find import find_episodes
from dp_hf.episodes.run_file import Run
from dp_hf.errors import UserError
from dp_hf.pipelines.weights import digest_weights

LIMITS = replace(MYCOBOT_280.limits, max_image_age=0.4, max_state_age=0.4, max_frozen_age=0.4)


@pytest.fixture
def wire(monkeypatch, domain_id):
    """(domain id, function that connects our side)."""
    pytest.importorskip("cyclonedds")
    from dp_hf.control.robots.ros2 import Ros2Config, Ros2Robot

    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    return domain_id, lambda: Ros2Robot(Ros2Config())


def back_and_forth(image, state):
    """A policy that is always on the move: joint 1 and the gripper swing with the time."""
    assert image.shape == (48, 64, 3)
    due = time.monotonic() + 0.1 * np.arange(8)[:, None]
    return HOME + np.array([20, -10, 0, 0, 0, 5, 30]) * np.sin(2 * due)


@pytest.mark.parametrize("distribution", [None, "kilted", "jazzy"])
def test_on_the_wire_it_drives_holds_and_goes_on(wire, distribution, ros_python):
    """Against a robot of our own on the wire, and against real ROS 2 nodes: every command arrives."""
    from ros2_wire import WireRobot

    domain_id, connect = wire
    ticks = []
    with WireRobot(domain_id, ros_python=distribution and ros_python(distribution)) as peer:
        robot = connect()
        controller = Controller(robot, as_policy(back_and_forth), LIMITS, n_action_steps=2, observers=[ticks.append])
        thread = threading.Thread(target=controller.run)
        thread.start()

        def wait_for(condition, what):
            give_up = time.monotonic() + 10
            while not (ticks and condition(ticks[-1])):
                assert time.monotonic() < give_up, f"{what}: {ticks[-1].hold_reason if ticks else 'no tick'}"
                time.sleep(0.01)

        def moving(tick):
            return tick.hold_reason is None and (tick.command != ticks[-5].command).all(where=[1, 1, 0, 0, 0, 1, 1])

        def held(reason):
            return lambda tick: reason in (tick.hold_reason or "") and (tick.command == ticks[-2].command).all()

        wait_for(lambda tick: len(ticks) > 10 and moving(tick), "start")
        for order, reason in [("unplug", "camera frame"), ("freeze", "same picture"), ("mute", "joint state")]:
            peer.tell(order)
            wait_for(held(reason), order)
            peer.tell("heal")
            wait_for(moving, "heal")
        peer.tell("emergency_stop")
        wait_for(held("/emergency_stop"), "emergency stop")
        peer.tell("release")
        time.sleep(0.3)
        assert held("/emergency_stop")(ticks[-1])  # it latches
        controller.reset()
        wait_for(moving, "reset")
        controller.stop("done")
        thread.join(timeout=10)
        assert not thread.is_alive()
        robot.close()
    assert controller.report.holds >= 4  # more of them on a busy machine
    assert len(peer.commands) == controller.report.commands
    assert_legal(peer.commands, LIMITS, controller.period, times=peer.times)


def test_on_the_wire_an_alarm_is_answered_by_another_try(wire, ros_python, make_pipeline, tmp_path, capsys):
    """Of `run-policy` with a policy that is always late after half a second, against real ROS 2 nodes."""
    from ros2_wire import WireRobot

    pipeline = make_pipeline(horizon=8, n_action_steps=2, use_proprioception=True)
    rows = HOME + np.random.default_rng(0).uniform(-10, 10, (100, 7))
    pipeline.register_modules(normalizer=Normalizer.from_data(rows, rows))
    pipeline.save_pretrained(tmp_path / "policy")
    limits_for(pipeline.policy.config, digest_weights(tmp_path / "policy"), time=5.0).write(tmp_path / "policy")
    driven = [
        "--robot",
        "ros2",
        "--execute",
        "--on_alarm",
        "retry",
        "--duration",
        "15",
        "--record",
        str(tmp_path / "runs"),
    ]
    with WireRobot(wire[0], ros_python=ros_python("kilted")) as peer:
        assert run_policy(["--pipeline", str(tmp_path / "policy"), *driven]) == 1
    printed = capsys.readouterr()
    assert "alarm: on, then the arm goes back to where the run began" in printed.out
    assert "3 times back to the start" in printed.out
    assert "trouble: alarm: it takes longer than the runs that succeeded" in printed.err
    assert_legal(peer.commands, MYCOBOT_280.limits, 1 / 50, times=peer.times)
    (episode,) = find_episodes(tmp_path / "runs")
    assert len(Run.read(episode, 7).alarms) == 4


def test_while_somebody_else_commands_the_arm_nothing_is_sent(wire):
    from ros2_wire import WireRobot

    from dp_hf.control.robots.ros2 import Ros2Config, Ros2Robot

    domain_id, connect = wire
    ticks = []
    with WireRobot(domain_id) as peer:
        robot, other = connect(), Ros2Robot(Ros2Config())
        assert robot.person.who == "whoever else commands it"
        policy = as_policy(lambda image, state: np.tile(state, (8, 1)))
        controller = Controller(robot, policy, LIMITS, n_action_steps=2, observers=[ticks.append])
        thread = threading.Thread(target=controller.run)
        thread.start()

        def wait_for(condition):
            give_up = time.monotonic() + 15
            while not (ticks and condition(ticks[-1])):
                assert time.monotonic() < give_up, ticks[-1] if ticks else "no tick"
                time.sleep(0.01)

        wait_for(lambda tick: tick.actor == "policy" and controller.report.chunks)
        controller.call_person()
        wait_for(lambda tick: tick.actor == "person" and other.unheard is None)
        sent = controller.report.commands
        target = HOME + [0.4, 0, 0, 0, 0, 9, 0]
        other.send_command(target)
        wait_for(lambda tick: np.allclose(tick.state.value, target, atol=0.1))
        assert controller.report.commands == sent
        controller.dismiss_person()
        wait_for(lambda tick: tick.actor == "policy" and tick.command is not None)
        np.testing.assert_allclose(ticks[-1].command, target, atol=0.1)
        controller.stop("done")
        thread.join(timeout=10)
        robot.close()
        other.close()
    assert len(peer.commands) == controller.report.commands + 1


def test_messages_that_make_no_sense_are_dropped_with_a_warning(wire, caplog):
    from dp_hf.control.robots.dds import Dds
    from dp_hf.control.robots.ros2_messages import Header, Image, JointState, Time

    domain_id, connect = wire
    robot, peer = connect(), Dds(domain_id)
    camera = peer.publisher("/camera_head/color/image_raw", Image)
    joints = peer.publisher("/joint_states", JointState)
    header = Header(Time(), "")
    good = Image(header, 2, 2, "mono8", 0, 2, np.array([1, 2, 3, 4], np.uint8))
    give_up = time.monotonic() + 10
    while (robot.read_image() is None or "lack" not in caplog.text) and time.monotonic() < give_up:
        camera(Image(header, 2, 2, "bayer_rggb8", 0, 4, np.zeros(8, np.uint8)))
        joints(JointState(header, ["elbow"], np.array([0.5]), np.zeros(0), np.zeros(0)))
        time.sleep(0.05)
        camera(good)
        time.sleep(0.05)
    np.testing.assert_array_equal(robot.read_image().value[..., 0], [[1, 2], [3, 4]])
    assert robot.read_state() is None
    assert "bayer_rggb8" in caplog.text
    assert "lack link1_to_link2" in caplog.text
    peer.close()
    robot.close()


def test_a_silent_topic_is_explained(wire, ros_python, caplog):
    from ros2_wire import WireRobot

    from dp_hf.control.robots.ros2 import Ros2Config, Ros2Robot

    domain_id, _ = wire
    with WireRobot(domain_id, ros_python=ros_python("kilted")):
        robot = Ros2Robot(Ros2Config(image_topic="/joint_states", joint_states_topic="/state"))
        give_up = time.monotonic() + 15
        while caplog.text.count(": see --ros2.") < 2 and time.monotonic() < give_up:
            time.sleep(0.1)
        robot.close()
    image = "/joint_states holds sensor_msgs/msg/JointState; sensor_msgs/msg/Image is on /camera_head/color/image_raw"
    assert f"{image}: see --ros2.image_topic" in caplog.text
    state = "/state has no publisher; sensor_msgs/msg/JointState is on /joint_states: see --ros2.joint_states_topic"
    assert state in caplog.text


def test_a_gripper_whose_server_would_misread_a_goal_is_sent_none(wire):
    """One of Cyclone DDS, here only its ear."""
    from cyclonedds.qos import Policy, Qos
    from cyclonedds.sub import DataReader
    from cyclonedds.util import duration

    from dp_hf.control.robots.dds import Dds
    from dp_hf.control.robots.gripper_action import GripperAction, SendGoal

    domain_id, _ = wire
    ours, peer = Dds(domain_id), Dds(domain_id)
    action = GripperAction(ours, "/gripper_cmd")
    topic = peer._topic("/gripper_cmd/_action/send_goalRequest", SendGoal, "rq")
    reader = DataReader(peer._participant, topic, qos=Qos(Policy.Reliability.Reliable(duration(milliseconds=100))))
    give_up = time.monotonic() + 10
    while not action._send.is_heard and time.monotonic() < give_up:
        time.sleep(0.05)
    assert len(action._send.listeners()) == 1
    assert not action.is_heard
    del reader
    ours.close()
    peer.close()


def test_another_arm_on_the_wire(wire):
    """The described arm's joints and units; its gripper, which is not the last number, on the gripper's topic."""
    from dp_hf.control.robots.dds import Dds
    from dp_hf.control.robots.ros2 import Ros2Config, Ros2Robot
    from dp_hf.control.robots.ros2_messages import Header, JointState, JointTrajectory, Time

    domain_id, _ = wire
    config = Ros2Config(domain_id=domain_id)
    robot, peer = Ros2Robot(config, FIVE), Dds(domain_id)
    received = {}
    topics = FIVE.topics
    for topic in (topics.arm_topic, topics.gripper_topic):
        peer.subscribe(topic, JointTrajectory, lambda message, topic=topic: received.update({topic: message}))
    joints = peer.publisher(topics.joint_states_topic, JointState)
    command, state, none = np.array([0.5, -1, 25, 0.2, 90]), np.array([0.1, 0.2, 75, 0.3, -45]), np.zeros(0)
    give_up = time.monotonic() + 10
    while (len(received) < 2 or robot.read_state() is None) and time.monotonic() < give_up:
        robot.send_command(command)
        joints(JointState(Header(Time(), ""), [*FIVE.ros.names], FIVE.ros.positions(state), none, none))
        time.sleep(0.05)
    np.testing.assert_allclose(robot.read_state().value, state)
    assert robot.quantities == FIVE.quantities
    arm, gripper = received[topics.arm_topic], received[topics.gripper_topic]
    assert arm.joint_names == ["j1", "j2", "slide", "j4"]
    np.testing.assert_allclose(arm.points[0].positions, [0.5, -1, 0.2, np.pi / 2])
    assert gripper.joint_names == ["jaw_joint"]
    np.testing.assert_allclose(gripper.points[0].positions, [0.8 - 0.9 / 4])
    robot.close()
    peer.close()


def test_positions_alone_with_the_gripper_among_the_joints(wire):
    from dp_hf.control.robots.dds import Dds
    from dp_hf.control.robots.ros2 import Ros2Config, Ros2Robot
    from dp_hf.control.robots.ros2_messages import Float64MultiArray

    domain_id, _ = wire
    topics = RosTopics(image_topic="/camera", arm_topic="/commands", message="Float64MultiArray")
    robot, peer = Ros2Robot(Ros2Config(domain_id=domain_id), replace(FIVE, topics=topics)), Dds(domain_id)
    received = []
    peer.subscribe("/commands", Float64MultiArray, received.append)
    give_up = time.monotonic() + 10
    while not received and time.monotonic() < give_up:
        robot.send_command(np.array([0.5, -1, 25, 0.2, 90]))
        time.sleep(0.05)
    np.testing.assert_allclose(received[0].data, [0.5, -1, 0.8 - 0.9 / 4, 0.2, np.pi / 2])
    assert robot.unheard is None
    robot.close()
    peer.close()


def test_what_an_arm_has_not_in_ros_is_refused():
    pytest.importorskip("cyclonedds")
    from dp_hf.control.robots.ros2 import Ros2Config, Ros2Robot

    by_action = RosTopics(image_topic="/camera", arm_action="/follow")
    with pytest.raises(UserError, match="five takes commands as goals of /follow, which are not sent from here"):
        Ros2Robot(Ros2Config(), replace(FIVE, topics=by_action))
    with pytest.raises(UserError, match="five: its joints and topics in ROS are not known; its file has no ros:"):
        Ros2Robot(Ros2Config(), replace(FIVE, topics=None))
    without_gripper = replace(FIVE, gripper=None, topics=by_action)
    with pytest.raises(UserError, match=r"five has no gripper: leave --ros2\.gripper_joint out"):
        Ros2Robot(Ros2Config(gripper_joint="claw"), without_gripper)
    with pytest.raises(UserError, match="it has no gripper, and a gripper_topic or gripper_action: leave them out"):
        Ros2Robot(Ros2Config(gripper_topic="/claw"), without_gripper)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_image_encodings_with_padded_rows(encoding):
    rgb = np.random.default_rng(0).integers(0, 255, (5, 3, 3), dtype=np.uint8)
    channels = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2, 0], "bgra8": [2, 1, 0, 0], "mono8": [0]}
    wire = rgb[..., channels[encoding]].reshape(5, -1)
    padded = np.pad(wire, ((0, 0), (0, 7)))
    image = image_from_message(5, 3, encoding, padded.shape[1], padded.tobytes())
    np.testing.assert_array_equal(image, np.repeat(rgb[..., :1], 3, axis=2) if encoding == "mono8" else rgb)


@pytest.mark.parametrize(
    ("encoding", "same"),
    [("8UC3", "bgr8"), ("8UC4", "bgra8"), ("8UC1", "mono8"), ("yuyv", "yuv422_yuy2"), ("uyvy", "yuv422")],
)
def test_encodings_of_two_names(encoding, same):
    data = np.random.default_rng(0).integers(0, 255, (4, 32), dtype=np.uint8)
    images = [image_from_message(4, 6, name, 32, data) for name in (encoding, same)]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize(
    ("encoding", "shape", "conversion"),
    [
        ("yuv422_yuy2", (6, 8, 2), "COLOR_YUV2RGB_YUY2"),
        ("yuv422", (6, 8, 2), "COLOR_YUV2RGB_UYVY"),
        ("nv12", (9, 8), "COLOR_YUV2RGB_NV12"),
        ("nv21", (9, 8), "COLOR_YUV2RGB_NV21"),
    ],
)
def test_the_colours_of_a_camera_are_those_of_opencv(encoding, shape, conversion):
    cv2 = pytest.importorskip("cv2")
    data = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    padded = np.pad(data.reshape(shape[0], -1), ((0, 0), (0, 5)))
    image = image_from_message(6, 8, encoding, padded.shape[1], padded.tobytes())
    expected = cv2.cvtColor(data, getattr(cv2, conversion))
    assert np.abs(image.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("height", "width", "encoding"), [(4, 5, "yuyv"), (4, 5, "nv12"), (5, 4, "nv12")])
def test_half_a_pair_of_pixels_is_an_error(height, width, encoding):
    with pytest.raises(UserError, match="camera image"):
        image_from_message(height, width, encoding, 16, bytes(200))


@pytest.mark.parametrize("encoding", ["bayer_rggb8", "mono16", "16UC1", ""])
def test_another_encoding_is_named(encoding):
    with pytest.raises(UserError, match=f"encoded as '{encoding}'; supported are rgb8, .* nv21: choose one"):
        image_from_message(4, 4, encoding, 16, bytes(200))


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 40), st.binary(max_size=60))
def test_an_image_with_too_few_bytes_is_an_error(height, width, step, data):
    enough = height * width > 0 and step >= 3 * width and len(data) >= height * step
    if enough:
        assert image_from_message(height, width, "rgb8", step, data).shape == (height, width, 3)
    else:
        with pytest.raises(UserError, match="camera image"):
            image_from_message(height, width, "rgb8", step, data)


@given(st.permutations(range(7)), st.lists(st.floats(-3, 3), min_size=7, max_size=7))
def test_joints_are_found_by_name(order, positions):
    names = np.array([*JOINT_NAMES, "gripper_controller"])
    state = ROS_JOINTS.state(list(names[order]), np.array(positions)[order])
    np.testing.assert_allclose(np.radians(state[:6]), positions[:6], atol=1e-12)
    assert ROS_JOINTS.gripper_to_radians(state[6]) == pytest.approx(positions[6], abs=1e-12)


def test_joints_that_come_in_messages_of_their_own_are_gathered():
    gathered = GatheredJoints(ROS_JOINTS)
    assert gathered.add(["wheel", *JOINT_NAMES], np.arange(7) / 10, now=5.0) is None
    state, oldest = gathered.add(["gripper_controller"], [-0.25], now=5.5)
    np.testing.assert_allclose(state, [*np.degrees(np.arange(1, 7) / 10), 50])
    assert oldest == 5.0
    state, oldest = gathered.add(JOINT_NAMES[:2], [0.9, 0.8], now=6.0)
    np.testing.assert_allclose(state, [*np.degrees([0.9, 0.8, 0.3, 0.4, 0.5, 0.6]), 50])
    assert oldest == 5.0  # of the joints that have not come again
    assert gathered.add(JOINT_NAMES, np.zeros(6), now=7.0)[1] == 5.5


def test_a_joint_that_does_not_come_is_named_after_a_second():
    gathered = GatheredJoints(ROS_JOINTS)
    assert gathered.add(JOINT_NAMES, np.zeros(6), now=5.0) is None
    with pytest.raises(UserError, match="joint states lack gripper_controller; they have wheel, link1_to_link2, "):
        gathered.add(["wheel"], [0.0], now=6.1)
    assert gathered.add(["gripper_controller"], [0.0], now=6.2) is not None


def test_the_gripper_is_open_at_0_and_closed_at_minus_one_half():
    assert (ROS_JOINTS.gripper_from_radians(0.0), ROS_JOINTS.gripper_from_radians(-0.5)) == (100.0, 0.0)
    assert (ROS_JOINTS.gripper_to_radians(100.0), ROS_JOINTS.gripper_to_radians(0.0)) == (0.0, -0.5)
