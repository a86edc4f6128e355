"""Turns any wish into commands that keep the limits of position, velocity and acceleration at every tick."""

import numpy as np

from dp_hf.arms.limits import SafetyLimits


class MotionLimiter:
    """The last command, and the next one: as near to the wish as the limits allow.

    With commands q and velocities v = (q - last q) / period, every command keeps `lowest <= q <= highest`,
    `|v| <= velocity` and `|v - last v| <= acceleration * period`. It can, because it never moves faster than it
    can brake in front of a position limit. An arm that is outside one at the start never goes further out, and comes
    in within the other limits.

    Args:
        limits: the arm's limits.
        position: (n,) where the arm is; it starts at rest.
        period: seconds between commands.

    Attributes:
        position: (n,) float64, the last command.
        velocity: (n,) its velocity, per second.
    """

    def __init__(self, limits: SafetyLimits, position: np.ndarray, period: float):
        self.limits = limits
        self.period = period
        self.position = np.array(position, dtype=np.float64)
        self.velocity = np.zeros_like(self.position)
        self._before = self.position, self.velocity

    def follow(self, wish: np.ndarray, wish_velocity: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """The next command on the way to a moving point.

        Args:
            wish: (n,) where the command should be now.
            wish_velocity: (n,) how fast `wish` moved since the last tick.
            low, high: (n,) the range that the motion should stop within, if it still can.

        Returns:
            (n,) the command.
        """
        behind = wish - wish_velocity * self.period - self.position
        velocity = wish_velocity + self._arriving_velocity(behind)
        return self._advance(
            np.clip(
                velocity,
                self._arriving_velocity(low - self.position),
                self._arriving_velocity(high - self.position),
            )
        )

    def brake(self) -> np.ndarray:
        """The next command of the shortest legal stop; once at rest, the same command again."""
        return self._advance(np.zeros_like(self.velocity))

    @property
    def at_rest(self) -> bool:
        return not self.velocity.any()

    def rest(self) -> None:
        """Takes note that the arm has come to rest at the last command, no new one having come for a while."""
        self.velocity = np.zeros_like(self.velocity)

    def restart(self, position: np.ndarray) -> None:
        """Takes note that the arm is at rest at `position` (n,), where somebody else has brought it."""
        self.position = np.array(position, dtype=np.float64)
        self.velocity = np.zeros_like(self.position)
        self._before = self.position, self.velocity

    def withdraw(self) -> None:
        """Takes note that the last command could not be sent: the one before it counts."""
        self.position, self.velocity = self._before

    def _advance(self, velocity: np.ndarray) -> np.ndarray:
        limits, change = self.limits, self.limits.acceleration * self.period
        self._before = self.position, self.velocity
        lowest, highest = np.minimum(limits.lowest, self.position), np.maximum(limits.highest, self.position)
        # Braking is always within all three ranges, so they overlap, and a later clip keeps the earlier ones.
        velocity = np.where(np.isfinite(velocity), velocity, 0.0)
        velocity = np.clip(velocity, -limits.velocity, limits.velocity)
        velocity = np.clip(
            velocity,
            self._arriving_velocity(lowest - self.position),
            self._arriving_velocity(highest - self.position),
        )
        self.velocity = np.clip(velocity, self.velocity - change, self.velocity + change)
        position = self.position + self.velocity * self.period
        self.position = np.clip(position, lowest, highest)
        return self.position.copy()

    def _arriving_velocity(self, distance: np.ndarray) -> np.ndarray:
        """The highest velocity for the next tick after which braking still ends within `distance` (signed).

        Moving at x and then at x - 1, x - 2, ... (in units of acceleration * period) covers
        (n + 1) x - n (n + 1) / 2, n = floor(x), in units of acceleration * period^2.
        """
        unit = self.limits.acceleration * self.period**2
        steps = np.abs(distance) / unit
        n = np.floor((np.sqrt(1 + 8 * steps) - 1) / 2)
        return np.sign(distance) * (steps / (n + 1) + n / 2) * self.limits.acceleration * self.period
