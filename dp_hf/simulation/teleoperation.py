"""The simulated arm by keys: a person leads its tool step by step and opens and closes the gripper."""

from collections import deque
from typing import Any

import gymnasium
import numpy as np

from dp_hf.simulation.environment import CUBE_SIZE, CubeStackingEnv
from dp_hf.simulation.expert import HELD_GRIPPER, tool_yaw
from dp_hf.simulation.kinematics import Kinematics

STEP, TURN = 0.006, 4.0  # metres and degrees a key
KEYS_A_STEP = 3  # that count: a key that is held down comes about 30 times a second, and the arm takes 10 actions
LOWEST = CUBE_SIZE / 2 - 0.002  # metres above the table: the tool's point between the fingers of a hand that touches it
# Metres along x (away from the base), y (right in the picture) and z (up), and degrees; as the camera opposite sees it.
MOVES = {
    "w": (-STEP, 0, 0, 0),
    "s": (STEP, 0, 0, 0),
    "a": (0, -STEP, 0, 0),
    "d": (0, STEP, 0, 0),
    "e": (0, 0, STEP, 0),
    "c": (0, 0, -STEP, 0),
    "z": (0, 0, 0, -TURN),
    "x": (0, 0, 0, TURN),
}
GRIPPER_KEY = "g"
HELP = (
    "w s a d lead the tool up, down, left and right in the picture, e lifts and c lowers it, z x turn it, g closes and "
    "opens the gripper"
)


class Teleoperation:
    """Acts in the environment as the keys say; called as a policy is, for each step.

    A key moves the goal pose of the tool, which points down from the first key on; the answer is the joint angles
    for it, found by inverse kinematics. A key that leads out of reach does nothing.

    Args:
        env: the environment; its arm is read.
        keys: those that were pressed, oldest first, by any thread; they are taken from it.
    """

    def __init__(self, env: gymnasium.Env, keys: deque[str]):
        assert isinstance(env.unwrapped, CubeStackingEnv)
        self.env = env.unwrapped
        self.keys = keys
        self.kinematics = Kinematics(self.env.model)

    def reset(self) -> None:
        """Starts where the arm is; a cube that is held stays so, and keys from before do not count."""
        self.keys.clear()
        is_held = self.env.touching_pads() == 2 and self.env.state()[6] < HELD_GRIPPER
        self.position = self.env.tool.xpos.copy()
        self.yaw = tool_yaw(self.env.tool.xmat)
        self.is_tilted = _is_tilted(self.env.tool.xmat.reshape(3, 3))
        self.joints = self.env.state()[:6].astype(float)
        self.gripper = 0.0 if is_held else float(self.env.state()[6])

    def __call__(self, image: Any = None, state: np.ndarray | None = None) -> np.ndarray:
        """The next action (7,): degrees and gripper 0..100."""
        pressed = [self.keys.popleft() for _ in range(len(self.keys))]
        for key in pressed[-KEYS_A_STEP:]:
            self._obey(key)
        space = self.env.action_space
        return np.clip(np.r_[self.joints, self.gripper], space.low, space.high).astype(np.float32)

    def _obey(self, key: str) -> None:
        if key == GRIPPER_KEY:
            self.gripper = 100.0 if self.gripper < 50 else 0.0
        if key not in MOVES:
            return
        *step, turn = MOVES[key]
        goal = self.position + step
        goal[2] = max(goal[2], LOWEST)
        joints = self.kinematics.inverse(goal, self.yaw + turn, self.joints)
        position, rotation = self.kinematics.forward(joints)
        if np.linalg.norm(position - goal) <= STEP / 2 or self.is_tilted:
            self.joints, self.position, self.yaw = joints, position, tool_yaw(rotation.ravel())
            self.is_tilted = _is_tilted(rotation)


def _is_tilted(rotation: np.ndarray) -> bool:
    """Whether a tool does not point down, by more than some degrees."""
    return bool(rotation[2, 2] > -0.98)
