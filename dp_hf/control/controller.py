"""The control loop: commands at a steady rate, and a safe answer to everything that fails."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.motion_limiter import MotionLimiter
from dp_hf.control.clock import Clock, Grid, MonotonicClock
from dp_hf.control.holding import Holding
from dp_hf.control.planner import Inference, Planner, Policy
from dp_hf.control.policy_thread import PolicyThread
from dp_hf.control.report import Border, Report
from dp_hf.control.retry import Retry
from dp_hf.control.robot import Frame, Robot, Stamped, measure, person_of, reach_time, require_robot
from dp_hf.control.start import wait_for_start
from dp_hf.control.takeover import Doubt, Takeover
from dp_hf.control.tick import Tick
from dp_hf.control.trajectory import Trajectory, pursue
from dp_hf.episodes.format import Actor
from dp_hf.errors import RunFailed, UserError, failure

logger = logging.getLogger(__name__)

# After so many periods without a command the arm has stopped by itself.
STALL_PERIODS = 5
# Part of a period for which a command waits for a policy that is quick enough to tell it.
PATIENCE = 0.5
# Seconds without actions after which waiting for the policy is a hold, and after which it counts as hung.
MAX_OVERDUE = 0.5
INFERENCE_TIMEOUT = 10.0
# Seconds for which the end of a run waits for the inference under way.
LAST_INFERENCE = 2.0


class Controller:
    """Drives a robot with a policy.

    At every tick of the robot's `command_rate` a command goes out: the point of the policy's chunk that is due now,
    as near as the limits allow. While the watchdog objects, while nobody hears the commands, and from an emergency stop
    until `reset`, the arm brakes and then stands; where it is not at its command, no more commands are sent then. While
    the policy is overdue, the arm stands at the end of what it knew. A person who is called acts in the policy's place
    until they are dismissed, or an emergency stop dismisses them, see `Takeover`. When a run ends, however it ends, the
    arm brakes first.

    Args:
        robot: the arm.
        policy: see `planner.Policy`; it runs in a thread of its own, and one that hangs ends the run.
        limits: what the arm may do, number by number of `robot.quantities`.
        rate: actions per second of the policy's chunks.
        n_obs_steps: observations that the policy sees at once, `1 / rate` s apart.
        n_action_steps: actions from one inference to the next.
        temporal_ensemble, max_prefix: see `planner.Planner`.
        observers: called with every `Tick`; they must be quick.
        heartbeat: seconds between reports in the log.
        clock, executor: in place of the computer's clock and a thread.
        doubt: says when the policy does not know what it does; the arm is then held until `reset`, or until a person
            has had it.
        retries: so often it goes back to where the run began instead, see `Retry`, and the policy tries again.

    Attributes:
        report: how the run has gone so far.
        observers: may be added to.
        emergency: why the arm was stopped, until `reset`.
        takeover: whose turn it is.
        holding: why the arm is held, if it is.

    Raises:
        UserError: the robot lacks a method, takes fewer commands than `rate`, or the limits are another arm's.
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
        max_prefix: int = 0,
        observers: Sequence[Callable[[Tick], None]] = (),
        heartbeat: float = 10.0,
        clock: Clock | None = None,
        executor: Executor | None = None,
        doubt: Doubt | None = None,
        retries: int = 0,
    ):
        require_robot(robot)
        if not 0 < rate <= robot.command_rate < np.inf:
            raise UserError(f"rate must be above 0 and at most the robot's {robot.command_rate:g} Hz, got {rate}")
        if difference := robot.quantities.difference(limits.quantities):
            raise UserError(f"the limits are of another arm, which {difference}")
        self.robot = robot
        self.limits = limits
        self.period = 1 / robot.command_rate
        self.observers = list(observers)
        self.heartbeat = heartbeat
        self.clock = clock or MonotonicClock()
        self.executor = executor or PolicyThread()
        self.report = Report()
        self.holding = Holding(robot, limits, self.report)
        self.takeover = Takeover(person_of(robot), limits, doubt)
        self.retries = retries
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
            self.clock,
            reach_time(robot),
            max_prefix,
        )
        self._sent_at = -np.inf
        self.emergency: str | None = None
        self._stop_reason: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why the run, as far as it went, is none to be content with: the arm is held, or nothing could be executed."""
        nothing = "no actions of the policy could be executed" if self.report.chunks == 0 else None
        return self.emergency or self.holding.reason or nothing

    def stop(self, reason: str) -> None:
        """Ends the run after braking; callable from any thread and from a signal handler."""
        self._stop_reason = self._stop_reason or reason

    def emergency_stop(self, reason: str) -> None:
        """Brakes and holds until `reset`, whatever arrives meanwhile; callable from any thread."""
        self.emergency = self.emergency or f"emergency stop: {reason}"

    def reset(self) -> None:
        """Releases an emergency stop, and gives a joint that did not follow, and a policy that did not know, another
        chance.

        The arm moves again on fresh measurements and a fresh chunk.
        """
        self.emergency = None
        self.takeover.trust()
        self.holding.forgive()

    def call_person(self) -> None:
        """Hands the arm to the robot's person once it stands, until `dismiss_person`; callable from any thread.

        Raises:
            UserError: nobody can take this arm.
        """
        self.takeover.call()

    def dismiss_person(self) -> None:
        """Gives the arm back to the policy; callable from any thread."""
        self.takeover.dismiss()

    def toggle_person(self) -> None:
        """Calls the person, or dismisses them: what a key does. Says where nobody can take the arm."""
        self.takeover.toggle()

    def run(self, duration: float | None = None) -> Report:
        """Drives the arm for `duration` seconds, or until `stop`.

        Raises:
            UserError: no measurements within 10 s, the arm is not where a run may start, or the policy's own.
            RunFailed: the policy hangs, or whatever else policy, robot or an observer raised; the arm brakes before.
        """
        if duration is not None and not duration > 0:
            raise UserError(f"duration is seconds above 0, got {duration}")
        try:
            limiter = self._start()
        except Exception as error:
            if _is_final(error):
                raise
            raise failure("the start", error) from error
        self._started_at = self.clock.now()
        grid = Grid(self.period, first=self._started_at)
        next_heartbeat = self._started_at + self.heartbeat
        ended_by: BaseException | None = None
        try:
            while self._stop_reason is None and (duration is None or self.report.seconds < duration):
                now = self._tick(limiter, grid)
                if now >= next_heartbeat:
                    logger.info("%s", self.report)
                    next_heartbeat += self.heartbeat
        except BaseException as error:
            ended_by = error
        try:
            self._come_to_rest(limiter, grid)
        except Exception as error:  # of the robot, which may have been lost before
            ended_by = ended_by or error
        self._end_policy()
        if ended_by is not None:
            raise ended_by if _is_final(ended_by) else failure("the run", ended_by) from ended_by
        logger.info("stopped: %s", self._stop_reason or "the time is over")
        return self.report

    def _start(self) -> MotionLimiter:
        """Starts where the arm is."""
        self._sent_at, measured = wait_for_start(
            self.robot, self.limits, self.holding.watchdog, self.clock, self.period, lambda: self._stop_reason
        )
        self._retry = Retry(self.limits, measured, self.retries)
        return MotionLimiter(self.limits, measured, self.period)

    def _tick(self, limiter: MotionLimiter, grid: Grid) -> float:
        now = self._wait(grid)
        image, state = measure(self.robot)
        if now - self._sent_at > STALL_PERIODS * self.period:
            limiter.rest()
        if self.planner.waited(now) > INFERENCE_TIMEOUT:
            raise RunFailed(f"the policy has not answered for {INFERENCE_TIMEOUT:g} s")
        reason, is_away = self.holding.objections(now, image, state, limiter.position, self._must_stop())
        back = self._way_back(now, limiter, reason)
        reason = reason or self.takeover.doubted
        actor = self._who_acts(now, reason, limiter, state)
        if self.takeover.is_guided:
            return self._be_guided(now, image, state, limiter, actor)
        is_withheld = is_away and limiter.at_rest
        # Where nothing was sent for longer, as while a person guided the arm, it is there now.
        motion = limiter.position, limiter.velocity, max(self._sent_at, now - self.period)
        taken = None
        if actor == "nobody" or image is None or state is None:
            self.planner.forget(now)
            command = limiter.brake() if state is None else pursue(limiter, back, now, state.value)
        elif actor == "person":
            self.planner.forget(now)
            way = self.takeover.way(now, *motion, self.period)
            command = pursue(limiter, way, now, state.value)
        else:
            taken = self.planner.take_over(now, *motion, state.value)
            self.planner.observe(now, image, state)
            if self.planner.await_quick_answer(PATIENCE * self.period):
                newer = self.planner.take_over(self.clock.now(), *motion, state.value)
                taken = taken if newer is None else newer
            command = pursue(limiter, self.planner.trajectory, now, state.value)
            if (overdue := self.planner.overdue(now)) > MAX_OVERDUE:
                reason = f"the policy has given no actions for {overdue:.1f} s"
        self.holding.say(reason)
        if not is_withheld:
            self._send(command, limiter, now)
        if taken is not None:
            self.report.image_to_command.add(self.clock.now() - taken.observed_at)
            self._note_border(taken, now, *motion[:2])
        self._tell(Tick(now, image, state, command, self.holding.reason, actor))
        return now

    def _tell(self, tick: Tick) -> None:
        for observer in self.observers:
            observer(tick)

    def _who_acts(
        self, now: float, reason: str | None, limiter: MotionLimiter, state: Stamped[np.ndarray] | None
    ) -> Actor:
        if self.emergency:
            self.takeover.dismiss()
        measured = state.value if state is not None and self.holding.watchdog.is_fresh(now, state) else None
        actor = self.takeover.next(now, reason is not None, limiter.at_rest, measured)
        self.report.takeovers = self.takeover.count
        return actor

    def _be_guided(
        self,
        now: float,
        image: Stamped[Frame] | None,
        state: Stamped[np.ndarray] | None,
        limiter: MotionLimiter,
        actor: Actor,
    ) -> float:
        """A tick in which nothing is sent: the next command goes on from where the arm is."""
        self.planner.forget(now)
        self.holding.forgive()
        if state is not None and self.holding.watchdog.is_fresh(now, state):
            limiter.restart(state.value)
        self.holding.say(self.emergency)
        self._tell(Tick(now, image, state, None, self.holding.reason, actor))
        return now

    def _wait(self, grid: Grid) -> float:
        self.clock.sleep_until(grid.next)
        now = self.clock.now()
        grid.advance(now)
        self.report.overruns = grid.num_late
        self.report.seconds = now + self.period - self._started_at
        return now

    def _must_stop(self) -> str | None:
        """Why the arm was stopped, by anybody or just now by a fault of the robot; the run ends once it is finished."""
        if fault := self.robot.fault:
            self.emergency_stop(fault)
        if finished := self.robot.finished:
            self.stop(finished)
        return self.emergency

    def _way_back(self, now: float, limiter: MotionLimiter, reason: str | None) -> Trajectory | None:
        """Of an arm whose policy is doubted, while nothing else is a `reason` to hold; trusts it where it ends."""
        if reason is not None or self.takeover.doubted is None:
            self._retry.forget()
        elif self._retry.is_over(now, limiter.at_rest):
            self.report.retries = self._retry.count
            self.takeover.trust()
        else:
            return self._retry.way(now, limiter.position, limiter.at_rest)
        return None

    def _note_border(self, taken: Inference, now: float, position: np.ndarray, velocity: np.ndarray) -> None:
        """Keeps what the chunk that takes over `now` asked of an arm with this last command and its velocity."""
        trajectory = self.planner.trajectory
        assert trajectory is not None, "of the chunk"
        asked = (trajectory.at(now) - position) / self.period
        jump = float((np.abs(asked - velocity) / self.limits.velocity).max())
        latency = now - taken.submitted_at
        self.report.borders.append(Border(now - self._started_at, taken.predicted, latency, taken.num_committed, jump))

    def _send(self, command: np.ndarray, limiter: MotionLimiter, now: float) -> None:
        try:
            self.robot.send_command(command)
        except BaseException:
            limiter.withdraw()
            raise
        self._sent_at = now
        self.report.commands += 1

    def _come_to_rest(self, limiter: MotionLimiter, grid: Grid) -> None:
        try:
            self.takeover.end()
            while not limiter.at_rest:
                now = self._wait(grid)
                self._send(limiter.brake(), limiter, now)
        finally:
            self.robot.hold()

    def _end_policy(self) -> None:
        if isinstance(self.executor, PolicyThread):
            self.executor.shutdown(timeout=LAST_INFERENCE)
        else:
            self.executor.shutdown(wait=False, cancel_futures=True)


def _is_final(error: BaseException) -> bool:
    """Whether it says all that a user needs, or is no error."""
    return isinstance(error, (UserError, RunFailed)) or not isinstance(error, Exception)
