"""One turn of the control loop, as its observers see it."""

from dataclasses import dataclass

import numpy as np

from dp_hf.control.robot import Frame, Stamped
from dp_hf.episodes.format import Actor


@dataclass(frozen=True)
class Tick:
    """What was measured, the command (n,), why the arm is held, and who acted.

    There is no command while a person guides the arm.
    """

    time: float
    image: Stamped[Frame] | None
    state: Stamped[np.ndarray] | None
    command: np.ndarray | None
    hold_reason: str | None
    actor: Actor
