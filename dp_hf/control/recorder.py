"""Records a robot into episode folders: frames at a steady rate, each with the state at the moment of its image."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Literal, TypeAlias

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.control.clock import Clock, MonotonicClock
from dp_hf.control.robot import Frame, Robot, Stamped, measure
from dp_hf.control.watchdog import Watchdog
from dp_hf.episodes.format import Actor
from dp_hf.episodes.recording import Recording, require_room
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.files import user_path

POLL_PERIOD = 0.01
MAX_QUEUED_FRAMES = 20
# Share by which a speed is above its limit before that is said: joint states arrive unevenly.
NOTABLE = 0.1

Order: TypeAlias = Literal["start", "finish", "toggle", "discard", "quit"]
KEYS: dict[str, Order] = {" ": "toggle", "d": "discard", "q": "quit"}


class Orders:
    """What the people at the arm want, in the order they said it: by keys, or by `give` from any thread."""

    def __init__(self, pressed_key: Callable[[], str | None]):
        self._pressed_key = pressed_key
        self._given: SimpleQueue[Order] = SimpleQueue()

    def give(self, order: Order) -> None:
        self._given.put(order)

    def next(self) -> Order | None:
        """The next order, or None; never waits."""
        key = self._pressed_key()
        if key in KEYS:
            self.give(KEYS[key])
        return None if self._given.empty() else self._given.get()


class FrameRecorder:
    """Context manager inside an `EpisodeWriter`'s: picks frames from what it is offered and writes them in a thread.

    A frame is due every `1 / fps` s. It is taken as soon as there is a new image, and is dropped when there is none
    before the next one is due, or no state within a frame's time of it, or when the disk is too slow. The action of a
    frame whose actor gave no command is the state of the next frame.

    Args:
        writer: of the episode.
        fps: frames per second.

    Attributes:
        num_frames, num_dropped: so far.
        started_at: when the timestamps are 0, on the clock of what is offered.
        fastest: (n,) highest mean speeds over a frame's time, per second; 0.0 before there are any.
    """

    def __init__(self, writer: EpisodeWriter, fps: float):
        self.fastest: np.ndarray | float = 0.0
        self._paced: Stamped[np.ndarray] | None = None  # the state from which the next speed counts
        self.num_frames = 0
        self.num_dropped = 0
        self._writer = writer
        self._period = 1 / fps
        self._next: float | None = None
        self.started_at = 0.0
        self._image_at = -np.inf
        self._states: deque[Stamped[np.ndarray]] = deque(maxlen=100)
        self._writing: deque[Future] = deque()
        self._guided: Callable[[np.ndarray], Future] | None = None  # writes the last frame, once its action is known
        self._state = np.zeros(0)  # of the last frame

    def __enter__(self) -> "FrameRecorder":
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        return self

    def __exit__(self, *exception) -> None:
        if self._guided is not None:
            self._writing.append(self._guided(self._state))
        self._disk.shutdown()
        for frame in self._writing:
            frame.result()

    def offer(
        self,
        now: float,
        image: Stamped[Frame] | None,
        state: Stamped[np.ndarray] | None,
        action: np.ndarray | None = None,
        actor: Actor | None = None,
    ) -> None:
        """Takes the latest measurements, more often than frames are due, the command (n,) if there is one, and who
        acted if that is known.

        Raises:
            OSError: an earlier frame could not be written.
        """
        if image is None or state is None:
            return
        if not self._states or state.timestamp > self._states[-1].timestamp:
            self._states.append(state)
            self._pace(state)
        if self._next is None:
            self._next = self.started_at = now
        if now < self._next:
            return
        missed = int((now - self._next) / self._period)
        self.num_dropped += missed
        self._next += missed * self._period
        while self._writing and self._writing[0].done():
            self._writing.popleft().result()
        is_in_step = abs(state.timestamp - image.timestamp) < self._period
        if image.timestamp > self._image_at and is_in_step and len(self._writing) < MAX_QUEUED_FRAMES:
            self._image_at = image.timestamp
            self._next += self._period
            self.num_frames += 1
            self._state = self._state_at(image.timestamp)
            if self._guided is not None:
                self._writing.append(self._guided(self._state))
                self._guided = None
            write = partial(self._write, image, self._state, actor)
            if actor is not None and action is None:
                self._guided = write
            else:
                self._writing.append(write(None if action is None else np.array(action)))

    def _write(
        self, image: Stamped[Frame], state: np.ndarray, actor: Actor | None, action: np.ndarray | None
    ) -> Future:
        stamp = image.timestamp - self.started_at
        return self._disk.submit(self._writer.add_frame, image.value, state, action, stamp, actor)

    def _pace(self, state: Stamped[np.ndarray]) -> None:
        if self._paced is not None:
            seconds = state.timestamp - self._paced.timestamp
            if seconds < self._period:
                return
            self.fastest = np.maximum(self.fastest, np.abs(state.value - self._paced.value) / seconds)
        self._paced = state

    def _state_at(self, moment: float) -> np.ndarray:
        times = [state.timestamp for state in self._states]
        values = np.array([state.value for state in self._states])
        return np.array([np.interp(moment, times, column) for column in values.T])


@dataclass(frozen=True)
class RecordedEpisode:
    """What became of one recording.

    Attributes:
        failure: why it is no demonstration.
        too_fast: by which share of its limit of velocity a number was faster; an arm that keeps the limits cannot
            follow.
    """

    path: Path
    num_frames: int
    num_dropped: int
    failure: str | None
    too_fast: dict[str, float]

    def __str__(self) -> str:
        outcome = f"FAILED, {self.failure}" if self.failure else "done"
        numbers = ", ".join(f"{name} by {share:.0%}" for name, share in self.too_fast.items())
        pace = f"; faster than the limits let a policy go: {numbers}" if numbers else ""
        return f"{self.path}: {outcome}; {self.num_frames} frames, {self.num_dropped} dropped{pace}"


def record_episodes(
    robot: Robot,
    data_dir: str | Path,
    fps: float,
    next_order: Callable[[], Order | None],
    limits: SafetyLimits,
    on_episode: Callable[[RecordedEpisode], None],
    clock: Clock | None = None,
) -> None:
    """Records an episode from each "start" to "finish", until "quit".

    An episode is marked as failed after "discard" or "quit", when the robot reports a fault, or when its camera or
    joint states stop; see `Watchdog`.

    Args:
        robot: read, never commanded.
        data_dir: folder of episodes.
        fps: frames per second.
        next_order: what is wanted now, or None; asked 100 times a second. "toggle" is "start" or "finish".
        limits: how old measurements may be; and how fast an arm is that follows what is learned.
        on_episode: called after each.
        clock: in place of the computer's.

    Raises:
        UserError: the folder holds episodes of other numbers, or of another rate.
    """
    recording = Recording.of(robot.quantities, fps)
    require_room(user_path(data_dir), recording)
    clock = clock or MonotonicClock()
    order: Order | None = None
    while order != "quit":
        clock.sleep_until(clock.now() + POLL_PERIOD)
        order = next_order()
        if order in ("start", "toggle"):
            episode, order = _record_episode(robot, data_dir, fps, recording, next_order, limits, clock)
            on_episode(episode)


def _record_episode(
    robot: Robot,
    data_dir: str | Path,
    fps: float,
    recording: Recording | None,
    next_order: Callable[[], Order | None],
    limits: SafetyLimits,
    clock: Clock,
) -> tuple[RecordedEpisode, Order | None]:
    watchdog = Watchdog(limits)
    order: Order | None = None
    failure = None
    with EpisodeWriter(data_dir, recording=recording) as writer, FrameRecorder(writer, fps) as recorder:
        while failure is None and order in (None, "start"):
            now = clock.now()
            image, state = measure(robot)
            recorder.offer(now, image, state)
            failure = robot.fault or watchdog.check(now, image, state)
            clock.sleep_until(now + POLL_PERIOD)
            order = next_order()
        if order == "discard":
            failure = "discarded"
        elif order == "quit":
            failure = "interrupted"
        elif failure is None and recorder.num_frames == 0:
            failure = "no frame was recorded"
        if failure is not None:
            writer.fail(failure)
    above = recorder.fastest / limits.velocity - 1
    too_fast = {
        name: float(share) for name, share in zip(robot.quantities.names, above, strict=True) if share > NOTABLE
    }
    return RecordedEpisode(writer.path, recorder.num_frames, recorder.num_dropped, failure, too_fast), order
