"""The arguments of real robots, the same for every command that reaches one."""

from dataclasses import dataclass, field
from pathlib import Path

from dp_hf.arms.arm import Arm
from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.mycobot_280 import MYCOBOT_280, SIMULATED_MYCOBOT_280
from dp_hf.cli.recipes import find_recipe
from dp_hf.control.camera import CameraConfig, OpenCvCamera
from dp_hf.control.robot import Robot
from dp_hf.control.robots.mycobot import MyCobotConfig, MyCobotRobot
from dp_hf.control.robots.ros2 import Ros2Config, Ros2Robot


@dataclass(kw_only=True)
class RobotArguments:
    """How a robot is reached, and what it may do."""

    limits: Path | None = None
    """YAML file of safety limits in place of the arm's own, or the name of one that comes with dp_hf, such as
    mycobot_280_slow"""
    mycobot: MyCobotConfig = field(default_factory=MyCobotConfig)
    """with --robot mycobot"""
    camera: CameraConfig = field(default_factory=CameraConfig)
    """with --robot mycobot"""
    ros2: Ros2Config = field(default_factory=Ros2Config)
    """with --robot ros2"""

    def arm(self, robot: str) -> Arm:
        """What the robot called `robot` is."""
        return SIMULATED_MYCOBOT_280 if robot == "sim" else MYCOBOT_280

    def safety_limits(self, robot: str) -> SafetyLimits:
        """The arm's, or the file's in their place."""
        limits = self.arm(robot).limits
        return limits if self.limits is None else limits.updated_from(find_recipe("control", self.limits))

    def connect(self, robot: str, relaxed: bool = False) -> Robot:
        """The real robot called `robot`; `relaxed` switches its motors off where that can be done from here."""
        if robot == "ros2":
            return Ros2Robot(self.ros2, self.arm(robot))
        camera = OpenCvCamera(self.camera)
        try:
            return MyCobotRobot(self.mycobot, camera, relaxed)
        except BaseException:
            camera.close()
            raise
