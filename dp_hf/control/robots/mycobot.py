"""A myCobot 280 at a serial port, with a camera beside it."""

import logging
import termios
import threading
import time
from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.control.robot import Frame, Guiding, Stamped
from dp_hf.control.robots.sent_once import SentOnce
from dp_hf.errors import RunFailed, UserError
from dp_hf.ranges import Range

logger = logging.getLogger(__name__)

# An unanswered read blocks for 1.5 s; after so many in a row the arm counts as lost.
UNANSWERED_READS = 2


class Camera(Protocol):
    """What a robot needs of a camera: see `dp_hf.control.camera`."""

    def read(self) -> Stamped[np.ndarray] | None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class MyCobotConfig:
    """How the arm is reached."""

    port: str = "/dev/ttyUSB0"
    """serial port of the arm"""
    baudrate: Annotated[int, Range(1, 10_000_000)] = 115200
    """of the serial port (1000000 on the Raspberry Pi model)"""
    speed: Annotated[int, Range(1, 100)] = 60
    """the firmware's own speed on the way to each command (1..100 %)"""
    command_rate: Annotated[float, Range(above=0, high=1000)] = 20.0
    """commands per second (Hz); the arm takes 10 to 20"""


class MyCobotRobot:
    """A `Robot` through pymycobot. Commands go out at once and wait for no answer; a thread of its own reads.

    Args:
        config: how the arm is reached.
        camera: closed with the robot.
        relaxed: switches the joints' motors off, to guide the arm by hand. It drops: hold it.

    Raises:
        UserError: pymycobot is not installed, or the port cannot be opened.
        RunFailed: by readings and commands, once the cable has been pulled.
    """

    quantities = MYCOBOT_280.quantities

    def __init__(self, config: MyCobotConfig, camera: Camera, relaxed: bool = False):
        try:
            from pymycobot.common import ProtocolCode
            from pymycobot.mycobot280 import MyCobot280
        except ImportError as error:
            raise UserError(f"a myCobot needs pymycobot: pip install 'dp_hf[mycobot]' ({error})") from error
        try:
            # Without its lock, which a read holds while it waits, so that commands need not wait for reads.
            self._arm = MyCobot280(config.port, str(config.baudrate), thread_lock=False)
        except OSError as error:
            raise UserError(f"{config.port}: the arm's serial port cannot be opened ({error})") from error
        self.command_rate = config.command_rate
        self.fault: str | None = None
        self.finished: str | None = None
        self.person = Guiding("you, by hand: its motors are switched off, hold it first", self._release, self._engage)
        self._config = config
        self._camera = camera
        self._codes = ProtocolCode
        self._gripper = SentOnce(step=1)
        self._lost: str | None = None
        self._state: Stamped[np.ndarray] | None = None
        # It would name every command that a pulled cable does not take.
        self._arm.log.setLevel(logging.CRITICAL)
        # In refresh mode a new command replaces the one under way; otherwise commands queue up.
        self._arm.set_fresh_mode(1)
        if relaxed:
            self._arm.release_all_servos()
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read, name="mycobot", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        unanswered = 0
        while not self._closing.is_set():
            try:
                angles = self._arm.get_angles()
                gripper = self._arm.get_gripper_value() if isinstance(angles, list) else None
            except (OSError, termios.error) as error:
                self._lost = self.fault = f"{self._config.port}: the arm is gone, is its cable plugged in? ({error})"
                return
            except Exception as error:  # pymycobot's, of a damaged answer
                angles, gripper = repr(error), None
            if (state := _state(angles, gripper)) is not None:
                unanswered = 0
                self._state = Stamped(state, time.monotonic())
                self.fault = None
                continue
            unanswered += 1
            if unanswered == 1:
                logger.warning("%s: no answer from the arm (angles %s, gripper %s)", self._config.port, angles, gripper)
            if unanswered >= UNANSWERED_READS:
                self.fault = f"{self._config.port}: the arm has left {unanswered} questions in a row unanswered"

    def read_state(self) -> Stamped[np.ndarray] | None:
        self._require_cable()
        return self._state

    def read_image(self) -> Stamped[Frame] | None:
        return self._camera.read()

    def send_command(self, command: np.ndarray) -> None:
        self._require_cable()
        *angles, gripper = command.tolist()
        # pymycobot cuts angles to hundredths of a degree towards zero, so that none leaves its limits.
        self._arm.send_angles(angles, self._config.speed, _async=True)
        gripper = round(gripper)
        measured = None if self._state is None else self._state.value[6]
        if self._gripper.is_due(gripper, measured, time.monotonic()):
            # `set_gripper_value` would wait for an answer.
            self._arm._mesg(self._codes.SET_GRIPPER_VALUE, gripper, self._config.speed, has_reply=True, _async=True)

    def _release(self) -> None:
        self._require_cable()
        # `release_all_servos` would wait for an answer.
        self._arm._mesg(self._codes.RELEASE_ALL_SERVOS, has_reply=True, _async=True)

    def _engage(self) -> None:
        """Holds the arm where it is: first that is its goal, so that it does not leap to an earlier one."""
        self._require_cable()
        if self._state is not None:
            self._arm.send_angles(self._state.value[:6].tolist(), self._config.speed, _async=True)
        self._arm._mesg(self._codes.FOCUS_SERVO, 0, has_reply=True, _async=True)

    def _require_cable(self) -> None:
        if self._lost is not None:
            raise RunFailed(self._lost)

    def hold(self) -> None:
        """Nothing to send: the firmware stays at the last command."""

    def close(self) -> None:
        self._closing.set()
        self._reader.join()
        self._arm._serial_port.close()
        self._camera.close()


def _state(angles: object, gripper: object) -> np.ndarray | None:
    """The state, or None when the arm has not answered; pymycobot gives -1 then."""
    if not isinstance(angles, list) or len(angles) != 6 or not isinstance(gripper, int) or gripper < 0:
        return None
    return np.array([*angles, min(gripper, 100)], dtype=np.float64)
