"""A hand goes to a coloured spot on a table."""

import gymnasium
import numpy as np


class Reach(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gymnasium.spaces.Dict(hand=gymnasium.spaces.Box(-1, 1, (2,)))
    action_space = gymnasium.spaces.Box(-1, 1, (2,))

    def __init__(self, render_mode="rgb_array"):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.hand, self.goal = np.zeros(2), self.np_random.uniform(-0.8, 0.8, 2)
        return {"hand": self.hand.copy()}, {"distance": self.distance}

    def step(self, action):
        self.hand = np.clip(self.hand + np.clip(0.1 * np.asarray(action), -0.1, 0.1), -1, 1)
        return {"hand": self.hand.copy()}, -self.distance, False, False, {"distance": self.distance}

    @property
    def distance(self):
        return float(np.linalg.norm(self.hand - self.goal))

    def render(self):
        picture = np.full((48, 48, 3), 200, np.uint8)
        for place, colour in ((self.goal, (230, 120, 0)), (self.hand, (0, 60, 200))):
            row, column = (24 + 22 * place).astype(int)
            picture[max(row - 3, 0) : row + 3, max(column - 3, 0) : column + 3] = colour
        return picture


def expert(env):
    return lambda observation: np.clip((env.unwrapped.goal - observation["hand"]) / 0.1, -1, 1)
