"""The arguments of real robots, the same for every command that reaches one."""

from dataclasses import dataclass, field
from pathlib import Path

from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.mycobot_280 import SIMULATED
from dp_hf.control.camera import CameraConfig, OpenCvCamera
from dp_hf.control.robot import Robot
from dp_hf.control.robots.mycobot import MyCobotConfig, MyCobotRobot
from dp_hf.control.robots.ros2 import Ros2Config, Ros2Robot


@dataclass(kw_only=True)
class RobotArguments:
    """How a robot is reached, and what it may do."""

    limits: Path | None = None
    """YAML file of safety limits, such as those in configs/control; default a myCobot 280's, or the simulated arm's"""
    mycobot: MyCobotConfig = field(default_factory=MyCobotConfig)
    """with --robot mycobot"""
    camera: CameraConfig = field(default_factory=CameraConfig)
    """with --robot mycobot"""
    ros2: Ros2Config = field(default_factory=Ros2Config)
    """with --robot ros2"""

    def safety_limits(self, robot: str) -> SafetyLimits:
        """The file's, or the built-in ones of `robot`."""
        if self.limits is not None:
            return SafetyLimits.from_yaml(self.limits)
        return SafetyLimits(**SIMULATED) if robot == "sim" else SafetyLimits()

    def connect(self, robot: str, relaxed: bool = False) -> Robot:
        """The real robot called `robot`; `relaxed` switches its motors off where that can be done from here."""
        if robot == "ros2":
            return Ros2Robot(self.ros2)
        camera = OpenCvCamera(self.camera)
        try:
            return MyCobotRobot(self.mycobot, camera, relaxed)
        except BaseException:
            camera.close()
            raise
