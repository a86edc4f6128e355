"""Where the cubes lie, and which layouts are for what."""

import numpy as np

from dp_hf.errors import UserError

Range = tuple[float, float]

# The simulator's seeds, one a layout. No policy is measured on a layout that it was shown, nor on one by which it was
# chosen during training, nor an alarm on one by which its limits were set.
DEMONSTRATIONS = range(2**20)
EVALUATION = range(2**30, 2**31)
TRAINING_ROLLOUTS = range(2**31, 2**32)
CALIBRATION = range(2**32, 2**33)


def layout_seeds(purpose: range, first: int, count: int | None = None) -> range:
    """The simulator's seeds of `count` layouts from the `first` of `purpose` on, or of all the rest.

    Args:
        purpose: `DEMONSTRATIONS`, `EVALUATION`, `TRAINING_ROLLOUTS` or `CALIBRATION`.
        first: counted from 0 within it, as `--layout_seed` does.

    Raises:
        UserError: `purpose` has no such layouts.
    """
    end = first + (1 if count is None else count)
    if not 0 <= first <= end <= len(purpose):
        remedy = "a smaller --layout_seed, or fewer layouts" if first >= 0 else "a --layout_seed of at least 0"
        raise UserError(f"layouts {first} to {end - 1}: they are numbered 0 to {len(purpose) - 1} here: give {remedy}")
    return purpose[first : None if count is None else end]


def sample_layout(
    rng: np.random.Generator, x_range: Range, y_range: Range, yaw_range: Range, min_distance: float
) -> np.ndarray:
    """A random layout of the two cubes.

    Args:
        x_range, y_range: of the cubes' centres, metres from the arm's axis.
        yaw_range: degrees about the vertical.
        min_distance: between the centres, metres; the open gripper around one cube needs 0.046.

    Returns:
        (2, 3): x, y and yaw of the yellow and of the orange cube.

    Raises:
        UserError: an empty range, or no room for two cubes.
    """
    low, high = np.transpose([x_range, y_range, yaw_range])
    if (low > high).any():
        raise UserError(f"a range is (low, high); got {x_range}, {y_range}, {yaw_range}")
    if np.hypot(*(high - low)[:2]) <= min_distance:
        raise UserError(f"two cubes {min_distance} m apart do not fit into x {x_range}, y {y_range}")
    while True:
        layout = rng.uniform(low, high, size=(2, 3))
        if np.linalg.norm(layout[0, :2] - layout[1, :2]) > min_distance:
            return layout
