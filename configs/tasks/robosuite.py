"""robosuite's Lift and Stack (arXiv:2009.12293) for `dp-hf --task_file`, with scripted experts.

It runs in a Python of its own, where dp_hf is not installed.
"""

import gymnasium
import mujoco
import numpy as np
import robosuite
from small_pictures import halved, renderer_of

FPS = 20
OPEN, CLOSED = -1, 1
GAINS = (20.0, 2.0)  # of an error in metres, and in radians, to the action
NEAR = 0.01  # metres
LAST = np.inf  # steps of a phase that does not end


class Robosuite(gymnasium.Env):
    """A task of a Panda that moves its hand by differences of its pose, whose layout follows the seed.

    Args:
        task: "Lift" or "Stack".
        size: of the picture, pixels; it is drawn twice as large and halved.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012
    render_mode = "rgb_array"

    def __init__(self, task, size=96):
        # Lift's cube has a size of its own in every process unless a seed is given here.
        self.env = robosuite.make(
            task, robots="Panda", control_freq=FPS, use_camera_obs=False, has_offscreen_renderer=False,
            hard_reset=False, ignore_done=True, reward_shaping=True, seed=0,
        )  # fmt: skip
        self.action_space = gymnasium.spaces.Box(-1, 1, (7,), np.float32)
        model = self.env.sim.model._model
        self.renderer = renderer_of(model, size, size)
        self.shown = mujoco.MjvOption()
        self.shown.geomgroup[0] = 0  # what collides

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:  # its own reset takes none; cubes and arm draw from this generator
            self.env.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        return dict(self.env.reset()), {}

    def step(self, action):
        observation, reward, _, info = self.env.step(np.clip(action, -1, 1))
        return dict(observation), reward, False, False, info

    def render(self):
        self.renderer.update_scene(self.env.sim.data._data, "agentview", self.shown)
        return halved(self.renderer.render())

    def close(self):
        self.renderer.close()


def lift(env):
    """Over the cube, down, closed, up."""
    return _script(env, "cube", [*_grasp("cube"), (_up("cube"), CLOSED, LAST)])


def stack(env):
    """The red cube on the green one."""
    over, on = _to("cubeA", "cubeB", 0.1), _to("cubeA", "cubeB", 0.047)
    carried = [(_up("cubeA"), CLOSED, 1), (over, CLOSED, 1), (on, CLOSED, 5), (on, OPEN, LAST)]
    return _script(env, "cubeA", [*_grasp("cubeA"), *carried])


def _grasp(cube):
    return [
        (_to("robot0_eef", cube, 0.08), OPEN, 5), (_to("robot0_eef", cube, 0), OPEN, 1),
        (_to("robot0_eef", cube, 0), CLOSED, 8),
    ]  # fmt: skip


def _up(cube):
    return lambda seen: np.array([0, 0, 0.92 - seen[f"{cube}_pos"][2]])


def _to(what, where, above):
    """How far `what` is from so many metres above `where`, as a function of the observation."""
    return lambda seen: seen[f"{where}_pos"] + [0, 0, above] - seen[f"{what}_pos"]


def _script(env, cube, phases):
    """An expert, its jaws along the cube, that is in each phase until it is near, and for so many steps at least.

    Args:
        phases: how far the hand is to move as a function of the observation, gripper, steps.
    """
    site = env.env.robots[0].eef_site_id["right"]
    phase, steps = 0, 0

    def act(seen):
        nonlocal phase, steps
        hand = env.env.sim.data.site_xmat[site].reshape(3, 3)
        z, w = seen[f"{cube}_quat"][2:]
        ahead = 2 * np.arctan2(z, w) - np.arctan2(hand[1, 0], hand[0, 0])
        turn = np.cross(hand[:, 2], [0, 0, -1]) + [0, 0, (ahead + np.pi / 4) % (np.pi / 2) - np.pi / 4]
        far = phases[phase][0](seen)
        if np.linalg.norm(far) < NEAR and steps >= phases[phase][2]:
            phase, steps = phase + 1, 0
            far = phases[phase][0](seen)
        steps += 1
        return np.clip(np.r_[GAINS[0] * far, GAINS[1] * turn, phases[phase][1]], -1, 1)

    return act
