"""Where a run begins: with fresh measurements, and an arm that is where it may start."""

from collections.abc import Callable

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.control.clock import Clock
from dp_hf.control.robot import Robot, measure, why_unheard
from dp_hf.control.watchdog import Watchdog
from dp_hf.errors import UserError

START_TIMEOUT = 10.0


def wait_for_start(
    robot: Robot,
    limits: SafetyLimits,
    watchdog: Watchdog,
    clock: Clock,
    period: float,
    why_stopped: Callable[[], str | None],
) -> tuple[float, np.ndarray]:
    """Waits for measurements, asking every `period` s; returns when and where (n,) the arm is.

    Raises:
        UserError: none within 10 s or before somebody stopped the run, or the arm is not where a run may start.
    """
    give_up = clock.now() + START_TIMEOUT
    while True:
        now = clock.now()
        image, state = measure(robot)
        reason = robot.fault or why_unheard(robot) or watchdog.check(now, image, state)
        if reason is None and state is not None:
            break
        if now > give_up or why_stopped() is not None:
            raise UserError(f"cannot start, {reason} ({why_stopped() or f'waited {START_TIMEOUT:g} s'})")
        clock.sleep_until(now + period)
    _require_start_pose(limits, state.value)
    return now, state.value


def _require_start_pose(limits: SafetyLimits, measured: np.ndarray) -> None:
    nearest = np.clip(measured, limits.lowest, limits.highest)
    wanted = nearest if limits.start_pose is None else limits.start_pose
    for name, value, target, tolerance in zip(
        limits.quantities.names, measured, wanted, limits.start_tolerance, strict=True
    ):
        if abs(value - target) > tolerance:
            raise UserError(
                f"cannot start: {name} is at {round(float(value), 3)}, more than {tolerance:g} from "
                f"{round(float(target), 3)}; move the arm there, or change start_pose or start_tolerance in the "
                "limits file"
            )
