"""Inference beside the control loop: observations go to the policy, chunks come back as trajectories."""

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.quantities import amount
from dp_hf.control.clock import Clock, Grid
from dp_hf.control.report import Report
from dp_hf.control.robot import Frame, Stamped
from dp_hf.control.trajectory import Chunk, HandOver, Trajectory, ensemble, hand_over
from dp_hf.errors import UserError, failure
from dp_hf.pipelines.execution import ObservationHistory, predict_chunk, require_executable

logger = logging.getLogger(__name__)

Policy = Callable[..., Any]
"""`policy([frames], state=states (1, n_obs_steps, n)).actions` -> (1, horizon, n): a pipeline, or a `RemotePolicy`.
One with a `max_prefix` is also called with `prefix=actions (k, n)`, those that are committed."""

# The longest of so many latencies is what the next is taken for.
LATENCIES = 10


@dataclass(frozen=True)
class Inference:
    """A chunk under way.

    Attributes:
        observed_at, submitted_at: when the picture was there, and when the policy was asked.
        predicted: seconds that it was expected to take; None where none had been measured.
        num_committed: actions that it was told as committed.
    """

    chunk: Future
    observed_at: float
    submitted_at: float
    predicted: float | None
    num_committed: int


class Planner:
    """Keeps the trajectory that the arm follows.

    Args:
        policy: predicts chunks.
        limits: chunks are clipped to its positions, and refused when they begin further than `max_jump` away.
        rate: actions per second.
        n_obs_steps: observations that the policy sees at once, `1 / rate` s apart.
        n_action_steps: actions from one inference to the next.
        temporal_ensemble: averages each chunk with those before it, see `trajectory.ensemble`; None does not.
        tolerance: seconds that an observation may come early.
        executor: runs the policy, one call at a time.
        report: counts chunks, misses and times.
        clock: tells how long the policy takes.
        reach_time: seconds after its picture at which a chunk's first action is due, see `robot.Robot`.
        max_prefix: so many actions at most the policy is told as committed: those that will have been sent when its
            chunk takes over, if it takes as long as the longest of the last `LATENCIES`. The chunk goes on from them.
            What was sent is told as it was sent; what is still to come as it is planned, so that where the limits are
            slower than the plan the arm comes to it later than it was told. Nothing is told beyond the plan's end.

    Attributes:
        trajectory: what to follow, None when there is nothing.
        hand_over: the way from the motion under way into a chunk, called as `trajectory.hand_over` is.
    """

    def __init__(
        self,
        policy: Policy,
        limits: SafetyLimits,
        rate: float,
        n_obs_steps: int,
        n_action_steps: int,
        temporal_ensemble: float | None,
        tolerance: float,
        executor: Executor,
        report: Report,
        clock: Clock,
        reach_time: float = 0.0,
        max_prefix: int = 0,
    ):
        self.policy = policy
        self.limits = limits
        self.step = 1 / rate
        self.n_action_steps = n_action_steps
        self.temporal_ensemble = temporal_ensemble
        self.tolerance = tolerance
        self.executor = executor
        self.report = report
        self.clock = clock
        self.reach_time = reach_time
        self.max_prefix = max_prefix
        self.hand_over: HandOver = hand_over
        self.trajectory: Trajectory | None = None
        self._history: ObservationHistory[tuple[Frame, np.ndarray | None]] = ObservationHistory(n_obs_steps)
        self._chunks: list[Chunk] = []
        self._inference: Inference | None = None
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._sent: deque[tuple[float, np.ndarray]] = deque()  # when, and what, as far back as a picture may be
        self._last_took = np.inf  # seconds
        self._observations = Grid(self.step)
        self._steps_left = 0
        self._asked_at: float | None = None
        self._forgot_at = -np.inf

    def forget(self, now: float) -> None:
        """Drops the trajectory, the history, and the chunk under way: they are of a time that no longer counts."""
        self.trajectory = None
        self._history.clear()
        self._chunks.clear()
        self._sent.clear()
        self._observations = Grid(self.step)
        self._steps_left = 0
        self._asked_at = None
        self._forgot_at = now

    def observe(self, now: float, image: Stamped[Frame], state: Stamped[np.ndarray]) -> None:
        """Takes the latest measurements at every tick; passes them on to the policy when its turn has come."""
        if now < self._observations.next - self.tolerance:
            return
        self._observations.advance(now)
        if self.trajectory is not None and now > self.trajectory.times[-1] + self.step:
            self.report.starved += 1
        self._history.add((image.value, state.value))
        self._steps_left -= 1
        if self._steps_left > 0:
            return
        self._asked_at = now if self._asked_at is None else self._asked_at
        if self._inference is not None:
            self.report.misses += 1
            return
        self._steps_left = self.n_action_steps
        predicted = max(self._latencies, default=None)
        committed = self._committed(image.timestamp, now + (predicted or 0.0))
        chunk = self.executor.submit(self._predict, self._history.observations(), committed)
        self._inference = Inference(chunk, image.timestamp, now, predicted, len(committed))

    def _committed(self, observed_at: float, taken_over_at: float) -> np.ndarray:
        """The actions (k, n) of a chunk that will have been sent when it takes over: those that `hand_over` skips."""
        due = observed_at + self.reach_time + self.step * np.arange(self.max_prefix)
        due = due[due < taken_over_at + self.step / 2]
        if self.trajectory is None or self._has_stood(observed_at):
            due = due[:0]
        else:
            due = due[due <= self.trajectory.times[-1] + self.tolerance]
        return np.array([self._sent_or_planned(moment) for moment in due]).reshape(-1, len(self.limits.quantities))

    def _sent_or_planned(self, moment: float) -> np.ndarray:
        """What was sent for a moment (n,), between commands a straight line; or, after the last, what is planned."""
        assert self.trajectory is not None, "asked where there is none"
        if not self._sent or moment > self._sent[-1][0]:
            return self.trajectory.at(moment)
        times, commands = zip(*self._sent, strict=True)
        return np.array([np.interp(moment, times, numbers) for numbers in np.transpose(commands)])

    def _has_stood(self, observed_at: float) -> bool:
        """Whether the arm has had nothing to do since it was pictured."""
        return self.trajectory is None or observed_at >= self.trajectory.times[-1]

    def _remember(self, sent_at: float, position: np.ndarray) -> None:
        if self.max_prefix == 0 or (self._sent and sent_at <= self._sent[-1][0]):
            return
        self._sent.append((sent_at, position))
        while self._sent[0][0] < sent_at - self.limits.max_image_age - self.step:
            self._sent.popleft()

    def _predict(self, observations: list[tuple[Frame, np.ndarray | None]], committed: np.ndarray) -> np.ndarray:
        start = self.clock.now()
        given = {"prefix": committed} if len(committed) else {}
        try:
            return predict_chunk(self.policy, observations, len(self.limits.quantities), **given)
        finally:
            self._last_took = self.clock.now() - start

    def await_quick_answer(self, patience: float) -> bool:
        """Waits at most `patience` seconds for a policy that took less the last time; whether there is an answer.

        The command of this tick is then the first that follows from this tick's picture, not that of the next.
        """
        if self._inference is None or self._last_took >= patience:
            return False
        wait([self._inference.chunk], patience)
        return self._inference.chunk.done()

    def waited(self, now: float) -> float:
        """Seconds since the observation that the policy has not answered yet; 0 when nothing is asked."""
        if self._inference is None or self._inference.chunk.done():
            return 0.0
        return now - self._inference.submitted_at

    def overdue(self, now: float) -> float:
        """Seconds for which the arm has had no actions left while the policy was asked in vain; 0 while it has."""
        if self._asked_at is None:
            return 0.0
        ended_at = -np.inf if self.trajectory is None else self.trajectory.times[-1]
        return max(0.0, now - max(self._asked_at, ended_at))

    def take_over(
        self, now: float, position: np.ndarray, velocity: np.ndarray, sent_at: float, measured: np.ndarray
    ) -> Inference | None:
        """Makes the trajectory of a chunk that has arrived, from the last command, its velocity and its time `sent_at`.
        Called at every tick, before `observe`: a policy with a prefix is told what was sent.

        An arm that has stood still since it was pictured begins with the chunk's first action, however late: nothing
        of the chunk's time has passed for it.

        Returns:
            whose chunk was taken, or None when none was.

        Raises:
            UserError: the policy's, its actions are not the arm's, or fewer than are to be executed.
            RunFailed: whatever else the policy raised, other than a failing connection, which may come back.
        """
        self._remember(sent_at, position)
        inference = self._inference
        if inference is None or not inference.chunk.done():
            return None
        self._inference = None
        if inference.submitted_at <= self._forgot_at:
            return None
        self.report.inference.add(now - inference.submitted_at)
        self._latencies.append(now - inference.submitted_at)
        try:
            actions = inference.chunk.result()
        except OSError as error:
            self._reject(f"{type(error).__name__}: {error}")
            return None
        except UserError:
            raise
        except Exception as error:
            raise failure("the policy", error) from error
        require_executable(actions.shape[1], self.n_action_steps, self.temporal_ensemble)
        quantities = self.limits.quantities
        if not np.isfinite(actions).all():
            self._reject("not finite")
            return None
        first_due = (now if self._has_stood(inference.observed_at) else inference.observed_at) + self.reach_time
        allowed = np.clip(actions[0].astype(np.float64), self.limits.lowest, self.limits.highest)
        chunk = Chunk(first_due + self.step * np.arange(len(allowed)), allowed)
        if self.temporal_ensemble is not None:
            self._chunks = [earlier for earlier in self._chunks if earlier.due[-1] >= first_due]
            self._chunks.append(chunk)
            chunk = ensemble(self._chunks, self.temporal_ensemble)
        trajectory = self.hand_over(chunk, self.step, position, velocity, sent_at, now)
        distance = np.abs(trajectory.positions[1] - measured)
        if (distance > self.limits.max_jump).any():
            worst = int(np.argmax(distance / self.limits.max_jump))
            far = amount(distance[worst], quantities.units[worst])
            self._reject("begins too far from the arm", f"{quantities.names[worst]} by {far}")
            return None
        self.trajectory = trajectory
        self._asked_at = None
        self.report.chunks += 1
        return inference

    def _reject(self, reason: str, detail: str = "") -> None:
        if reason not in self.report.rejected:
            logger.warning("a chunk of actions was rejected: %s %s", reason, detail)
        self.report.rejected[reason] += 1
