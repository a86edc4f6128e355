import threading
import time

import numpy as np
import pytest
from control_fakes import HOME, as_policy

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.cli.robot_arguments import RobotArguments
from dp_hf.control.camera import CameraConfig, OpenCvCamera
from dp_hf.control.controller import Controller
from dp_hf.control.robot import Stamped
from dp_hf.control.robots.mycobot import MyCobotConfig, MyCobotRobot
from dp_hf.errors import RunFailed, UserError


class NoiseCamera:
    """Frames of noise."""

    closed = False

    def read(self) -> Stamped:
        image = np.random.default_rng().integers(0, 255, (24, 42, 3), dtype=np.uint8)
        return Stamped(image, time.monotonic())

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def firmware():
    pytest.importorskip("pymycobot")
    from fake_mycobot import FakeMyCobot

    with FakeMyCobot() as firmware:
        yield firmware


def connect(firmware, **kwargs) -> MyCobotRobot:
    return MyCobotRobot(MyCobotConfig(port=firmware.port), NoiseCamera(), **kwargs)


def wait_for(condition, seconds=10.0):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_the_firmware_sees_legal_frames_only_and_the_arm_arrives(firmware):
    robot = connect(firmware)
    target = HOME + [4, -3, 2, 1.5, -4, 3, -30]
    wild = iter([np.full(7, np.nan), np.full(7, 1e9), HOME + 200.0])

    def function(image, state):
        return np.tile(next(wild, target), (4, 1))

    limits = MYCOBOT_280.limits
    report = Controller(robot, as_policy(function), limits).run(duration=4)
    robot.close()
    assert robot._camera.closed
    assert firmware.illegal == []
    assert firmware.settings == [(0x16, b"\x01")]  # refresh mode
    assert sum(report.rejected.values()) == 3
    angles = np.array([angles for _, angles, _ in firmware.commands])
    assert (angles >= limits.lowest[:6]).all()
    assert (angles <= limits.highest[:6]).all()
    # One command moves at most velocity * period, the wire's hundredths of a degree aside.
    assert (np.abs(np.diff(angles, axis=0)) <= limits.velocity[:6] / 20 + 0.02).all()
    np.testing.assert_allclose(firmware.angles, target[:6], atol=0.011)
    assert firmware.gripper == 20
    assert 25 <= len(angles) <= 100
    assert len(firmware.grippers) == len(set(firmware.grippers)) < len(angles)  # only when it changes


def test_an_arm_that_stops_answering_is_a_fault_and_commands_do_not_wait_for_it(firmware, caplog):
    robot = connect(firmware)
    wait_for(lambda: robot.read_state() is not None)
    np.testing.assert_allclose(robot.read_state().value, HOME)
    firmware.answering = False
    wait_for(lambda: "no answer" in caplog.text)
    start = time.monotonic()
    robot.send_command(HOME + 1)
    assert time.monotonic() - start < 0.1
    wait_for(lambda: len(firmware.commands) == 1, seconds=0.5)
    wait_for(lambda: robot.fault is not None, seconds=15)
    assert "unanswered" in robot.fault
    firmware.answering = True
    wait_for(lambda: robot.fault is None)
    robot.close()


def test_a_pulled_cable_is_a_fault(firmware):
    robot = connect(firmware)
    wait_for(lambda: robot.read_state() is not None)
    firmware.running = False
    firmware.thread.join()
    firmware.unplug()
    wait_for(lambda: robot.fault is not None)
    assert firmware.port in robot.fault
    for call in (robot.read_state, lambda: robot.send_command(HOME)):
        with pytest.raises(RunFailed, match=f"{firmware.port}: the arm is gone, is its cable plugged in"):
            call()
    robot.close()


def test_a_cable_pulled_while_it_moves_ends_the_run_in_one_sentence(firmware, caplog):
    robot = connect(firmware)
    policy = as_policy(lambda image, state: state + np.arange(1, 9)[:, None] * 2.0)

    def pull():
        wait_for(lambda: len(firmware.commands) > 10)
        firmware.running = False
        firmware.thread.join()
        firmware.unplug()

    thread = threading.Thread(target=pull)
    thread.start()
    with pytest.raises(RunFailed, match=f"{firmware.port}: the arm is gone"):
        Controller(robot, policy, MYCOBOT_280.limits).run()
    thread.join()
    robot.close()
    assert len(caplog.records) <= 1


