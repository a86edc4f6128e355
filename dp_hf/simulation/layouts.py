"""Where the cubes lie."""

import numpy as np

from dp_hf.errors import UserError

Range = tuple[float, float]


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
