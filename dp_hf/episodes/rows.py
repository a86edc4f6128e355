"""What the rows of a dataset are, whoever wrote it: episodes one after the other, frames in order, finite numbers."""

import os
from collections.abc import Container

import datasets
import numpy as np

from dp_hf.episodes.format import ACTORS
from dp_hf.errors import UserError

_NUMBERS = ("state", "action", "episode_index")


def numbers_of(dataset: datasets.Dataset, name: str | os.PathLike) -> dict[str, np.ndarray]:
    """`state` (N, state_dim) and `action` (N, action_dim) float32, and `episode_index` (N,) int64 of all rows.

    Args:
        name: what an error calls the dataset.

    Raises:
        UserError: a column is absent, there are no rows, a number is absent or not finite, or the rows of an episode
            are not next to each other, in order and without a hole.
    """
    if missing := [column for column in _NUMBERS if column not in dataset.column_names]:
        raise UserError(f"{name} has no column {', '.join(missing)}; it has {', '.join(dataset.column_names)}")
    if len(dataset) == 0:
        raise UserError(f"{name} has no frames")
    wanted = [column for column in (*_NUMBERS, "frame_index") if column in dataset.column_names]
    for column in wanted:
        if dataset.data.column(column).null_count:
            raise UserError(f"{name}: column {column} has rows without a value; convert the recording again")
    values = dataset.select_columns(wanted).with_format("numpy")[:]
    episodes = values["episode_index"].astype(np.int64)
    for column in ("state", "action"):
        values[column] = values[column].astype(np.float32)
        if len(wrong := np.flatnonzero(~np.isfinite(values[column]).all(axis=1))):
            row = wrong[0]
            found = values[column][row].tolist()
            raise UserError(f"{name}: {column} of row {row} (episode {episodes[row]}) is not finite: {found}")
    require_in_order(episodes, values.get("frame_index"), name)
    return {"state": values["state"], "action": values["action"], "episode_index": episodes}


def by_person(dataset: datasets.Dataset, name: str | os.PathLike) -> np.ndarray:
    """(N,) bool: the rows in which a person acted; all, where the dataset does not say who did.

    Raises:
        UserError: a row that does not say it.
    """
    if "actor" not in dataset.column_names:
        return np.ones(len(dataset), dtype=bool)
    actors = np.array(dataset["actor"][:], dtype=object)
    if len(wrong := np.flatnonzero(~np.isin(actors, ACTORS))):
        raise UserError(
            f"{name}: actor of row {wrong[0]} is {actors[wrong[0]]!r}, not one of {', '.join(ACTORS)}; convert the "
            "recording again"
        )
    return actors == "person"


def require_in_order(
    episodes: np.ndarray, frames: np.ndarray | None, name: str | os.PathLike, earlier: Container[int] = ()
) -> None:
    """Raises `UserError` unless the rows of an episode are next to each other, in order and without a hole.

    Args:
        episodes: (N,) of the rows, N > 0.
        frames: (N,) numbers of the rows in their episodes, where the dataset has them.
        name: what the error calls the dataset.
        earlier: episodes of the rows before these, in another part of the dataset.
    """
    goes_on = np.diff(episodes) == 0
    begun = [episodes[0], *episodes[1:][~goes_on]]
    if len(set(begun)) < len(begun) or any(episode in earlier for episode in begun):
        raise UserError(f"{name}: the rows of an episode are not next to each other: sort them by episode_index")
    if frames is not None and len(wrong := np.flatnonzero(goes_on & (np.diff(frames) != 1))):
        row = wrong[0] + 1
        raise UserError(
            f"{name}: frame {frames[row]} of episode {episodes[row]} comes after frame {frames[row - 1]}: "
            "frames are missing or out of order; convert the recording again"
        )
