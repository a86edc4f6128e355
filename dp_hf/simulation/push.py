"""A push against the arm while it moves."""

import mujoco
import numpy as np

FIRST_STEPS = (5, 20)  # control steps from the first to before the last of which the push may begin
NUM_STEPS = 5  # control steps that it lasts


class Push:
    """The push of one episode: a force on the tool point that swells and fades as half a period of a sine.

    Servos are springs of stiffness kp, so a force F moves the tool by J kp^-1 J^T F (J its Jacobian): the force here is
    the one that moves it by `distance` in a horizontal direction.

    Args:
        distance: metres that it moves the tool at its height.
        rng: draws when it begins and where it goes.
    """

    def __init__(self, distance: float, rng: np.random.Generator):
        self.start = int(rng.integers(*FIRST_STEPS))
        angle = rng.uniform(0, 2 * np.pi)
        self.displacement = distance * np.array([np.cos(angle), np.sin(angle), 0])

    def torques(self, model: mujoco.MjModel, data: mujoco.MjData, time: float) -> np.ndarray:
        """What the push brings to the joints, (6,) in Nm, `time` control steps after the reset."""
        progress = (time - self.start) / NUM_STEPS
        if not 0 < progress < 1:
            return np.zeros(6)
        jacobian = np.zeros((3, model.nv))
        mujoco.mj_jacSite(model, data, jacobian, None, model.site("tool").id)
        jacobian = jacobian[:, :6]
        stiffness = model.actuator_gainprm[:6, 0]
        force = np.linalg.solve(jacobian / stiffness @ jacobian.T, self.displacement)
        return np.sin(np.pi * progress) * jacobian.T @ force
