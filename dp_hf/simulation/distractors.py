"""Objects that lie about on the table."""

import colorsys

import mujoco
import numpy as np

from dp_hf.errors import UserError

X_RANGE, Y_RANGE = (0.10, 0.27), (-0.17, 0.17)  # metres: what the camera in front sees of the table, less the base
CUBE_DISTANCE = 0.06  # metres between the centres: the open gripper around a cube needs 0.046
DISTANCE = 0.05
HUES = (90, 330)  # degrees: neither yellow nor orange
NUM_TRIES = 10_000
SIDE = 0.017  # metres: the longest half side
SHAPES = (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_ELLIPSOID)


def distractors_xml(count: int) -> str:
    """So many objects, as children of the scene's `worldbody`, behind all cameras."""
    return "".join(
        f'<body name="distractor{i}" pos="{9 + i} 0 0"><freejoint name="distractor{i}"/>'
        f'<geom name="distractor{i}" class="touch" size="{SIDE} {SIDE} {SIDE}" mass=".03" material="dark"/></body>'
        for i in range(count)
    )


def lay_distractors(
    model: mujoco.MjModel, data: mujoco.MjData, count: int, layout: np.ndarray, rng: np.random.Generator
) -> None:
    """Gives the first `count` another shape, size and colour, and lays them on the table, apart from the cubes of
    `layout` (2, 3) and from each other. Their centres of mass and inertias stay."""
    taken = [(x, y, CUBE_DISTANCE) for x, y, _ in layout]
    for i in range(count):
        geom = model.geom(f"distractor{i}")
        across, along, height = rng.uniform((0.009, 0.009, 0.007), SIDE)
        shape = SHAPES[rng.integers(len(SHAPES))]
        geom.type[:] = shape
        geom.size[:] = (across, height, 0) if shape == mujoco.mjtGeom.mjGEOM_CYLINDER else (across, along, height)
        hue, saturation, value = rng.uniform((HUES[0] / 360, 0.2, 0.25), (HUES[1] / 360, 0.9, 0.9))
        geom.matid[:] = -1
        geom.rgba[:] = (*colorsys.hsv_to_rgb(hue, saturation, value), 1)

        x, y = _free_place(taken, rng)
        taken.append((x, y, DISTANCE))
        half_turn = rng.uniform(0, np.pi)
        data.joint(f"distractor{i}").qpos[:] = [x, y, height, np.cos(half_turn), 0, 0, np.sin(half_turn)]


def _free_place(taken: list[tuple[float, float, float]], rng: np.random.Generator) -> np.ndarray:
    for _ in range(NUM_TRIES):
        place = rng.uniform(*np.transpose([X_RANGE, Y_RANGE]))
        if all(np.hypot(place[0] - x, place[1] - y) > distance for x, y, distance in taken):
            return place
    raise UserError("no room for the distractors: give fewer")
