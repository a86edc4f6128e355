"""A scripted expert for gymnasium-robotics' FetchPickAndPlace; it runs in that environment's Python."""

import numpy as np

GAIN = 10.0  # of the error in metres to the action
HOVER = 0.06  # metres above the block
NEAR = 0.01
OPEN, CLOSED = 1.0, -1.0


def pick_and_place(env):
    """Over the block, down, closed, to the goal."""
    phase = {"name": "above", "closed": 0}

    def act(observation):
        hand, block, goal = observation["observation"][:3], observation["achieved_goal"], observation["desired_goal"]
        if phase["name"] == "above" and np.linalg.norm(hand - block - [0, 0, HOVER]) < NEAR:
            phase["name"] = "down"
        elif phase["name"] == "down" and np.linalg.norm(hand - block) < NEAR:
            phase["name"] = "close"
        elif phase["name"] == "close":
            phase["closed"] += 1
            if phase["closed"] > 3:
                phase["name"] = "carry"
        target = {"above": block + [0, 0, HOVER], "carry": hand + goal - block}.get(phase["name"], block)
        gripper = OPEN if phase["name"] in ("above", "down") else CLOSED
        return np.clip(np.r_[GAIN * (target - hand), gripper], -1, 1)

    return act
