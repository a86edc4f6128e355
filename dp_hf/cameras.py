"""One rule for cameras: the only one is called `image`, and a frame is its picture; several have names, and a frame
is a dict of their pictures."""

import re
from collections.abc import Mapping
from typing import TypeVar, cast

ONLY_CAMERA = "image"

Picture = TypeVar("Picture")


def camera_columns(names: Mapping[str, str]) -> dict[str, str]:
    """Each camera of a source to its name in a dataset: the one proposed in `names`, or `image` for the only camera."""
    return dict.fromkeys(names, ONLY_CAMERA) if len(names) == 1 else dict(names)


def is_camera_name(name: str) -> bool:
    """Whether a dataset's camera may be called so: letters, digits, - and _, since it is a part of files' names too."""
    return re.fullmatch(r"[\w-]+", name) is not None


def as_frame(pictures: dict[str, Picture]) -> Picture | dict[str, Picture]:
    """A frame from the pictures by camera: that of the only camera itself, else all by name."""
    return next(iter(pictures.values())) if len(pictures) == 1 else pictures


def by_camera(frame: Picture | Mapping[str, Picture]) -> Mapping[str, Picture]:
    """A frame's pictures by camera."""
    return frame if isinstance(frame, Mapping) else {ONLY_CAMERA: cast(Picture, frame)}
