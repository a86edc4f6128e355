"""A camera without an arm."""

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dp_hf.arms.quantities import Quantities
from dp_hf.control.robot import Frame, Stamped
from dp_hf.errors import UserError


class Camera(Protocol):
    """See `dp_hf.control.camera`."""

    def read(self) -> Stamped[np.ndarray] | None: ...

    def close(self) -> None: ...


class CameraOnly:
    """A `Robot` that stands where it is said to stand; nobody can drive it.

    Args:
        camera: closed with the robot; None where somebody else has the pictures.
        quantities: of the state.
        state: (n,).

    Raises:
        UserError: a state of other than n numbers.
    """

    command_rate = np.inf
    fault: str | None = None
    finished: str | None = None

    def __init__(self, camera: Camera | None, quantities: Quantities, state: Sequence[float]):
        if len(state) != len(quantities):
            raise UserError(f"--state has {len(state)} numbers, and the policy sees {len(quantities)}: {quantities}")
        self.quantities = quantities
        self._camera = camera
        self._state = np.array(state, dtype=np.float64)

    def read_state(self) -> Stamped[np.ndarray]:
        return Stamped(self._state, time.monotonic())

    def read_image(self) -> Stamped[Frame] | None:
        return None if self._camera is None else self._camera.read()

    def send_command(self, command: np.ndarray) -> None:
        raise NotImplementedError("there is no arm")

    def hold(self) -> None:
        """There is nothing to hold."""

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
