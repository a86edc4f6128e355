"""A robot that LeRobot has a class for, where lerobot is installed: it is tried with 0.6.1."""

import importlib
import pkgutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from dp_hf.arms.arm import Arm
from dp_hf.cameras import as_frame
from dp_hf.control.clock import Grid, MonotonicClock
from dp_hf.control.robot import Frame, Stamped
from dp_hf.errors import UserError
from dp_hf.files import user_path
from dp_hf.yaml_files import read_yaml

# By the names of LeRobot's MotorNormMode.
UNITS = {"DEGREES": "degrees", "RADIANS": "radians", "RANGE_0_100": "0..100", "RANGE_M100_100": "none"}


class LeRobotArm:
    """A `Robot`: `--robot dp_hf.control.robots.lerobot:LeRobotArm --arm so101 --robot_arguments config=so101.yaml`.

    One thread speaks to the bus: it sends the newest command, then reads joints and cameras, `arm.command_rate` times a
    second if it can. What LeRobot raises there is a fault until it can be read again.

    Args:
        config: YAML file of what LeRobot calls the robot's config: `type: so101_follower`, `port`, `id`, `cameras`, ...
        arm: names and units of its numbers; where LeRobot says units too, they are compared.

    Raises:
        UserError: no lerobot, a config that it refuses, a robot of other numbers, or one that is not calibrated.
    """

    def __init__(self, config: str, arm: Arm):
        self.quantities, self.command_rate = arm.quantities, arm.command_rate
        self.fault: str | None = None
        self.finished: str | None = None
        self._robot = _make(config)
        self._keys = _keys(self._robot, arm)
        self._command: np.ndarray | None = None
        self._state: Stamped[np.ndarray] | None = None
        self._image: Stamped[Frame] | None = None
        self._robot.connect(calibrate=False)
        if not self._robot.is_calibrated:
            self._robot.disconnect()
            raise UserError(f"{config}: this robot is not calibrated: run lerobot-calibrate with this config first")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._speak, name="lerobot", daemon=True)
        self._thread.start()

    def _speak(self) -> None:
        clock = MonotonicClock()
        grid = Grid(1 / self.command_rate, first=clock.now())
        while not self._closing.is_set():
            grid.advance(clock.now())
            command, self._command = self._command, None
            try:
                if command is not None:
                    self._robot.send_action(dict(zip(self._keys, command.tolist(), strict=True)))
                self._take(self._robot.get_observation())
                self.fault = None
            except Exception as error:  # of a cable, a motor or a camera, by LeRobot's many names
                self.fault = f"{self._robot}: {type(error).__name__}: {error}"
            clock.sleep_until(grid.next)

    def _take(self, observation: Mapping[str, Any]) -> None:
        now = time.monotonic()
        pictures = {
            name: value for name, value in observation.items() if np.ndim(value) == 3 and np.shape(value)[2] == 3
        }
        if pictures:
            self._image = Stamped(as_frame(pictures), now)
        self._state = Stamped(np.array([observation[key] for key in self._keys], dtype=np.float64), now)

    def read_state(self) -> Stamped[np.ndarray] | None:
        return self._state

    def read_image(self) -> Stamped[Frame] | None:
        return self._image

    def send_command(self, command: np.ndarray) -> None:
        self._command = command

    def hold(self) -> None:
        """Nothing to send: the motors stay at their last goal."""

    def close(self) -> None:
        """Disconnects, upon which LeRobot switches the motors off unless the config says otherwise."""
        self._closing.set()
        self._thread.join()
        self._robot.disconnect()


def _make(config: str) -> Any:
    try:
        import draccus
        from lerobot import cameras, robots
        from lerobot.robots import RobotConfig, make_robot_from_config
        from lerobot.utils.import_utils import register_third_party_plugins
    except ImportError as error:
        raise UserError(f"LeRobot's robots need lerobot in this Python ({error})") from error
    for package in (robots, cameras):  # a type is known once its module is imported; some need more than lerobot alone
        for module in pkgutil.iter_modules(package.__path__):
            with suppress(ImportError):
                importlib.import_module(f"{package.__name__}.{module.name}")
    register_third_party_plugins()
    try:
        return make_robot_from_config(draccus.decode(RobotConfig, read_yaml(user_path(config))))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{config}: LeRobot refuses it ({type(error).__name__}: {' '.join(str(error).split())})"
        ) from error


def _keys(robot: Any, arm: Arm) -> list[str]:
    """What LeRobot calls the arm's numbers, such as shoulder_pan.pos."""
    own = {name.removesuffix(".pos"): name for name in robot.action_features}
    if set(own) != set(arm.quantities.names):
        raise UserError(
            f"LeRobot's {robot.name} has {', '.join(own)}, and {arm.name} {', '.join(arm.quantities.names)}:"
            " give an --arm with its names"
        )
    for name, motor in getattr(getattr(robot, "bus", None), "motors", {}).items():
        unit = UNITS.get(motor.norm_mode.name)
        expected = arm.quantities.units[arm.quantities.names.index(name)] if name in own else unit
        if unit != expected:
            raise UserError(
                f"LeRobot's {robot.name} has {name} in {motor.norm_mode.value}, and {arm.name} in {expected}: change"
                " use_degrees in its config, or the --arm"
            )
    return [own[name] for name in arm.quantities.names]
