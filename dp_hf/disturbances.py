"""What may differ from the nominal scene of the simulator, and the scenes that a policy is measured in."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np

from dp_hf.errors import UserError
from dp_hf.ranges import Range


@dataclass(kw_only=True)
class Disturbances:
    """How far a simulated episode is from the nominal scene; by default not at all.

    Every episode draws its own amounts from its layout's seed, uniformly up to the strength where an option says "up
    to". One disturbance changes nothing of what another one draws, nor where the cubes lie.
    """

    shadows: bool = False
    """shadows and smoothed edges: about ten times the time of a frame"""
    camera_shift: Annotated[float, Range(0, 1000)] = 0.0
    """each episode moves the cameras by up to this many millimetres along each axis"""
    camera_turn: Annotated[float, Range(0, 180)] = 0.0
    """each episode turns the cameras by up to this many degrees about each axis"""
    light_jitter: Annotated[float, Range(0, 1)] = 0.0
    """each episode changes the light's brightness and direction by up to this fraction, 0 to 1"""
    light_color: Annotated[float, Range(0, 1)] = 0.0
    """each episode changes the red, green and blue of the light by up to this fraction each, 0 to 1"""
    surfaces: Annotated[int, Range(0, 10)] = 0
    """each episode covers table, mat and background with one each of the first so many of ten colours and textures"""
    distractors: Annotated[int, Range(0, 5)] = 0
    """objects that lie about, of shapes and colours that each episode draws; the arm can knock them over"""
    sensor: Annotated[float, Range(0, 10)] = 0.0
    """a worse camera: 1 is noise of 5 (standard deviation, of 255), blur of 1 pixel (standard deviation), JPEG of
    quality 50, and exposure changed by up to 20 % in each episode; 0.5 is half of each, JPEG of quality 75"""
    hue_jitter: Annotated[float, Range(0, 1)] = 0.0
    """each episode turns the hue of both cubes together, and that of the finger pads, by up to this fraction of the way
    to the opposite colour: 0.1 is 18 degrees of the colour circle"""
    push: Annotated[float, Range(0, 100)] = 0.0
    """in each episode a horizontal force for half a second, that moves the hand by about this many millimetres"""
    disturbed_share: Annotated[float, Range(0, 1)] = 1.0
    """probability of each of these disturbances, drawn by itself, to take part in an episode"""

    def options(self) -> dict[str, Any]:
        """By name, those of a subclass left out."""
        return {field.name: getattr(self, field.name) for field in fields(Disturbances)}

    def of_one_episode(self, rng: np.random.Generator) -> "Disturbances":
        """Those that take part in an episode; the others are off."""
        options = self.options()
        present = rng.random(len(options)) < self.disturbed_share
        return Disturbances(**{name: options[name] for name, keep in zip(options, present, strict=True) if keep})

    def given(self) -> dict[str, Any]:
        """The options that are not the default."""
        default = Disturbances().options()
        return {name: value for name, value in self.options().items() if value != default[name]}


_STRENGTHS: tuple[tuple[str, Any], ...] = (
    ("light_jitter", 0.3),
    ("light_color", 0.3),
    ("camera_turn", 1.0),
    ("camera_turn", 3.0),
    ("camera_shift", 10.0),
    ("shadows", True),
    ("surfaces", 10),
    ("distractors", 3),
    ("sensor", 1.0),
    ("hue_jitter", 0.1),
    ("push", 20.0),
)
NOMINAL = "nominal"
TABLE: dict[str, Disturbances] = {
    NOMINAL: Disturbances(),
    **{name if value is True else f"{name} {value:g}": Disturbances(**{name: value}) for name, value in _STRENGTHS},
    "all together": Disturbances(**dict(_STRENGTHS)),
}
"""The scenes that a policy is measured in, by name; of two strengths of a kind, all together have the greater one."""


def scenes_called(parts: Sequence[str]) -> list[str]:
    """The scenes of the table whose names have one of the parts in them; all of them without parts.

    Raises:
        UserError: a part that is in no name.
    """
    if unknown := [part for part in parts if not any(part in name for name in TABLE)]:
        raise UserError(f"--disturbances has no scene {' or '.join(unknown)}: there are {', '.join(TABLE)}")
    return [name for name in TABLE if not parts or any(part in name for part in parts)]
