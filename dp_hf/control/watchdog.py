"""Notices a camera or an arm that has stopped reporting."""

import numpy as np

from dp_hf.control.limits import SafetyLimits
from dp_hf.control.robot import Stamped


class Watchdog:
    """Says why the arm must hold, if it must: nothing measured, measurements too old, frames frozen, not finite."""

    def __init__(self, limits: SafetyLimits):
        self.limits = limits
        self._image: Stamped | None = None
        self._changed_at = -np.inf

    def check(self, now: float, image: Stamped | None, state: Stamped | None) -> str | None:
        """The reason to hold at the time `now`, or None; called at every tick with the latest measurements."""
        if state is None:
            return "no joint state has arrived"
        if image is None:
            return "no camera frame has arrived"
        if not np.isfinite(state.value).all():
            return f"the joint state is not finite: {state.value}"
        if (age := now - state.timestamp) > self.limits.max_state_age:
            return f"the joint state is {age:.1f} s old"
        if (age := now - image.timestamp) > self.limits.max_image_age:
            return f"the camera frame is {age:.1f} s old"
        frozen_for = image.timestamp - self._last_change(image)
        if self.limits.max_frozen_age is not None and frozen_for > self.limits.max_frozen_age:
            return f"the camera has sent the same picture for {frozen_for:.1f} s"
        return None

    def _last_change(self, image: Stamped) -> float:
        if self._image is None or image.timestamp != self._image.timestamp:
            if self._image is None or not np.array_equal(image.value, self._image.value):
                self._changed_at = image.timestamp
            self._image = image
        return self._changed_at
