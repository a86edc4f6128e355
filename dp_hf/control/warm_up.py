"""A policy's first calls, which take longer than all that follow."""

import time

import numpy as np

from dp_hf.cameras import as_frame
from dp_hf.control.planner import Policy
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.errors import failing_as
from dp_hf.pipelines.execution import predict_chunk

NUM_CALLS = 3


def warm_up(policy: Policy, settings: PolicySettings) -> float:
    """Calls the policy on black images until it takes no longer than before; returns the seconds of a call.

    Raises:
        UserError: the policy's, or its actions are not what its settings say.
        RunFailed: whatever else it raised.
    """
    black = np.zeros((*settings.image_size, 3), np.uint8)
    frame = as_frame(dict.fromkeys(settings.camera_names, black))
    state = np.zeros((1, settings.n_obs_steps, settings.state_dim))
    seconds = []
    for _ in range(NUM_CALLS):
        start = time.perf_counter()
        with failing_as("the policy"):
            predict_chunk(policy, [(frame, each) for each in state[0]], settings.action_dim)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
