"""gym-aloha's two arms for `dp-hf --task_file`, with one small picture a step, and a scripted expert for each task.

It runs in a Python of its own, where dp_hf is not installed.
"""

from functools import partial

import gymnasium
import mujoco
import numpy as np
from gym_aloha.env import AlohaEnv
from gym_aloha.tasks import sim
from small_pictures import halved, renderer_of

FPS = 50
LEVEL = np.eye(3)  # no turn
GRIP = 0.01  # metres above the middle of what is taken, so that the fingers do not touch the table


class Aloha(gymnasium.Env):
    """A task of gym-aloha with its reward, reset and step, seen by the camera above.

    Args:
        task: "transfer_cube" or "insertion".
        size: height and width of the picture, pixels; it is drawn twice as large and halved.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012
    render_mode = "rgb_array"

    def __init__(self, task="transfer_cube", size=(96, 128)):
        # By itself it draws three views of 640 x 480 in every step.
        sim.BimanualViperXTask.get_observation = lambda self, physics: {
            "qpos": self.get_qpos(physics),
            "images": {"top": np.zeros(1)},
        }
        self.env = AlohaEnv(task, obs_type="pixels_agent_pos")
        self.action_space = gymnasium.spaces.Box(-np.inf, np.inf, (14,), np.float32)  # it says -1 to 1, and takes more
        physics = self.env._env.physics
        self.model, self.data = physics.model.ptr, physics.data.ptr
        self.renderer = renderer_of(self.model, *size)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        observation, info = self.env.reset(seed=seed)
        return observation["agent_pos"], info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation["agent_pos"], reward, terminated, truncated, info

    def render(self):
        self.renderer.update_scene(self.data, "top")
        return halved(self.renderer.render())

    def close(self):
        self.renderer.close()


def transfer_cube(env):
    """The right arm lifts the cube to where the left one takes it."""
    left, right = _Arm(env, "left"), _Arm(env, "right")
    box = env.data.qpos[16:19].copy()
    rolled = _turn([1, 0, 0], 90)
    over, at = [box[0], box[1], 0.18], [box[0], box[1], 0.02]
    meet, aside = np.array([0.0, 0.5, 0.25]), np.array([-0.02, 0.0, 0.0])
    return _together(
        left.along(
            (1.5, left.place, LEVEL, 0), (4.0, meet - [0.13, 0, 0], rolled, 1), (5.4, meet + aside, rolled, 1),
            (6.2, meet + aside, rolled, 0),
        ),
        right.along(
            (1.2, over, right.down, 1), (2.2, at, right.down, 1), (2.8, at, right.down, 0), (4.4, meet, right.down, 0),
        ),
    )  # fmt: skip


def insertion(env):
    """The right arm lifts the peg and the left one the socket; they meet in the middle, the peg in the socket."""
    left, right = _Arm(env, "left"), _Arm(env, "right")
    peg, socket = env.data.qpos[16:19].copy(), env.data.qpos[23:26].copy()

    def plan(arm, thing, height, side):
        over, at = [thing[0], thing[1], 0.13], [thing[0], thing[1], height + GRIP]
        apart, joined = ([side * distance, 0.5, 0.15 + GRIP] for distance in (0.11, 0.045))
        return arm.along(
            (1.2, over, arm.down, 1), (2.2, at, arm.down, 1), (2.8, at, arm.down, 0), (3.2, at, arm.down, 0),
            (5.0, apart, arm.down, 0), (5.4, apart, arm.down, 0), (7.4, joined, arm.down, 0),
        )  # fmt: skip

    return _together(plan(left, socket, 0.02, side=-1), plan(right, peg, 0.01, side=1))


def _together(left, right):
    """An action at every step from two functions of the time."""
    step = 0

    def act(observation):
        nonlocal step
        step += 1
        return np.r_[left(step / FPS), right(step / FPS)]

    return act


class _Arm:
    """One arm's joints for a pose of its tool, by damped least squares from the last ones."""

    def __init__(self, env, name):
        self.model, self.data = env.model, mujoco.MjData(env.model)
        self.site = self.model.site(f"cali_{name}_site1").id
        self.body = self.model.body(f"vx300s_{name}/gripper_link").id
        self.joints = np.arange(6) if name == "left" else np.arange(8, 14)
        self.qpos = env.data.qpos.copy()
        self._look()
        self.place = self.data.site_xpos[self.site].copy()
        self.start = self.data.xmat[self.body].reshape(3, 3).copy()
        self.down = _turn([0, 1, 0], 60 if name == "left" else -60)

    def along(self, *points):
        """The arm's six joint angles and its gripper (7,) as a function of the time, by way points blended linearly.

        Args:
            points: seconds, place in metres, turn from the start, gripper from closed (0) to open (1).
        """
        return partial(self._at, [(0.0, self.place, LEVEL, 0), *points])

    def _at(self, plan, time):
        after = next((index for index, point in enumerate(plan) if point[0] > time), len(plan) - 1)
        (t0, p0, r0, g0), (t1, p1, r1, g1) = plan[after - 1], plan[after]
        share = min((time - t0) / (t1 - t0), 1.0)
        turn = r0 @ _part(r0.T @ r1, share)
        self._solve(np.asarray(p0) + share * (np.asarray(p1) - p0), turn @ self.start)
        return np.r_[self.qpos[self.joints], g0 + share * (g1 - g0)]

    def _look(self):
        self.data.qpos[:] = self.qpos
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    def _solve(self, place, orientation):
        jacobian, turning = np.zeros((2, 3, self.model.nv))
        for _ in range(30):
            self._look()
            error = np.r_[
                place - self.data.site_xpos[self.site],
                _vector(orientation @ self.data.xmat[self.body].reshape(3, 3).T),
            ]
            if np.abs(error).max() < 1e-4:
                break
            mujoco.mj_jacSite(self.model, self.data, jacobian, turning, self.site)
            full = np.vstack([jacobian, turning])[:, self.joints]
            change = full.T @ np.linalg.solve(full @ full.T + 1e-5 * np.eye(6), error)
            self.qpos[self.joints] += np.clip(change, -0.2, 0.2)


def _vector(matrix):
    """A rotation as a vector: its axis, as long as the angle in radians."""
    quaternion, vector = np.zeros(4), np.zeros(3)
    mujoco.mju_mat2Quat(quaternion, matrix.ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1)
    return vector


def _part(matrix, share):
    vector = _vector(matrix)
    return _turn(vector, share * np.degrees(np.linalg.norm(vector)))


def _turn(axis, degrees):
    axis, quaternion, matrix = np.array(axis, float), np.zeros(4), np.zeros(9)
    length = np.linalg.norm(axis)
    mujoco.mju_axisAngle2Quat(quaternion, axis / length if length > 1e-9 else np.eye(3)[0], np.radians(degrees))
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)
