"""The control loop: commands at a steady rate, and a safe answer to everything that fails."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.quantities import amount
from dp_hf.control.clock import Clock, Grid, MonotonicClock
from dp_hf.control.motion_limiter import MotionLimiter
from dp_hf.control.planner import Planner, Policy
from dp_hf.control.report import Report
from dp_hf.control.robot import Frame, Robot, Stamped
from dp_hf.control.watchdog import Watchdog
from dp_hf.errors import UserError

logger = logging.getLogger(__name__)

# After so many periods without a command the arm has stopped by itself.
STALL_PERIODS = 5
START_TIMEOUT = 10.0


@dataclass(frozen=True)
class Tick:
    """One turn of the loop, for observers: what was measured, the command (n,) sent, and why the arm is held."""

    time: float
    image: Stamped[Frame] | None
    state: Stamped[np.ndarray] | None
    command: np.ndarray
    hold_reason: str | None


class Controller:
    """Drives a robot with a policy.

    At every tick of the robot's `command_rate` a command goes out: the point of the policy's chunk that is due now,
    as near as the limits allow. While the watchdog objects, and from an emergency stop until `reset`, the arm brakes
    and then stands. When a run ends, however it ends, the arm brakes first.

    Args:
        robot: the arm.
        policy: see `planner.Policy`; it runs in a thread of its own.
        limits: what the arm may do, number by number of `robot.quantities`.
        rate: actions per second of the policy's chunks.
        n_obs_steps: observations that the policy sees at once, `1 / rate` s apart.
        n_action_steps: actions from one inference to the next.
        temporal_ensemble: see `planner.Planner`.
        observers: called with every `Tick`; they must be quick.
        heartbeat: seconds between reports in the log.
        clock, executor: in place of the computer's clock and a thread.

    Attributes:
        report: how the run has gone so far.
        observers: may be added to.
        emergency: why the arm was stopped, until `reset`.

    Raises:
        UserError: the robot takes fewer commands than `rate`, or the limits are another arm's.
    """

    def __init__(
        self,
        robot: Robot,
        policy: Policy,
        limits: SafetyLimits,
        rate: float = 10.0,
        n_obs_steps: int = 1,
        n_action_steps: int = 1,
        temporal_ensemble: float | None = None,
        observers: Sequence[Callable[[Tick], None]] = (),
        heartbeat: float = 10.0,
        clock: Clock | None = None,
        executor: Executor | None = None,
    ):
        if not 0 < rate <= robot.command_rate:
            raise UserError(f"rate must be above 0 and at most the robot's {robot.command_rate:g} Hz, got {rate}")
        if difference := robot.quantities.difference(limits.quantities):
            raise UserError(f"the limits are of another arm, which {difference}")
        self.robot = robot
        self.limits = limits
        self.period = 1 / robot.command_rate
        self.observers = list(observers)
        self.heartbeat = heartbeat
        self.clock = clock or MonotonicClock()
        self.executor = executor or ThreadPoolExecutor(max_workers=1, thread_name_prefix="policy")
        self.report = Report()
        self.watchdog = Watchdog(limits)
        self.planner = Planner(
            policy,
            limits,
            rate,
            n_obs_steps,
            n_action_steps,
            temporal_ensemble,
            self.period / 2,
            self.executor,
            self.report,
        )
        self._sent_at = -np.inf
        self._hold_reason: str | None = None
        self.emergency: str | None = None
        self._stop_reason: str | None = None

    def stop(self, reason: str) -> None:
        """Ends the run after braking; callable from any thread and from a signal handler."""
        self._stop_reason = self._stop_reason or reason

    def emergency_stop(self, reason: str) -> None:
        """Brakes and holds until `reset`, whatever arrives meanwhile; callable from any thread."""
        self.emergency = self.emergency or f"emergency stop: {reason}"

    def reset(self) -> None:
        """Releases an emergency stop; the arm moves again on fresh measurements and a fresh chunk."""
        self.emergency = None

    def run(self, duration: float | None = None) -> Report:
        """Drives the arm for `duration` seconds, or until `stop`.

        Raises:
            UserError: no measurements within 10 s, or the arm is not where a run may start.
            Exception: whatever the policy or the robot raised; the arm brakes before.
        """
        limiter = self._start()
        self._started_at = self.clock.now()
        grid = Grid(self.period, first=self._started_at)
        next_heartbeat = self._started_at + self.heartbeat
        try:
            while self._stop_reason is None and (duration is None or self.report.seconds < duration):
                now = self._tick(limiter, grid)
                if now >= next_heartbeat:
                    logger.info("%s", self.report)
                    next_heartbeat += self.heartbeat
        finally:
            self._come_to_rest(limiter, grid)
            self.executor.shutdown(wait=False, cancel_futures=True)
        logger.info("stopped: %s", self._stop_reason or "the time is over")
        return self.report

    def _start(self) -> MotionLimiter:
        """Waits for measurements, and starts where the arm is."""
        give_up = self.clock.now() + START_TIMEOUT
        while True:
            now, image, state = self.clock.now(), self.robot.read_image(), self.robot.read_state()
            reason = self.robot.fault or self.watchdog.check(now, image, state)
            if reason is None and state is not None:
                break
            if now > give_up or self._stop_reason is not None:
                waited = self._stop_reason or f"waited {START_TIMEOUT:g} s"
                raise UserError(f"cannot start, {reason} ({waited})")
            self.clock.sleep_until(now + self.period)
        limits, measured = self.limits, state.value
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
        self._sent_at = now
        return MotionLimiter(limits, nearest, self.period)

    def _tick(self, limiter: MotionLimiter, grid: Grid) -> float:
        now = self._wait(grid)
        image, state = self.robot.read_image(), self.robot.read_state()
        if now - self._sent_at > STALL_PERIODS * self.period:
            limiter.rest()
        away = None if state is None else self._away_from_command(limiter, state.value)
        self._update_hold(self.watchdog.check(now, image, state) or away)
        observed_at = None
        if self._hold_reason or image is None or state is None:
            self.planner.forget(now)
            command = limiter.brake()
        else:
            observed_at = self.planner.take_over(now, limiter.position, self._sent_at, state.value)
            self.planner.observe(now, image, state)
            command = self._follow(limiter, now, state.value)
        if away is None:
            self._send(command, now)
        if observed_at is not None:
            self.report.image_to_command.add(self.clock.now() - observed_at)
        for observer in self.observers:
            observer(Tick(now, image, state, command, self._hold_reason))
        return now

    def _wait(self, grid: Grid) -> float:
        self.clock.sleep_until(grid.next)
        now = self.clock.now()
        grid.advance(now)
        self.report.overruns = grid.num_late
        self.report.seconds = now + self.period - self._started_at
        return now

    def _away_from_command(self, limiter: MotionLimiter, measured: np.ndarray) -> str | None:
        """Why no command may be sent: the arm has been pushed, or switched off, and would leap back to its command."""
        distance = np.abs(limiter.position - measured)
        allowed = self.limits.max_jump + self.limits.start_tolerance
        if (distance > allowed).any():
            worst, quantities = int(np.argmax(distance / allowed)), self.limits.quantities
            away = amount(distance[worst], quantities.units[worst])
            return f"{quantities.names[worst]} is {away} away from its command"
        return None

    def _update_hold(self, alarm: str | None) -> None:
        if fault := self.robot.fault:
            self.emergency_stop(fault)
        if finished := self.robot.finished:
            self.stop(finished)
        reason = self.emergency or alarm
        if reason and not self._hold_reason:
            self.report.holds += 1
            logger.warning("holding: %s", reason)
        elif self._hold_reason and not reason:
            logger.warning("moving again")
        self._hold_reason = reason

    def _follow(self, limiter: MotionLimiter, now: float, measured: np.ndarray) -> np.ndarray:
        trajectory = self.planner.trajectory
        if trajectory is None:
            return limiter.brake()
        leash = measured - self.limits.max_jump, measured + self.limits.max_jump
        wish = trajectory.at(now)
        wish_velocity = (wish - trajectory.at(now - self.period)) / self.period
        low, high = trajectory.range_from(now)
        return limiter.follow(wish, wish_velocity, np.clip(low, *leash), np.clip(high, *leash))

    def _send(self, command: np.ndarray, now: float) -> None:
        self.robot.send_command(command)
        self._sent_at = now
        self.report.commands += 1

    def _come_to_rest(self, limiter: MotionLimiter, grid: Grid) -> None:
        try:
            while not limiter.at_rest:
                now = self._wait(grid)
                self._send(limiter.brake(), now)
        finally:
            self.robot.hold()
