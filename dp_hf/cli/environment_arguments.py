"""The arguments of the simulated scene, the same for every command that makes one."""

from dataclasses import dataclass
from typing import Any

from dp_hf.disturbances import Disturbances


@dataclass(kw_only=True)
class EnvironmentArguments(Disturbances):
    """Options of the simulated scene."""

    def environment(self, cameras: tuple[str, ...]) -> dict[str, Any]:
        """Options of `CubeStackingEnv`."""
        return {"cameras": list(cameras), **self.options()}
