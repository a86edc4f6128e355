"""Notices a camera or an arm that has stopped reporting."""

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.cameras import by_camera
from dp_hf.control.robot import Frame, Stamped

# Seconds by which a stamp may be later than the tick that looks at it; beyond, it is of another clock.
MAX_AHEAD = 1.0


class Watchdog:
    """Says why the arm must hold, if it must: nothing measured, measurements too old, frames frozen, not finite."""

    def __init__(self, limits: SafetyLimits):
        self.limits = limits
        self._changed: dict[str, Stamped[np.ndarray]] = {}

    def check(self, now: float, image: Stamped[Frame] | None, state: Stamped[np.ndarray] | None) -> str | None:
        """The reason to hold at the time `now`, or None; called at every tick with the latest measurements."""
        if state is None:
            return "no joint state has arrived"
        if image is None:
            return "no camera frame has arrived"
        if not np.isfinite(state.value).all():
            return f"the joint state is not finite: {state.value}"
        for what, stamp, oldest in (
            ("the joint state", state.timestamp, self.limits.max_state_age),
            ("the camera frame", image.timestamp, self.limits.max_image_age),
        ):
            age = now - stamp
            if not age >= -MAX_AHEAD:
                return f"{what} is stamped {stamp:.1f}, and it is {now:.1f} (time.monotonic)"
            if age > oldest:
                return f"{what} is {age:.1f} s old"
        frozen_for = self._frozen_for(image)
        if self.limits.max_frozen_age is not None and frozen_for > self.limits.max_frozen_age:
            return f"the camera has sent the same picture for {frozen_for:.1f} s"
        return None

    def is_fresh(self, now: float, state: Stamped[np.ndarray]) -> bool:
        """Whether a joint state says where the arm is now."""
        return bool(now - state.timestamp <= self.limits.max_state_age and np.isfinite(state.value).all())

    def _frozen_for(self, image: Stamped[Frame]) -> float:
        """For how long the picture of one camera, that which froze first, has been the same."""
        pictures = by_camera(image.value)
        for camera, picture in pictures.items():
            changed = self._changed.get(camera)
            if changed is None or (picture is not changed.value and not np.array_equal(picture, changed.value)):
                self._changed[camera] = Stamped(picture, image.timestamp)
        return image.timestamp - min(self._changed[camera].timestamp for camera in pictures)
