"""Meta-World's tasks (arXiv:1910.10897) for `dp-hf --task_file`, by the package metaworld, which pins mujoco 3.3.0.

It runs in a Python of its own, where dp_hf is not installed.
"""

import mujoco
import numpy as np
from gymnasium import Env
from gymnasium.spaces import Box
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP
from small_pictures import COSTLY, halved, renderer_of

CAMERA, PLACE = "corner2", (0.6, 0.295, 0.8)  # where DP3 (arXiv:2403.03954) looks from
# A frame costs 26 ms on a core in place of 410 without them.
OFF = (*COSTLY, mujoco.mjtRndFlag.mjRND_SKYBOX)


class MetaWorld(Env):
    """A task whose layout follows the seed; an observation has the task's `numbers` and a picture of each camera.

    Args:
        task: such as "drawer-open".
        size: of the pictures, pixels; they are drawn twice as large and halved.
        cameras: of Meta-World's: corner2, and on the hand behindGripper and gripperPOV, among others.
        hold: of the simulation's 80 steps a second, how many an action is held for.
    """

    def __init__(self, task, size=96, cameras=(CAMERA,), hold=1):
        self.name = f"{task}-v3"
        env = self.env = ALL_V3_ENVIRONMENTS[self.name]()
        # The layout is frozen unless told otherwise, and the observation hides the goal, which the expert reads.
        env._set_task_called, env._freeze_rand_vec, env.seeded_rand_vec = True, False, True
        env._partially_observable = False
        del env.sawyer_observation_space
        self.observation_space = Box(-np.inf, np.inf, (39,))
        self.action_space = Box(-1, 1, (4,), np.float32)
        env.model.cam_pos[env.model.camera(CAMERA).id] = PLACE
        self.cameras, self.hold = cameras, hold
        self.metadata = {"render_modes": [], "render_fps": 80 / hold}
        self.renderer = renderer_of(env.model, size, size, OFF)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.env.seed(seed)
        numbers, info = self.env.reset()
        return self._observation(numbers), info

    def step(self, action):
        # Meta-World ends an episode at 500 steps with an error after it, and the task file's limit is less.
        steps = [self.env.step(np.clip(action, -1, 1)) for _ in range(self.hold)]
        numbers, reward, terminated, truncated, info = steps[-1]
        success = max(info["success"] for *_, info in steps)
        return self._observation(numbers), reward, terminated, truncated, {**info, "success": success}

    def _observation(self, numbers):
        return {"numbers": numbers, "pixels": {camera: self._picture(camera) for camera in self.cameras}}

    def _picture(self, camera):
        self.renderer.update_scene(self.env.data, camera)
        picture = halved(self.renderer.render())
        return picture[::-1, ::-1] if camera == CAMERA else picture  # it hangs upside down

    def close(self):
        self.renderer.close()


def expert(env):
    """Meta-World's own scripted expert."""
    policy = ENV_POLICY_MAP[env.name]()
    return lambda observation: np.clip(policy.get_action(observation["numbers"]), -1, 1)
