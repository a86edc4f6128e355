"""The arguments of real robots, the same for every command that reaches one."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dp_hf.arms.arm import Arm
from dp_hf.arms.arm_file import read_arm
from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.mycobot_280 import MYCOBOT_280, SIMULATED_MYCOBOT_280
from dp_hf.cli.given import options_given
from dp_hf.cli.recipes import find_recipe
from dp_hf.control.camera import CameraConfig, OpenCvCamera
from dp_hf.control.robot import Robot, require_robot
from dp_hf.control.robots.mycobot import MyCobotConfig, MyCobotRobot
from dp_hf.control.robots.ros2 import Ros2Config, Ros2Robot
from dp_hf.errors import RunFailed, UserError

NO_ARM = "none"
# Whose options they are.
_GROUPS = {"mycobot": ("mycobot",), "camera": ("mycobot", NO_ARM), "ros2": ("ros2",)}


@dataclass(kw_only=True)
class RobotArguments:
    """How a robot is reached, and what it may do."""

    arm: str | None = None
    """YAML file that describes the arm, or the name of one that comes with dp_hf, such as so101; with --robot ros2
    (default a myCobot 280) and a robot of your own (default what its class says)"""
    robot_arguments: tuple[str, ...] = ()
    """NAME=VALUE each, with a robot of your own: what its class is called with, such as port=/dev/ttyACM0"""
    limits: Path | None = None
    """YAML file of safety limits in place of the arm's own, or the name of one that comes with dp_hf, such as
    mycobot_280_slow"""
    mycobot: MyCobotConfig = field(default_factory=MyCobotConfig)
    """with --robot mycobot"""
    camera: CameraConfig = field(default_factory=CameraConfig)
    """with --robot mycobot, and none"""
    ros2: Ros2Config = field(default_factory=Ros2Config)
    """with --robot ros2"""

    def require_fitting(self, robot: str, names: Collection[str]) -> None:
        """Refuses a robot that there is not, and options that nobody would look at.

        Args:
            names: of the robots that the command knows.
        """
        is_own = _is_own(robot)
        if robot not in names and not is_own:
            raise UserError(
                f"--robot {robot} is none of {', '.join(names)}, nor a class of yours, MODULE:CLASS or FILE.py:CLASS"
            )
        for group, robots in _GROUPS.items():
            if robot not in robots and (given := options_given(getattr(self, group))):
                of = " and ".join(f"--robot {each}" for each in robots if each in names)
                raise UserError(
                    f"--{group}.{given[0]} is of {of}; with --robot {robot} nobody looks at it: leave it out"
                )
        if self.arm is not None and robot != "ros2" and not is_own:
            raise UserError(
                f"--arm is for --robot ros2 and robots of your own; --robot {robot} is what it is: leave it out"
            )
        if self.robot_arguments and not is_own:
            raise UserError(f"--robot_arguments are for a robot of your own; leave them out with --robot {robot}")

    def require_no_camera(self, why: str) -> None:
        """Refuses --camera options, where `why` nobody looks at them."""
        if given := options_given(self.camera):
            raise UserError(f"--camera.{given[0]}: {why}; leave it out")

    def described(self, robot: str) -> Arm:
        """What the robot called `robot` is, which is not one of the user's own."""
        if self.arm is not None:
            return read_arm(find_recipe("arms", self.arm))
        return SIMULATED_MYCOBOT_280 if robot == "sim" else MYCOBOT_280

    def safety_limits(self, robot: str) -> SafetyLimits:
        """The arm's, or the file's in their place. They say too what the arm's numbers are."""
        if self.arm is None and _is_own(robot):
            limits = getattr(_own_class(robot), "limits", None)
            if not isinstance(limits, SafetyLimits):
                raise UserError(
                    f"--robot {robot} has no limits (SafetyLimits): give its class some, or give --arm FILE"
                )
        else:
            limits = self.described(robot).limits
        return limits if self.limits is None else limits.updated_from(find_recipe("control", self.limits))

    def connect(self, robot: str, relaxed: bool = False) -> Robot:
        """The real robot called `robot`; `relaxed` switches its motors off where that can be done from here."""
        if _is_own(robot):
            return self._connect_own(robot)
        if robot == "ros2":
            return Ros2Robot(self.ros2, self.described(robot))
        camera = OpenCvCamera(self.camera)
        try:
            return MyCobotRobot(self.mycobot, camera, relaxed)
        except BaseException:
            camera.close()
            raise

    def _connect_own(self, robot: str) -> Robot:
        arguments = dict(map(_argument, self.robot_arguments))
        if self.arm is not None:
            arguments["arm"] = self.described(robot)
        make = _own_class(robot)
        try:
            own = make(**arguments)
        except (UserError, RunFailed):
            raise
        except TypeError as error:
            given = ", ".join(arguments) or "no arguments"
            raise UserError(f"--robot {robot} cannot be made of {given}: {error}") from error
        except Exception as error:  # of whoever has written it
            why = " ".join(str(error).split())
            raise UserError(f"--robot {robot} cannot be made ({type(error).__name__}: {why})") from error
        require_robot(own)
        return own


def _is_own(robot: str) -> bool:
    from dp_hf.tasks.observed import is_function

    return is_function(robot)


def _own_class(robot: str) -> Callable[..., Any]:
    """The class MODULE:CLASS or FILE.py:CLASS: the user's code, which is run. Nothing else may name one."""
    from dp_hf.tasks.observed import load_function

    try:
        return load_function(robot, Path.cwd())
    except Exception as error:  # of whoever has written it
        raise UserError(f"--robot {robot} cannot be loaded ({type(error).__name__}: {error})") from error


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    try:
        if not (name.isidentifier() and equals):
            raise ValueError
        return name, yaml.safe_load(value)
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"--robot_arguments {text}: give NAME=VALUE, such as port=/dev/ttyACM0") from error
