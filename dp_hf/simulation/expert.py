"""`StackingExpert`: stacks the cubes from the simulator's own knowledge of where they are."""

from typing import Literal

import gymnasium
import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.motion_limiter import MotionLimiter
from dp_hf.simulation.environment import CONTROL_HZ, CUBE_SIZE, CubeStackingEnv
from dp_hf.simulation.kinematics import Kinematics
from dp_hf.simulation.task import next_noise

HOVER = 0.045  # metres above a goal at which the tool travels
FUNNEL = (0.003, 0.030)  # distances to the goal, in the plane, at which the way down ends and begins
MAX_STEP, MIN_STEP, MAX_TURN = 0.018, 0.004, 6.0  # metres and degrees a control step
GRASP_ERROR, PLACE_ERROR = 0.006, 0.004  # metres
HELD_GRIPPER = 65.0  # the gripper's value below which its fingers are at the cube's sides
EMPTY_GRIPPER = 40.0
OPEN_GRIPPER = 80.0
TICKS = 5  # of the limits in a control step: as many commands as the loop that drives an arm sends

NoisePhases = Literal["all", "place"]


class StackingExpert:
    """Grasps the yellow cube, carries it over the orange one, sets it down and lets go.

    Each call moves a goal pose of the tool by one smooth step and answers with the joint angles for it, found by
    inverse kinematics from the last command. The tool comes down on a goal through a funnel, so that one rule makes
    both the way there and the way down. What to do next follows from what is measured: a lost cube is grasped anew.

    `add_noise` gives the action to execute so that demonstrations hold mistakes and, as the recorded clean action,
    their correction (Laskey et al. 2017, arXiv:1703.09327).

    Args:
        env: the environment; the expert reads it.
        noise: standard deviation of the joint noise, degrees; see `next_noise`.
        noise_phases: "all", or "place" for noise only while the cube is carried.
        limits: of an arm that is to be able to follow; actions keep them, and stop where they must to arrive.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        noise: float = 0.0,
        noise_phases: NoisePhases = "all",
        limits: SafetyLimits | None = None,
    ):
        assert isinstance(env.unwrapped, CubeStackingEnv)
        self.env = env.unwrapped
        self.limits = limits
        self.noise = noise
        self.noise_phases = noise_phases
        self.kinematics = Kinematics(self.env.model)

    def reset(self) -> None:
        """Starts from the environment's present state: a cube that is held is carried on."""
        is_held = self.env.touching_pads() == 2 and self.env.state()[6] < HELD_GRIPPER
        self.phase = "place" if is_held else "grasp"
        self.offset = self.env.tool.xpos - self.env.yellow.xpos if is_held else np.zeros(3)
        self.position = self.env.tool.xpos.copy()
        self.yaw = tool_yaw(self.env.tool.xmat)
        self.gripper = 0.0 if is_held else 100.0
        self.joints = self.env.state()[:6].astype(float)
        self._limiter = (
            None
            if self.limits is None
            else MotionLimiter(self.limits, np.r_[self.joints, self.gripper], 1 / (CONTROL_HZ * TICKS))
        )
        self._noise = np.zeros(6)
        self._last_gripper = 100.0

    def __call__(self, image=None, state=None) -> np.ndarray:
        """The next action (7,): degrees and gripper 0..100. What the cameras see is not looked at."""
        self._choose_phase()
        if self.phase == "grasp":
            self._approach(self.env.yellow.xpos, cube_yaw(self.env.yellow.xquat))
        elif self.phase == "place":
            self._approach(self._place_goal(), 0.0)
        elif self.phase == "retreat":
            self.position[2] += MAX_STEP
        self.gripper = 0.0 if self.phase in ("close", "place") else 100.0
        self.joints = self.kinematics.inverse(self.position, self.yaw, self.joints)
        action = np.r_[self.joints, self.gripper]
        if self._limiter is not None:
            action = self._keep_limits(action, self._limiter)
        return np.clip(action, self.env.action_space.low, self.env.action_space.high).astype(np.float32)

    def _keep_limits(self, action: np.ndarray, limiter: MotionLimiter) -> np.ndarray:
        """How far the arm gets towards an action in a step; the tool's goal pose is there then."""
        start = limiter.position
        low, high = np.minimum(start, action), np.maximum(start, action)
        for share in np.arange(1, TICKS + 1) / TICKS:
            limiter.follow(start + share * (action - start), (action - start) * CONTROL_HZ, low, high)
        self.joints = limiter.position[:6]
        self.position, rotation = self.kinematics.forward(self.joints)
        self.yaw = tool_yaw(rotation.ravel())
        return limiter.position

    def add_noise(self, action: np.ndarray) -> np.ndarray:
        """The action (7,) to execute in place of the clean one."""
        self._noise = next_noise(self._noise, self.env.np_random.normal(0.0, 1.0, 6))
        if self.noise_phases == "place" and self.phase != "place":
            return action
        return action + np.r_[self.noise * self._noise, 0.0].astype(np.float32)

    def _choose_phase(self) -> None:
        env, yellow = self.env, self.env.yellow.xpos
        gripper = env.state()[6]
        closed = abs(gripper - self._last_gripper) < 1.0
        self._last_gripper = gripper
        tool_error = np.linalg.norm(env.tool.xpos - yellow)
        if self.phase == "grasp":
            arrived = np.linalg.norm(self.position - yellow) < 0.001
            if arrived and tool_error < GRASP_ERROR:
                self.phase = "close"
        elif self.phase == "close":
            if closed and gripper < EMPTY_GRIPPER:
                self.phase = "grasp"
            elif env.touching_pads() == 2 and gripper < HELD_GRIPPER:
                self.offset = env.tool.xpos - yellow
                self.phase = "place"
        elif self.phase == "place":
            arrived = np.linalg.norm(self.position - self._place_goal()) < 0.001
            error = yellow - env.orange.xpos - [0, 0, CUBE_SIZE]
            if env.touching_pads() == 0:
                self.phase = "grasp"
            elif arrived and np.linalg.norm(error) < PLACE_ERROR:
                self.phase = "open"
        elif self.phase == "open" and gripper > OPEN_GRIPPER:
            self.phase = "retreat"

    def _place_goal(self) -> np.ndarray:
        """Where the tool brings the cube in its fingers onto the orange one."""
        return self.env.orange.xpos + [0, 0, CUBE_SIZE] + self.offset

    def _approach(self, goal: np.ndarray, yaw: float) -> None:
        """Moves the goal pose one step towards `goal`, down a funnel around it."""
        sideways = goal[:2] - self.position[:2]
        near, far = FUNNEL
        height = HOVER * np.clip((np.linalg.norm(sideways) - near) / (far - near), 0.0, 1.0)
        up = goal[2] + height - self.position[2]
        # Below the funnel the way is up before it is sideways.
        step = np.r_[sideways * np.clip(1.0 - up / 0.02, 0.0, 1.0), up]
        distance = np.linalg.norm(step)
        length = np.clip(distance / 2, MIN_STEP, MAX_STEP)
        self.position += step * min(1.0, length / max(distance, 1e-9))
        self.yaw += np.clip(yaw - self.yaw, -MAX_TURN, MAX_TURN)


def tool_yaw(rotation: np.ndarray) -> float:
    """The yaw in degrees of a tool that points down, of its rotation matrix (9,); see `kinematics.down_rotation`."""
    return float(np.degrees(np.arctan2(rotation[0], -rotation[1])))


def cube_yaw(quaternion: np.ndarray) -> float:
    """A lying cube's yaw in degrees, -45 to 45: the quarter turns look the same."""
    w, x, y, z = quaternion
    yaw = np.degrees(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
    return (yaw + 45.0) % 90.0 - 45.0


def expert_policy(env: gymnasium.Env, seed: int) -> StackingExpert:
    """The expert without noise."""
    return StackingExpert(env)
