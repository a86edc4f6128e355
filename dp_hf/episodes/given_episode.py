"""What a program gives as an episode of a dataset, checked: a wrong length, shape, kind or value is a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dp_hf.cameras import by_camera, camera_columns, is_camera_name
from dp_hf.episodes.format import ACTORS, Actor
from dp_hf.episodes.images import ImageFile, Picture, encoded
from dp_hf.episodes.parquet import features_of
from dp_hf.errors import UserError

_OTHER_COLUMNS = set(features_of((), has_actors=True))


def image_files(
    name: str, images: Sequence[Picture] | Mapping[str, Sequence[Picture]], columns: Mapping[str, str]
) -> dict[str, list[ImageFile]]:
    """The files of every image column, of the pictures of the episode `name`; `columns` as of `image_columns`."""
    pictures = by_camera(images)
    names = set(columns if isinstance(images, Mapping) else columns.values())
    if set(pictures) != names:
        raise UserError(f"episode {name}: it has images of {', '.join(pictures)}, not of {', '.join(columns)}")
    files: dict[str, list[ImageFile]] = {}
    for camera, column in columns.items():
        of_camera = pictures[camera if isinstance(images, Mapping) else column]
        files[column] = [
            encoded(each, f"episode {name}: image {row} of {camera}") for row, each in enumerate(of_camera)
        ]
    return files


def actors_of_rows(name: str, actor: Sequence[Actor] | None, num_rows: int, has_actors: bool) -> list[Actor] | None:
    """Who acted in each row of the episode `name`: a person, where nothing is given; None where no row says it."""
    if not has_actors:
        if actor is not None:
            raise UserError(f"episode {name}: it says who acted, and the writer has no has_actors=True")
        return None
    actors: list[Actor] = ["person"] * num_rows if actor is None else [*actor]
    if len(actors) != num_rows or (wrong := [each for each in actors if each not in ACTORS]):
        found = f"{len(actors)} actors for {num_rows} rows" if len(actors) != num_rows else repr(wrong[0])
        raise UserError(f"episode {name}: who acted is one of {', '.join(ACTORS)} for every row, not {found}")
    return actors


def image_columns(cameras: Sequence[str]) -> dict[str, str]:
    """Camera to the name of its column."""
    columns = camera_columns({camera: camera for camera in cameras})
    if isinstance(cameras, str) or not cameras or len(columns) < len(cameras):
        raise UserError(f"cameras is a list of different names; got {cameras!r}")
    if wrong := [camera for camera in columns if not is_camera_name(camera)]:
        raise UserError(f"a camera is called {wrong[0]!r}: use letters, digits, - and _")
    if taken := _OTHER_COLUMNS & set(columns.values()):
        raise UserError(f"a camera is called {sorted(taken)[0]!r}, as another column is: choose with --camera_names")
    return columns


def finite_numbers(what: str, values: Any, shape: tuple[int | None, ...], dtype: Any) -> np.ndarray:
    """`values` as finite numbers of this shape; None takes any length above 0."""
    try:
        rows = np.array(values, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{what} is no array of numbers ({error})") from error
    fits = len(rows.shape) == len(shape) and all(
        found > 0 and wanted in (None, found) for found, wanted in zip(rows.shape, shape, strict=True)
    )
    if not fits:
        raise UserError(f"{what} has the shape {rows.shape}, not {str(shape).replace('None', 'T')}")
    if not np.isfinite(rows).all():
        row = int(np.argwhere(~np.isfinite(rows))[0, 0])
        raise UserError(f"{what} of row {row} is not finite: {rows[row]}")
    return rows
