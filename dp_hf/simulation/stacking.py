"""The task that comes with dp_hf: the myCobot 280 puts a yellow cube on an orange one."""

from typing import Any

import gymnasium

from dp_hf.arms.mycobot_280 import SIMULATED_MYCOBOT_280
from dp_hf.simulation.environment import CONTROL_HZ
from dp_hf.simulation.expert import expert_policy
from dp_hf.simulation.headless import ENVIRONMENT_ID
from dp_hf.simulation.task import Task


def make_environment(**options: Any) -> gymnasium.Env:
    """The registered environment with its step limit; `options` as in `CubeStackingEnv`."""
    return gymnasium.make(ENVIRONMENT_ID, disable_env_checker=True, **options)


STACKING = Task(
    name="cube_stacking",
    state=SIMULATED_MYCOBOT_280.quantities,
    action=SIMULATED_MYCOBOT_280.quantities,
    cameras=("front",),
    fps=CONTROL_HZ,
    make_environment=make_environment,
    make_expert=expert_policy,
)
