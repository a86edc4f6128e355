"""Live prediction without an arm: what a policy would do, picture by picture."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dp_hf.control.clock import Clock, Grid, MonotonicClock
from dp_hf.control.planner import Policy
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.control.report import Durations
from dp_hf.control.robot import Frame, Robot, measure
from dp_hf.errors import failing_as
from dp_hf.pipelines.execution import ObservationHistory, predict_chunk

logger = logging.getLogger(__name__)

# Seconds without a new picture after which the policy is not asked.
MAX_IMAGE_AGE = 0.5


@dataclass
class LiveReport:
    """Counts and times of live prediction.

    Attributes:
        seconds: how long it went.
        predictions: made.
        late: moments that came more than half a period late.
        without: moments without a new picture.
        inference: of a prediction.
        image_to_action: from a picture's arrival until its action was there.
    """

    seconds: float = 0.0
    predictions: int = 0
    late: int = 0
    without: int = 0
    inference: Durations = field(default_factory=Durations)
    image_to_action: Durations = field(default_factory=Durations)

    def __str__(self) -> str:
        rate = self.predictions / max(self.seconds, 1e-9)
        return (
            f"{self.seconds:.1f} s: {self.predictions} predictions ({rate:.2f} Hz, {self.late} late, {self.without}"
            f" without a new picture); inference {self.inference}; image to action {self.image_to_action}"
        )


def predict_live(
    robot: Robot,
    policy: Policy,
    settings: PolicySettings,
    rate: float,
    on_actions: Callable[[float, np.ndarray], None],
    is_stopped: Callable[[], bool],
    duration: float | None = None,
    clock: Clock | None = None,
) -> LiveReport:
    """Asks the policy `rate` times a second (Hz), and tells its robot nothing.

    Args:
        robot: has the pictures and the state.
        on_actions: called with the seconds since the start, and the chunk (horizon, action_dim).
        is_stopped: asked before every prediction.
        duration: seconds; default until stopped, or until the robot's pictures are over.
        clock: in place of the computer's.

    Raises:
        UserError: the policy's, or a picture that is none.
        RunFailed: whatever else the policy raised.
    """
    clock = clock or MonotonicClock()
    report, start = LiveReport(), clock.now()
    grid = Grid(1 / rate, first=start)
    history: ObservationHistory[tuple[Frame, np.ndarray | None]] = ObservationHistory(settings.n_obs_steps)
    is_silent = False
    while not is_stopped() and robot.finished is None and (duration is None or grid.next < start + duration):
        clock.sleep_until(grid.next)
        now = clock.now()
        grid.advance(now)
        image, state = measure(robot)
        report.seconds, report.late = now + grid.period - start, grid.num_late
        if image is None or state is None or now - image.timestamp > MAX_IMAGE_AGE:
            if not is_silent:
                logger.warning("the camera has given no new picture for %g s", MAX_IMAGE_AGE)
            is_silent = True
            report.without += 1
            history.clear()
            continue
        is_silent = False
        history.add((image.value, state.value))
        asked_at = clock.now()
        with failing_as("the policy"):
            actions = predict_chunk(policy, history.observations(), settings.action_dim)
        report.predictions += 1
        report.inference.add(clock.now() - asked_at)
        report.image_to_action.add(clock.now() - image.timestamp)
        on_actions(now - start, actions[0])
    return report
