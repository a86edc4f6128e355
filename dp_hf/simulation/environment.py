"""`CubeStackingEnv`: the myCobot 280 puts a yellow cube on an orange one."""

import copy
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np

from dp_hf.arms.mycobot_280 import JOINT_NAMES, SIMULATED_MYCOBOT_280
from dp_hf.cameras import camera_columns
from dp_hf.errors import UserError
from dp_hf.simulation.layouts import Range, sample_layout
from dp_hf.simulation.rendering import CameraRenderer

SCENE = Path(__file__).with_name("cube_stacking.xml")
CONTROL_HZ = 10
HOME = (22.3, 2.0, -68.2, -23.8, 0.0, 22.3, 100.0)
STAGES = ("reached", "grasped", "lifted", "placed", "stacked")

CUBE_SIZE = 0.025
REACH_DISTANCE = 0.02
LIFT_HEIGHT = 0.02
PLACE_TOLERANCE = 0.0125
HEIGHT_TOLERANCE = 0.004
STILL_SPEED = 0.01
STILL_STEPS = 5  # control steps: half a second


class CubeStackingEnv(gymnasium.Env):
    """Stacking two 25 mm cubes, controlled at 10 Hz.

    Observation: `state` (7,) float32, six joint angles in degrees and the gripper, 0 (closed) to 100 (open); `image`
    uint8 (H, W, 3) RGB of the only camera, or one image under the name of each of several.

    Action: (7,) float32, the state to reach by the end of the control step, in the same units; clipped to the limits.

    `info`: for each of `STAGES` whether it has happened since the reset: the tool came within 20 mm of the yellow cube;
    both fingers held it; it was lifted by 20 mm; it lay on the orange cube within 12.5 mm; it stayed there released
    and still for half a second. `stacked` ends the episode with reward 1; every other reward is 0. `info["layout"]` is
    where the cubes began (2, 3), yellow then orange: x and y in metres, yaw in degrees.

    Args:
        cameras: of "front", "side" and "wrist"; none makes steps without images.
        image_size: height and width in pixels.
        x_range, y_range, yaw_range, min_distance: of the cubes, see `sample_layout`.
        camera_shift: every reset moves each camera by up to this many millimetres along each axis.
        camera_turn: and turns it by up to this many degrees about each axis.
        light_jitter: every reset changes the light's brightness and direction by up to this fraction, 0 to 1.
        shadows: shadows and smoothed edges, over ten times slower.
        render_mode: "rgb_array" lets `render()` return the first camera's image.

    Attributes:
        arm: what is simulated; states and actions are its numbers.
    """

    arm = SIMULATED_MYCOBOT_280
    action_space: gymnasium.spaces.Box
    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}  # noqa: RUF012

    def __init__(
        self,
        cameras: tuple[str, ...] = ("front",),
        image_size: tuple[int, int] = (240, 424),
        x_range: Range = (0.145, 0.215),
        y_range: Range = (-0.09, 0.09),
        yaw_range: Range = (-15.0, 15.0),
        min_distance: float = 0.06,
        camera_shift: float = 0.0,
        camera_turn: float = 0.0,
        light_jitter: float = 0.0,
        shadows: bool = False,
        render_mode: str | None = None,
    ):
        self.model = mujoco.MjModel.from_xml_path(str(SCENE))
        self.data = mujoco.MjData(self.model)
        self.nominal = copy.copy(self.model)
        known = [self.model.camera(i).name for i in range(self.model.ncam)]
        if unknown := [name for name in cameras if name not in known]:
            raise UserError(f"no camera {', '.join(unknown)}: the scene has {', '.join(known)}")
        self.cameras = tuple(cameras)
        self.layout_ranges = (x_range, y_range, yaw_range, min_distance)
        self.camera_shift, self.camera_turn, self.light_jitter = camera_shift, camera_turn, light_jitter
        self.render_mode = render_mode
        self.renderer = CameraRenderer(self.model, image_size, shadows)

        self.substeps = round(1 / CONTROL_HZ / self.model.opt.timestep)
        self.finger_travel = self.model.joint("gripper").range[1]
        self._yellow_geom = self.model.geom("yellow").id
        self._pads = [self.model.geom(name).id for name in ("left_pad", "right_pad")]

        limits = np.degrees([self.model.joint(name).range for name in JOINT_NAMES])
        low, high = np.array([*limits, (0, 100)], np.float32).T
        self.action_space = gymnasium.spaces.Box(low, high)
        # Contacts can push a joint past its limit a little.
        spaces: dict[str, gymnasium.Space] = {
            "state": gymnasium.spaces.Box(
                np.array([-200] * 6 + [0], np.float32), np.array([200] * 6 + [100], np.float32)
            )
        }
        for key in self.image_keys:
            spaces[key] = gymnasium.spaces.Box(0, 255, (*image_size, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict(spaces)

    @property
    def image_keys(self) -> tuple[str, ...]:
        """The observation's keys that hold images, in the order of `cameras`."""
        return tuple(camera_columns({camera: camera for camera in self.cameras}).values())

    # Looked up, because a view of the data can be neither copied nor pickled.
    @property
    def tool(self):
        return self.data.site("tool")

    @property
    def yellow(self):
        return self.data.body("yellow")

    @property
    def orange(self):
        return self.data.body("orange")

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.layout = sample_layout(self.np_random, *self.layout_ranges)
        self._randomize_cameras_and_light()
        mujoco.mj_resetData(self.model, self.data)
        self.data.ctrl[:] = self._to_control(np.array(HOME))
        self.data.qpos[:8] = np.r_[self.data.ctrl, self.data.ctrl[6]]
        for name, (x, y, yaw) in zip(("yellow", "orange"), self.layout, strict=True):
            half = np.radians(yaw) / 2
            self.data.joint(name).qpos[:] = [x, y, CUBE_SIZE / 2, np.cos(half), 0, 0, np.sin(half)]
        mujoco.mj_forward(self.model, self.data)
        self.stages = dict.fromkeys(STAGES, False)
        self._still_steps = 0
        return self._observation(), self._info()

    def step(self, action: np.ndarray):
        action = np.asarray(action, np.float64)
        if action.shape != (7,) or not np.isfinite(action).all():
            raise ValueError(f"an action is 7 finite numbers; got {action}")
        target = self._to_control(np.clip(action, self.action_space.low, self.action_space.high))
        start = self.data.ctrl.copy()
        for progress in np.arange(1, self.substeps + 1)[:, None] / self.substeps:
            self.data.ctrl[:] = start + progress * (target - start)
            mujoco.mj_step(self.model, self.data)
        self._update_stages()
        stacked = self.stages["stacked"]
        return self._observation(), float(stacked), stacked, False, self._info()

    def state(self) -> np.ndarray:
        """Joint angles in degrees and gripper 0..100, (7,) float32."""
        gripper = np.clip(100 * self.data.qpos[6] / self.finger_travel, 0, 100)
        return np.r_[np.degrees(self.data.qpos[:6]), gripper].astype(np.float32)

    def render(self) -> np.ndarray | None:
        if self.render_mode is None:
            return None
        return self.renderer.render(self.data, self.cameras[0] if self.cameras else "front")

    def close(self) -> None:
        self.renderer.close()

    def touching_pads(self) -> int:
        """How many of the two finger pads touch the yellow cube."""
        pairs = self.data.contact.geom
        touching = pairs[(pairs == self._yellow_geom).any(1)]
        return sum(pad in touching for pad in self._pads)

    def _observation(self) -> dict[str, np.ndarray]:
        images = {
            key: self.renderer.render(self.data, camera)
            for key, camera in zip(self.image_keys, self.cameras, strict=True)
        }
        return {"state": self.state(), **images}

    def _info(self) -> dict[str, Any]:
        return {**self.stages, "layout": self.layout.copy()}

    def _to_control(self, action: np.ndarray) -> np.ndarray:
        return np.r_[np.radians(action[:6]), action[6] / 100 * self.finger_travel]

    def _update_stages(self) -> None:
        offset = self.yellow.xpos - self.orange.xpos
        held = self.touching_pads() == 2
        placed = np.linalg.norm(offset[:2]) < PLACE_TOLERANCE and abs(offset[2] - CUBE_SIZE) < HEIGHT_TOLERANCE
        still = np.linalg.norm(self.data.joint("yellow").qvel[:3]) < STILL_SPEED
        at_rest = placed and still and self.touching_pads() == 0
        self._still_steps = self._still_steps + 1 if at_rest else 0
        now = {
            "reached": np.linalg.norm(self.tool.xpos - self.yellow.xpos) < REACH_DISTANCE,
            "grasped": held,
            "lifted": held and self.yellow.xpos[2] - CUBE_SIZE / 2 > LIFT_HEIGHT,
            "placed": placed,
            "stacked": self._still_steps >= STILL_STEPS,
        }
        self.stages = {name: self.stages[name] or bool(now[name]) for name in STAGES}

    def _randomize_cameras_and_light(self) -> None:
        model, nominal, rng = self.model, self.nominal, self.np_random
        shift = rng.uniform(-1, 1, (model.ncam, 3)) * self.camera_shift / 1000
        turn = rng.uniform(-1, 1, (model.ncam, 3)) * np.radians(self.camera_turn)
        model.cam_pos[:] = nominal.cam_pos + shift
        model.cam_quat[:] = nominal.cam_quat
        for quaternion, angles in zip(model.cam_quat, turn, strict=True):
            mujoco.mju_quatIntegrate(quaternion, angles, 1.0)
        model.light_diffuse[:] = nominal.light_diffuse * (1 + self.light_jitter * rng.uniform(-1, 1))
        direction = nominal.light_dir + self.light_jitter * rng.uniform(-1, 1, 3)
        model.light_dir[:] = direction / np.linalg.norm(direction)
