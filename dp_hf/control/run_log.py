"""Remembers what a run's policy predicted and when the arm was held, for the episode that it is recorded as."""

from dp_hf.control.controller import Controller
from dp_hf.control.tick import Tick
from dp_hf.control.trajectory import Trajectory
from dp_hf.episodes.run_file import Chunk, Hold, Run


class RunLog:
    """An observer of the controller, which costs a tick two comparisons."""

    def __init__(self, controller: Controller):
        self._controller = controller
        self._trajectory: Trajectory | None = None
        self._held: tuple[float, str] | None = None
        self._last = 0.0
        self._chunks: list[Trajectory] = []
        self._holds: list[Hold] = []

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

    def run(self, started_at: float) -> Run:
        """All of it, in seconds from `started_at` on."""
        self._end_hold(self._last)
        self._held = None
        holds = [Hold(hold.start - started_at, hold.end - started_at, hold.reason) for hold in self._holds]
        return Run([Chunk(each.times - started_at, each.positions) for each in self._chunks], holds)

    def _end_hold(self, now: float) -> None:
        if self._held is not None:
            self._holds.append(Hold(self._held[0], now, self._held[1]))
