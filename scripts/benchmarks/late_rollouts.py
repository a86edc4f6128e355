"""Rollouts of `delay.py`: the loop with a late policy, in simulated time, by each way to meet a late chunk."""

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dp_hf.errors import UserError

if TYPE_CHECKING:
    from delay import Delay
    from simulated_time import SteppedRobot

    from dp_hf.control.policy_settings import PolicySettings
    from dp_hf.control.report import Report
    from dp_hf.control.trajectory import Chunk, Trajectory

WAYS = ("synchronous", "naive", "hand-over", "ensemble", "prefix", "prefix ensemble")
WITHOUT_PREFIX = WAYS[:4]
ENSEMBLE = 0.01  # of Zhao et al. 2023, arXiv:2304.13705


@dataclass(frozen=True)
class Trial:
    """One rollout: of a pipeline, a way and a delay in milliseconds on the layout of a seed."""

    pipeline: str
    digest: str
    way: str
    delay: float
    seed: int


def require_possible(arguments: "Delay", pipeline: str, digest: str) -> None:
    """Raises `UserError` for a pipeline of another task, and for a way or a delay that it cannot meet."""
    from dp_hf.control.policy_settings import PolicySettings
    from dp_hf.simulation.policies import load_known
    from dp_hf.simulation.stacking import STACKING

    settings = PolicySettings.from_config(load_known(pipeline, digest).policy.config)
    STACKING.require_fitting(settings, pipeline)
    for way in arguments.ways:
        if way.startswith("prefix") and settings.max_prefix == 0:
            raise UserError(f"{pipeline} learned without a prefix: give --ways {' '.join(WITHOUT_PREFIX)}")
        for delay in (*arguments.delays, arguments.plot_delay):
            steps = steps_between_predictions(arguments, settings, way, delay)
            if steps > settings.horizon:
                raise UserError(
                    f"{pipeline}: {way} at {delay:g} ms takes {steps} actions from one prediction to the next, and a "
                    f"chunk has {settings.horizon}: give shorter --delays and --plot_delay, or fewer --n_action_steps"
                )


def steps_between_predictions(arguments: "Delay", settings: "PolicySettings", way: str, delay: float) -> int:
    """In actions; of the way that waits, with those in whose time it waits for a delay in ms."""
    if way.endswith("ensemble"):
        return 1
    longest = delay / 1000 * (1 + arguments.jitter) if way == "synchronous" else 0.0
    return (arguments.n_action_steps or settings.n_action_steps) + int(np.ceil(longest * settings.fps - 1e-9))


def drive(env: Any, trial: Trial, arguments: "Delay") -> dict[str, Any]:
    """Drives the arm through one trial, and says how it went."""
    from motion import motion_of

    robot, report = run_of(env, trial, arguments)
    return {
        "success": robot.finished is not None,
        "seconds": report.seconds,
        "chunks": report.chunks,
        "misses": report.misses,
        "starved": report.starved,
        **motion_of(
            np.array(robot.times), np.array(robot.commands), [robot.times[0] + border.time for border in report.borders]
        ),
    }


def run_of(env: Any, trial: Trial, arguments: "Delay") -> "tuple[SteppedRobot, Report]":
    """A run of the controller in simulated time: the robot, which knows its commands, and the report."""
    import torch
    from simulated_time import LateExecutor, SimulatedClock, SteppedRobot

    from dp_hf.arms.mycobot_280 import MYCOBOT_280, SIMULATED_MYCOBOT_280
    from dp_hf.control.controller import Controller
    from dp_hf.control.policy_settings import PolicySettings
    from dp_hf.simulation.policies import load_known
    from dp_hf.simulation.stacking import STACKING

    pipeline, delay = load_known(trial.pipeline, trial.digest), trial.delay / 1000
    settings = PolicySettings.from_config(pipeline.policy.config)
    clock, random = SimulatedClock(), np.random.default_rng(trial.seed)
    cameras = STACKING.cameras_of(settings.camera_names)
    robot = SteppedRobot(
        env, clock, trial.seed, cameras, arguments.camera_rate, arguments.image_age / 1000, arguments.reach_time / 1000
    )
    limits, real = SIMULATED_MYCOBOT_280.limits, MYCOBOT_280.limits
    if arguments.slow_arm:
        limits = replace(limits, velocity=real.velocity, acceleration=real.acceleration)
    executed = arguments.n_action_steps or settings.n_action_steps
    controller = Controller(
        robot,
        partial(pipeline, generator=torch.Generator().manual_seed(trial.seed)),
        limits,
        settings.fps,
        settings.n_obs_steps,
        steps_between_predictions(arguments, settings, trial.way, trial.delay),
        ENSEMBLE if trial.way.endswith("ensemble") else None,
        clock=clock,
        executor=LateExecutor(clock, lambda: delay * (1 + arguments.jitter * random.uniform(-1, 1))),
        max_prefix=settings.max_prefix if trial.way.startswith("prefix") else 0,
    )
    planner = controller.planner
    planner.hand_over = {"synchronous": partial(from_its_beginning, executed), "naive": as_it_is}.get(
        trial.way, planner.hand_over
    )
    return robot, controller.run(arguments.duration)


def from_its_beginning(
    executed: int,
    chunk: "Chunk",
    step: float,
    position: np.ndarray,
    velocity: np.ndarray,
    sent_at: float,
    now: float,
) -> "Trajectory":
    """All actions that are executed, however late: the arm has waited for them. The first is due in a step."""
    from dp_hf.control.trajectory import smooth

    due = now + step * np.arange(executed + 1)
    return smooth(due, np.vstack([position, chunk.actions[:executed]]), velocity)


def as_it_is(
    chunk: "Chunk", step: float, position: np.ndarray, velocity: np.ndarray, sent_at: float, now: float
) -> "Trajectory":
    """The chunk by its own times, wherever the arm is."""
    from dp_hf.control.trajectory import smooth

    return smooth(chunk.due, chunk.actions, (chunk.actions[1] - chunk.actions[0]) / step)