def test_a_lost_gripper_command_is_sent_again(firmware):
    firmware.gripper, lost, obey = 100, [], firmware.obey

    def lossy(command, payload):
        if command == 0x67 and payload[0] == 0 and not lost:
            lost.append(payload[0])
        else:
            obey(command, payload)

    firmware.obey = lossy
    robot = connect(firmware)
    closed = np.array([0, 0, 0, 0, 0, 0, 0], dtype=np.float64)
    start = time.monotonic()
    while firmware.gripper != 0:
        robot.send_command(closed)
        time.sleep(0.05)
        assert time.monotonic() - start < 5
    assert lost == [0]
    for _ in range(30):
        robot.send_command(closed)
        time.sleep(0.05)
    assert firmware.grippers == [0]  # it has arrived
    robot.close()


def test_a_relaxed_arm_can_be_guided(firmware):
    robot = connect(firmware, relaxed=True)
    assert firmware.settings == [(0x16, b"\x01"), (0x13, b"")]
    firmware.angles = np.array([10, 20, 30, 40, 50, 60.5])
    guided = [10, 20, 30, 40, 50, 60.5, 50]
    wait_for(lambda: (state := robot.read_state()) is not None and np.allclose(state.value, guided))
    robot.close()


def test_a_person_guides_the_arm_by_hand_and_it_holds_where_it_was_brought(firmware):
    robot = connect(firmware)
    wait_for(lambda: robot.read_state() is not None)
    controller = Controller(robot, as_policy(lambda image, state: np.tile(state, (4, 1))), MYCOBOT_280.limits)
    guided = np.array([12, -8, 6, 4, -3, 9])
    sent = []

    def guide():
        controller.call_person()
        wait_for(lambda: (0x13, b"") in firmware.settings)
        sent.append(len(firmware.commands))
        for share in np.linspace(0, 1, 20):
            firmware.angles = share * guided
            time.sleep(0.02)
        sent.append(len(firmware.commands))
        # It has been measured where it is before the person lets go.
        wait_for(lambda: np.allclose(robot.read_state().value[:6], guided))
        controller.dismiss_person()
        wait_for(lambda: len(firmware.commands) > sent[1] + 5)
        controller.stop("test")

    person = threading.Thread(target=guide)
    person.start()
    try:
        controller.run(duration=60)
    finally:
        person.join()
        robot.close()
    assert firmware.settings == [(0x16, b"\x01"), (0x13, b""), (0x57, b"\x00")]
    assert not firmware.illegal
    assert sent[0] == sent[1], "commands were sent to a released arm"
    for _, angles, _ in firmware.commands[sent[1] :]:
        np.testing.assert_allclose(angles, guided, atol=0.02)


def test_a_missing_port_is_named():
    pytest.importorskip("pymycobot")
    with pytest.raises(UserError, match="/dev/nothing"):
        MyCobotRobot(MyCobotConfig(port="/dev/nothing"), NoiseCamera())


def test_the_camera_gives_rgb_frames(tmp_path):
    cv2 = pytest.importorskip("cv2")
    red = np.zeros((24, 42, 3), dtype=np.uint8)
    red[..., 0] = 255
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"image_{i:05d}.png"), red[..., ::-1])
    camera = OpenCvCamera(CameraConfig(source=str(tmp_path / "image_%05d.png")))
    wait_for(lambda: camera.read() is not None)
    np.testing.assert_array_equal(camera.read().value, red)
    assert threading.active_count() > 1
    camera.close()


def test_a_camera_of_another_aspect_than_asked_for_is_refused_and_another_size_is_said(tmp_path, caplog):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "image_00000.png"), np.zeros((48, 64, 3), dtype=np.uint8))
    source = str(tmp_path / "image_%05d.png")
    with pytest.raises(
        UserError, match=r"gives 64x48, not the 424x240 asked for.*--camera\.width 64 --camera\.height 48"
    ):
        OpenCvCamera(CameraConfig(source=source))
    assert not caplog.records
    OpenCvCamera(CameraConfig(source=source, width=64, height=48)).close()
    assert not caplog.records
    OpenCvCamera(CameraConfig(source=source, width=640, height=480)).close()
    assert "gives 64x48, not the 640x480 asked for" in caplog.text


def test_the_commands_arguments_connect_arm_and_camera(firmware, tmp_path):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "image_00000.png"), np.zeros((24, 42, 3), dtype=np.uint8))
    camera = CameraConfig(source=str(tmp_path / "image_%05d.png"))
    robot = RobotArguments(mycobot=MyCobotConfig(port=firmware.port), camera=camera).connect("mycobot")
    wait_for(lambda: robot.read_image() is not None and robot.read_state() is not None)
    robot.close()
    threads = threading.active_count()
    with pytest.raises(UserError, match="/dev/nothing"):
        RobotArguments(mycobot=MyCobotConfig(port="/dev/nothing"), camera=camera).connect("mycobot")
    assert threading.active_count() == threads  # the camera has been closed


def test_a_missing_camera_is_named():
    pytest.importorskip("cv2")
    with pytest.raises(UserError, match="camera nothing"):
        OpenCvCamera(CameraConfig(source="nothing"))
