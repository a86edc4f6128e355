"""The arguments of the simulated scene, the same for every command that makes one."""

from dataclasses import dataclass
from typing import Annotated, Any

from dp_hf.ranges import Range


@dataclass(kw_only=True)
class EnvironmentArguments:
    """Options of the simulated scene."""

    shadows: bool = False
    """shadows and smoothed edges: nicer pictures, over ten times slower"""
    camera_shift: Annotated[float, Range(0, 1000)] = 0.0
    """domain randomisation: each episode moves the cameras by up to this many millimetres along each axis"""
    camera_turn: Annotated[float, Range(0, 180)] = 0.0
    """domain randomisation: each episode turns the cameras by up to this many degrees about each axis"""
    light_jitter: Annotated[float, Range(0, 1)] = 0.0
    """domain randomisation: each episode changes the light's brightness and direction by up to this fraction, 0 to 1"""

    def environment(self, cameras: tuple[str, ...]) -> dict[str, Any]:
        """Options of `CubeStackingEnv`."""
        return {
            "cameras": list(cameras),
            "shadows": self.shadows,
            "camera_shift": self.camera_shift,
            "camera_turn": self.camera_turn,
            "light_jitter": self.light_jitter,
        }
