"""An alarm for the tiny pipelines of the tests."""

import numpy as np

from dp_hf.alarm.limits import EVERY, LIMITED, AlarmLimits, Calibration
from dp_hf.alarm.reference import Reference
from dp_hf.pipelines.execution import choose_execution

FRAMES = 40


def reference_for(config, feature_dim=64, seed=0):
    """Random frames of four demonstrations."""
    rng = np.random.default_rng(seed)
    state_dim = config.state_dim if config.use_proprioception else 0
    return Reference.of(
        np.arange(FRAMES),
        rng.normal(size=(FRAMES, feature_dim)),
        rng.normal(size=(FRAMES, state_dim)),
        rng.normal(size=(FRAMES, config.action_dim)),
        np.repeat(np.arange(4), FRAMES // 4),
    )


def limits_for(config, weights="", limit=1e6, feature_dim=64, **limits):
    """Limits that nothing exceeds, but for those that are given."""
    execution = choose_execution(config)
    calibration = Calibration(weights, 0.05, 40, 41, execution.n_action_steps, execution.temporal_ensemble)
    every = dict.fromkeys(EVERY, float(limit))
    given = {**dict.fromkeys(LIMITED, float(limit)), **limits}
    return AlarmLimits(given, every, dict.fromkeys(every, 1.0), calibration, reference_for(config, feature_dim))
