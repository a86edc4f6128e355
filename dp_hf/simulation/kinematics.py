"""Forward and inverse kinematics of the simulated arm."""

import mujoco
import numpy as np

NUM_ITERATIONS = 30
DAMPING = 1e-6
ROTATION_WEIGHT = 0.1  # metres a radian: how much of orientation is traded for how much of position
MAX_JOINT_STEP = 0.2  # radians an iteration


class Kinematics:
    """Where the tool point is, and which joint angles bring it somewhere.

    The tool points straight down; at yaw 0 the fingers open along y.
    """

    def __init__(self, model: mujoco.MjModel):
        self.model = model
        self.data = mujoco.MjData(model)
        self.site = model.site("tool").id
        self.limits = model.jnt_range[:6]

    def forward(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tool position (3,) in metres and rotation matrix (3, 3), for joint angles (6,) in degrees."""
        self.data.qpos[:6] = np.radians(joints)
        mujoco.mj_kinematics(self.model, self.data)
        return self.data.site_xpos[self.site].copy(), self.data.site_xmat[self.site].reshape(3, 3).copy()

    def inverse(self, position: np.ndarray, yaw: float, initial: np.ndarray) -> np.ndarray:
        """Joint angles (6,) in degrees that bring the tool to a pose, by damped least squares.

        Args:
            position: (3,) metres.
            yaw: degrees about the vertical.
            initial: (6,) degrees; the solution found is the one near it.
        """
        target = down_rotation(yaw)
        jacobian = np.zeros((6, self.model.nv))
        rotation_error = np.zeros(3)
        quaternion = np.zeros(4)
        self.data.qpos[:6] = np.radians(initial)
        for _ in range(NUM_ITERATIONS):
            mujoco.mj_kinematics(self.model, self.data)
            mujoco.mj_comPos(self.model, self.data)
            rotation = self.data.site_xmat[self.site].reshape(3, 3)
            mujoco.mju_mat2Quat(quaternion, (target @ rotation.T).ravel())
            mujoco.mju_quat2Vel(rotation_error, quaternion, 1.0)
            error = np.r_[position - self.data.site_xpos[self.site], ROTATION_WEIGHT * rotation_error]
            if np.linalg.norm(error) < 1e-5:
                break
            mujoco.mj_jacSite(self.model, self.data, jacobian[:3], jacobian[3:], self.site)
            J = jacobian[:, :6] * np.repeat([1.0, ROTATION_WEIGHT], 3)[:, None]
            step = J.T @ np.linalg.solve(J @ J.T + DAMPING * np.eye(6), error)
            joints = self.data.qpos[:6] + np.clip(step, -MAX_JOINT_STEP, MAX_JOINT_STEP)
            self.data.qpos[:6] = np.clip(joints, *self.limits.T)
        return np.degrees(self.data.qpos[:6])


def down_rotation(yaw: float) -> np.ndarray:
    """Rotation (3, 3) of a tool that points down, its fingers opening along y turned by `yaw` degrees."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return np.array([[s, -c, 0.0], [-c, -s, 0.0], [0.0, 0.0, -1.0]])
