"""The control loop in real time: how often it stacks in the simulator, and whether it keeps its rate.

python scripts/benchmarks/real_time.py --pipeline outputs/stack/final --episodes 50
"""

import sys
from dataclasses import dataclass

from tqdm import tqdm

from dp_hf.arms.matching import require_same
from dp_hf.arms.mycobot_280 import SIMULATED_MYCOBOT_280
from dp_hf.cli.arguments import parse, run
from dp_hf.cli.policy_arguments import PolicyArguments
from dp_hf.cli.run_policy import simulated_robot


@dataclass(kw_only=True)
class RealTime(PolicyArguments):
    """Drives the simulated arm with the loop of `dp-hf run-policy`, in real time, on layouts of no demonstration."""

    pipeline: str
    """pipeline folder or Hub repository"""
    episodes: int = 50
    """layouts, the first of `dp-hf evaluate`"""
    duration: float = 15.0
    """seconds after which an episode has failed"""
    n_action_steps: int | None = None
    """actions from one prediction to the next; default what the policy does"""


def main() -> int:
    return run(drive, parse(RealTime, None, "real_time.py"))


def drive(arguments: RealTime) -> None:
    import torch

    from dp_hf.control.clock import punctual_interpreter
    from dp_hf.control.controller import Controller
    from dp_hf.control.warm_up import warm_up
    from dp_hf.simulation.layouts import EVALUATION, layout_seeds
    from dp_hf.success.rates import wilson

    # The simulator renders beside the policy.
    torch.set_num_threads(1)
    policy, settings, _ = arguments.load_policy(arguments.pipeline)
    arm = SIMULATED_MYCOBOT_280
    require_same(settings, arm.quantities, arguments.pipeline, "the simulated arm")
    warm_up(policy, settings)
    execution = settings.execution(arguments.n_action_steps)
    stacked, reports = 0, []
    for seed in tqdm(layout_seeds(EVALUATION, 0, arguments.episodes), "episodes"):
        robot = simulated_robot(settings, seed)
        try:
            controller = Controller(robot, policy, arm.limits, settings.fps, settings.n_obs_steps, *execution)
            with punctual_interpreter():
                reports.append(controller.run(arguments.duration))
        finally:
            robot.close()
        stacked += robot.finished is not None
    print(f"stacked {wilson(stacked, arguments.episodes)}")
    chunks, misses, holds, commands, late = (
        sum(getattr(report, name) for report in reports)
        for name in ("chunks", "misses", "holds", "commands", "overruns")
    )
    print(f"{chunks} chunks, {misses} misses, {holds} holds; {commands} commands, {late} late")


if __name__ == "__main__":
    sys.exit(main())
