"""Remembers what a run's policy predicted, what its alarm saw and when the arm was held, for the episode that it is
recorded as."""

from dp_hf.control.controller import Controller
from dp_hf.control.tick import Tick
from dp_hf.control.trajectory import Trajectory
from dp_hf.episodes.run_file import Alarm, Chunk, Hold, Judged, Run, scores_over


class RunLog:
    """An observer of the controller, which costs a tick a few comparisons."""

    def __init__(self, controller: Controller):
        self._controller = controller
        self._trajectory: Trajectory | None = None
        self._held: tuple[float, str] | None = None
        self._doubted: str | None = None
        self._seen: Judged | None = None
        self._last = 0.0
        self._chunks: list[Trajectory] = []
        self._holds: list[Hold] = []
        self._alarms: list[Alarm] = []
        self._scores: list[tuple[float, Judged]] = []

    def __call__(self, tick: Tick) -> None:
        self._last = tick.time
        trajectory = self._controller.planner.trajectory
        if trajectory is not self._trajectory:
            self._trajectory = trajectory
            if trajectory is not None:
                self._chunks.append(trajectory)
        reason = tick.hold_reason
        if reason != (self._held and self._held[1]):
            self._end_hold(tick.time)
            self._held = None if reason is None else (tick.time, reason)
        if (doubt := self._controller.takeover.doubt) is not None:
            if (doubted := doubt.reason) != self._doubted:
                self._doubted = doubted
                if doubted is not None:
                    self._alarms.append(Alarm(tick.time, doubted))
            if (scores := doubt.scores) is not self._seen:
                self._seen = scores
                if scores is not None:
                    self._scores.append((tick.time, scores))

    def run(self, started_at: float) -> Run:
        """All of it, in seconds from `started_at` on."""
        self._end_hold(self._last)
        self._held = None
        chunks = [Chunk(each.times, each.positions) for each in self._chunks]
        return Run(chunks, self._holds, self._alarms, scores_over(self._scores)).since(started_at)

    def _end_hold(self, now: float) -> None:
        if self._held is not None:
            self._holds.append(Hold(self._held[0], now, self._held[1]))
