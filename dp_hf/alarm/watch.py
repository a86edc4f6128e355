"""Watches a policy while it drives, and says what is strange."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dp_hf.alarm.limits import AlarmLimits
from dp_hf.alarm.scores import PICTURE, PROGRESS, SCORES, TIME, RunScores, Seen
from dp_hf.arms.undescribed import quantities_of

# Times the usual pause between predictions; beyond, the arm was held meanwhile.
LONGEST_PAUSE = 4


@dataclass(frozen=True)
class Alarm:
    """The policy does not know what it does.

    Attributes:
        kind: "unsure", it changes its plans; "late", it takes longer than runs that succeed.
        step, since: actions since the run began: now, and when it was last as usual.
        text: the same in words.
    """

    kind: Literal["unsure", "late"]
    step: int
    since: int
    text: str


class Watch:
    """The scores of a run, and the first alarm.

    Args:
        limits: of the policy.
        rate: actions a second.
        camera_names: of the policy, in the order of its features.
        action_names: of the numbers of an action.

    Attributes:
        seen: every prediction of the run so far.
        scores: of the latest, see `judged`; None before the first.
        alarm: the first alarm, None as long as nothing is strange.
        is_new: whether the next prediction is the first of a run.
    """

    def __init__(self, limits: AlarmLimits, rate: float, camera_names: Sequence[str], action_names: Sequence[str]):
        self.limits, self.rate = limits, rate
        self.camera_names, self.action_names = camera_names, action_names
        self._scores = RunScores(limits.reference)
        self.reset()

    @classmethod
    def of(cls, limits: AlarmLimits, config: Any, rate: float | None = None) -> "Watch":
        """With the names in a policy's config, or its settings; at its own rate, or another."""
        names = quantities_of(config, "action").names
        return cls(limits, config.fps if rate is None else rate, config.camera_names, names)

    def judged(self, seen: Seen) -> dict[str, tuple[float, float | None]]:
        """Every score of a prediction, and the limit above which it is strange; None where it never is."""
        limits = {**self.limits.limits, PICTURE: self.limits.alone[PICTURE]}
        values = {**seen.scores, TIME: float(seen.step)}
        return {name: (value, limits.get(name)) for name, value in values.items()}

    @property
    def reason(self) -> str | None:
        """The alarm in words."""
        return None if self.alarm is None else f"alarm: {self.alarm.text}"

    def reset(self) -> None:
        """A new run begins, with the next prediction that is asked for; callable from any thread."""
        self.seen: list[Seen] = []
        self.scores: dict[str, tuple[float, float | None]] | None = None
        self.alarm: Alarm | None = None
        self.is_new = True

    def see(self, features: np.ndarray, state: np.ndarray | None, chunk: np.ndarray, steps: int) -> None:
        """Takes note of a prediction; arguments as in `RunScores.see`."""
        if self.is_new:
            self.is_new = False
            self._scores.reset()
        seen = self._scores.see(features, state, chunk, steps)
        self.seen.append(seen)
        self.scores = self.judged(seen)
        if self.alarm is None:
            self.alarm = self._alarm(seen)

    def _alarm(self, seen: Seen) -> Alarm | None:
        limits, usual = self.limits.limits, self.limits.usual
        if any(seen.scores[name] > limits[name] for name in SCORES):
            calm = [each.step for each in self.seen if all(each.scores[name] <= usual[name] for name in SCORES)]
            since = calm[-1] if calm else 0
            left, joint = seen.scores[PROGRESS] - seen.step, self.action_names[int(np.argmax(seen.actions))]
            words = (
                f"its plan changes {self._times('plan', seen)} as much as usual, most {joint}, since "
                f"{since / self.rate:.1f} s; {seen.step / self.rate:.1f} s are over, and {left / self.rate:.1f} s seem "
                "to be left"
            )
            return Alarm("unsure", seen.step, since, f"{words}{self._picture(seen)}")
        if seen.step > limits[TIME]:
            words = f"it takes longer than the runs that succeeded, which took {usual[TIME] / self.rate:.1f} s"
            return Alarm("late", seen.step, seen.step, f"{words}{self._picture(seen)}")
        return None

    def _picture(self, seen: Seen) -> str:
        if seen.scores[PICTURE] <= self.limits.alone[PICTURE]:
            return ""
        of_cameras = seen.features.reshape(len(self.camera_names), -1).mean(axis=1)
        camera = self.camera_names[int(np.argmax(of_cameras))]
        return f"; the picture of {camera} is {self._times(PICTURE, seen)} as far from training as usual"

    def _times(self, score: str, seen: Seen) -> str:
        usual = self.limits.usual[score]
        return f"{seen.scores[score] / usual:.1f} times" if usual > 0 else "many times"


class WatchedPolicy:
    """A policy that watches itself; called as a pipeline is.

    Args:
        pipeline: or what is called like one and gives its output.
        watch: is told every prediction.
        steps: how many actions have passed since it was asked before; asked before each prediction, so that what the
            policy takes for one does not count, and after the first, until which the arm stands.

    Attributes:
        policy: the pipeline's.
    """

    def __init__(self, pipeline: Callable[..., Any], watch: Watch, steps: Callable[[], int]):
        self.pipeline, self.watch, self.steps = pipeline, watch, steps
        self.policy: Any = getattr(pipeline, "policy", None)

    def __call__(self, image: Any, state: Any = None, **options: Any) -> Any:
        steps, is_first = self.steps(), self.watch.is_new
        output = self.pipeline(image, state=state, **options)
        numbers = None if state is None else np.asarray(state, np.float32)[0, -1]
        self.watch.see(np.asarray(output.image_features)[0, -1], numbers, output.actions[0], steps)
        if is_first:
            self.steps()
        return output


class StepsSince:
    """How many actions have passed since it was asked before, by the clock.

    Args:
        rate: actions a second.
        n_action_steps: what it says where more than so many passed as a chunk may have, because the arm was held.
    """

    def __init__(self, rate: float, n_action_steps: int):
        self.rate, self.n_action_steps = rate, n_action_steps
        self._last = time.monotonic()

    def __call__(self) -> int:
        now = time.monotonic()
        steps = round((now - self._last) * self.rate)
        self._last = now
        return max(1, steps) if steps <= LONGEST_PAUSE * self.n_action_steps else self.n_action_steps


def why_unwatched(limits: AlarmLimits, n_action_steps: int, temporal_ensemble: float | None) -> str | None:
    """Why limits do not hold for chunks that are executed so; None where they do."""
    measured = limits.calibration
    if (n_action_steps, temporal_ensemble) == (measured.n_action_steps, measured.temporal_ensemble):
        return None
    return (
        f"the alarm's limits were measured with n_action_steps {measured.n_action_steps} and temporal_ensemble "
        f"{measured.temporal_ensemble}, and here they are {n_action_steps} and {temporal_ensemble}: execute chunks as "
        "then, or measure again with `dp-hf calibrate-alarm`"
    )
