"""The scene's model, and what each episode changes in it."""

import colorsys
import copy
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image

from dp_hf.disturbances import Disturbances
from dp_hf.episodes.images import png_bytes
from dp_hf.simulation.distractors import distractors_xml
from dp_hf.simulation.surfaces import TILE, surface

SCENE = Path(__file__).with_name("cube_stacking.xml")
COVERED = (("table",), ("mat",), ("wall_behind", "wall_left", "wall_right"))  # geoms that get the same surface
HUED = (("yellow", "orange"), ("pad",))  # materials whose hues turn by the same angle


def load_model(surfaces: int = 0, distractors: int = 0) -> mujoco.MjModel:
    """The nominal scene, with so many surfaces to choose from and objects that lie about."""
    if not surfaces and not distractors:
        return mujoco.MjModel.from_xml_path(str(SCENE))
    assets = {SCENE.name: SCENE.read_bytes()} | {
        f"{i}.png": png_bytes(Image.fromarray(surface(i))) for i in range(surfaces)
    }
    textures = "".join(
        f'<texture name="surface{i}" type="2d" file="{i}.png"/><material name="surface{i}" texture="surface{i}" '
        f'texuniform="true" texrepeat="{1 / TILE} {1 / TILE}" rgba=".7 .7 .7 1" specular="0"/>'
        for i in range(surfaces)
    )
    walls = """
        <geom name="wall_behind" type="box" pos="-.7 0 .15" size=".01 .7 .15"/>
        <geom name="wall_left" type="box" pos="0 .7 .15" size=".7 .01 .15"/>
        <geom name="wall_right" type="box" pos="0 -.7 .15" size=".7 .01 .15"/>"""
    return mujoco.MjModel.from_xml_string(
        f"""
        <mujoco>
          <include file="{SCENE.name}"/>
          <asset>{textures}</asset>
          <worldbody>{walls if surfaces else ""}{distractors_xml(distractors)}</worldbody>
        </mujoco>""",
        assets,
    )


class Scene:
    """A model that every episode changes anew.

    Args:
        disturbances: what the episodes may hold; only what they need is in the model.

    Attributes:
        model: what is simulated.
    """

    def __init__(self, disturbances: Disturbances):
        self.model = load_model(disturbances.surfaces, disturbances.distractors)
        self._nominal = copy.copy(self.model)

    def move_cameras(self, shift: float, turn: float, rng: np.random.Generator) -> None:
        """By up to `shift` millimetres along each axis and `turn` degrees about each."""
        model, nominal = self.model, self._nominal
        shifts = rng.uniform(-1, 1, (model.ncam, 3)) * shift / 1000
        turns = rng.uniform(-1, 1, (model.ncam, 3)) * np.radians(turn)
        model.cam_pos[:] = nominal.cam_pos + shifts
        model.cam_quat[:] = nominal.cam_quat
        for quaternion, angles in zip(model.cam_quat, turns, strict=True):
            mujoco.mju_quatIntegrate(quaternion, angles, 1.0)

    def change_light(self, jitter: float, rng: np.random.Generator) -> None:
        """Brightness and direction, by up to this fraction."""
        model, nominal = self.model, self._nominal
        model.light_diffuse[:] = nominal.light_diffuse * (1 + jitter * rng.uniform(-1, 1))
        direction = nominal.light_dir + jitter * rng.uniform(-1, 1, 3)
        model.light_dir[:] = direction / np.linalg.norm(direction)

    def color_light(self, jitter: float, rng: np.random.Generator) -> None:
        """Each channel of what `change_light` has left, by up to this fraction."""
        self.model.light_diffuse[:] *= 1 + jitter * rng.uniform(-1, 1, 3)

    def cover_surfaces(self, count: int, rng: np.random.Generator) -> None:
        """Table, mat and background, with any of the first `count` surfaces each; 0 leaves the nominal ones."""
        self.model.geom_matid[:] = self._nominal.geom_matid
        for geoms in COVERED if count else ():
            material = self.model.material(f"surface{rng.integers(count)}").id
            for geom in geoms:
                self.model.geom(geom).matid[:] = material

    def turn_hues(self, jitter: float, rng: np.random.Generator) -> None:
        """Of the cubes together and of the finger pads, by up to this fraction of half a turn."""
        self.model.mat_rgba[:] = self._nominal.mat_rgba
        for materials in HUED if jitter else ():
            turn = jitter / 2 * rng.uniform(-1, 1)
            for material in materials:
                rgba = self.model.material(material).rgba
                hue, saturation, value = colorsys.rgb_to_hsv(*rgba[:3])
                rgba[:3] = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
