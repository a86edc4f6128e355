"""`CubeStackingEnv`: the myCobot 280 puts a yellow cube on an orange one."""

from typing import Any

import gymnasium
import mujoco
import numpy as np

from dp_hf.arms.mycobot_280 import JOINT_NAMES, SIMULATED_MYCOBOT_280
from dp_hf.cameras import camera_columns
from dp_hf.disturbances import Disturbances
from dp_hf.errors import UserError
from dp_hf.ranges import require_in_range
from dp_hf.simulation.distractors import lay_distractors
from dp_hf.simulation.layouts import Range, sample_layout
from dp_hf.simulation.push import Push
from dp_hf.simulation.rendering import CameraRenderer
from dp_hf.simulation.scene import Scene
from dp_hf.simulation.sensor import Sensor

CONTROL_HZ = 10
HOME = (22.3, 2.0, -68.2, -23.8, 0.0, 22.3, 100.0)
STAGES = ("reached", "grasped", "lifted", "placed", "stacked")

CUBE_SIZE = 0.025
REACH_DISTANCE = 0.02
LIFT_HEIGHT = 0.02
PLACE_TOLERANCE = 0.0125
HEIGHT_TOLERANCE = 0.004
STILL_SPEED = 0.01
STILL_SECONDS = 0.5


class CubeStackingEnv(gymnasium.Env):
    """Stacking two 25 mm cubes, controlled at 10 Hz unless `control_hz` says otherwise.

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
        render_mode: "rgb_array" lets `render()` return the first camera's image.
        control_hz: steps a second; divides 500, the physics' steps.
        disturbances: fields of `Disturbances`, such as `camera_turn=3`.

    Attributes:
        arm: what is simulated; states and actions are its numbers.
        disturbances: what the episodes may hold.
        episode, sensor, push: what this one holds.
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
        render_mode: str | None = None,
        control_hz: int = CONTROL_HZ,
        **disturbances: Any,
    ):
        self.disturbances = self.episode = Disturbances(**disturbances)
        require_in_range(self.disturbances)
        self.scene = Scene(self.disturbances)
        self.model = self.scene.model
        self.data = mujoco.MjData(self.model)
        known = [self.model.camera(i).name for i in range(self.model.ncam)]
        if unknown := [name for name in cameras if name not in known]:
            raise UserError(f"no camera {', '.join(unknown)}: the scene has {', '.join(known)}")
        self.cameras = tuple(cameras)
        self.layout_ranges = (x_range, y_range, yaw_range, min_distance)
        self.render_mode = render_mode
        self.renderer = CameraRenderer(self.model, image_size)

        self.control_hz = control_hz
        self.metadata = {**type(self).metadata, "render_fps": control_hz}
        self.substeps = round(1 / control_hz / self.model.opt.timestep)
        if abs(self.substeps * control_hz * self.model.opt.timestep - 1) > 1e-9:
            raise UserError(
                f"control_hz divides {round(1 / self.model.opt.timestep)}, physics' steps; got {control_hz}"
            )
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
        mujoco.mj_resetData(self.model, self.data)
        self._disturb()
        self.data.ctrl[:] = self._to_control(np.array(HOME))
        self.data.qpos[:8] = np.r_[self.data.ctrl, self.data.ctrl[6]]
        for name, (x, y, yaw) in zip(("yellow", "orange"), self.layout, strict=True):
            half = np.radians(yaw) / 2
            self.data.joint(name).qpos[:] = [x, y, CUBE_SIZE / 2, np.cos(half), 0, 0, np.sin(half)]
        mujoco.mj_forward(self.model, self.data)
        self.stages = dict.fromkeys(STAGES, False)
        self._still_steps = self._num_steps = 0
        return self._observation(), self._info()

    def step(self, action: np.ndarray):
        action = np.asarray(action, np.float64)
        if action.shape != (7,) or not np.isfinite(action).all():
            raise ValueError(f"an action is 7 finite numbers; got {action}")
        target = self._to_control(np.clip(action, self.action_space.low, self.action_space.high))
        start = self.data.ctrl.copy()
        for progress in np.arange(1, self.substeps + 1) / self.substeps:
            self.data.ctrl[:] = start + progress * (target - start)
            if self.episode.push:
                time = (self._num_steps + progress) * (CONTROL_HZ / self.control_hz)
                self.data.qfrc_applied[:6] = self.push.torques(self.model, self.data, time)
            mujoco.mj_step(self.model, self.data)
        self._num_steps += 1
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
        pictures = zip(self.image_keys, map(self.picture, self.cameras), strict=True)
        return {"state": self.state(), **dict(pictures)}

    def picture(self, camera: str) -> np.ndarray:
        """What the sensor makes of what a camera sees, uint8 (H, W, 3)."""
        return self.sensor(self.renderer.render(self.data, camera))

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
            "stacked": self._still_steps >= STILL_SECONDS * self.control_hz,
        }
        self.stages = {name: self.stages[name] or bool(now[name]) for name in STAGES}

    def _disturb(self) -> None:
        # Cameras and light draw from the stream that laid the cubes and that the expert's noise follows in, as they
        # always did; all else from streams of its own. A new one goes to the end.
        share, color, surfaces, hues, distractors, sensor, push = self.np_random.spawn(7)
        self.episode = episode = self.disturbances.of_one_episode(share)
        self.scene.move_cameras(episode.camera_shift, episode.camera_turn, self.np_random)
        self.scene.change_light(episode.light_jitter, self.np_random)
        self.scene.color_light(episode.light_color, color)
        self.scene.cover_surfaces(episode.surfaces, surfaces)
        self.scene.turn_hues(episode.hue_jitter, hues)
        lay_distractors(self.model, self.data, episode.distractors, self.layout, distractors)
        self.sensor = Sensor(episode.sensor, sensor)
        self.push = Push(episode.push / 1000, push)
        self.renderer.shadows = episode.shadows
