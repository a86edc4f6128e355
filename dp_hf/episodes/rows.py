"""What the rows of a dataset are, whoever wrote it: episodes one after the other, frames in order, finite numbers."""

import os
from collections.abc import Container

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dp_hf.episodes.format import ACTORS
from dp_hf.errors import UserError

_NUMBERS = ("state", "action", "episode_index")
_AT_ONCE = 10_000  # rows


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
    values = {column: column_of(dataset, column, np.float32, name) for column in ("state", "action")}
    values |= {column: column_of(dataset, column, np.int64, name) for column in wanted if column not in values}
    episodes = values["episode_index"]
    for column in ("state", "action"):
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
    actors = who_acted(dataset, name)
    return np.ones(len(dataset), dtype=bool) if actors is None else actors == ACTORS.index("person")


def who_acted(dataset: datasets.Dataset, name: str | os.PathLike) -> np.ndarray | None:
    """(N,) int8: who acted in each row as a position in `ACTORS`; None where the dataset does not say it.

    Raises:
        UserError: a row that does not say it.
    """
    if "actor" not in dataset.column_names:
        return None
    whole = np.empty(len(dataset), np.int8)
    start = 0
    for table in dataset.select_columns(["actor"]).with_format("arrow").iter(batch_size=_AT_ONCE):
        assert isinstance(table, pa.Table)
        actors = table.column(0)
        positions = pc.index_in(actors, pa.array(ACTORS))
        if positions.null_count:
            row = int(np.argmax(positions.is_null()))
            raise UserError(
                f"{name}: actor of row {start + row} is {actors[row].as_py()!r}, not one of {', '.join(ACTORS)};"
                " convert the recording again"
            )
        whole[start : start + len(actors)] = positions
        start += len(actors)
    return whole


def column_of(
    dataset: datasets.Dataset, column: str, dtype: type[np.generic], name: str | os.PathLike = "the dataset"
) -> np.ndarray:
    """A column of numbers (N,), or of lists of as many numbers (N, numbers), without an object for each row.

    Args:
        name: what an error calls the dataset.

    Raises:
        UserError: the lists have different lengths.
    """
    whole: np.ndarray | None = None
    start = 0
    for table in dataset.select_columns([column]).with_format("arrow").iter(batch_size=_AT_ONCE):
        assert isinstance(table, pa.Table)
        values = table.column(0).combine_chunks()
        shape = [len(values)]
        while pa.types.is_nested(values.type):
            lengths = pc.unique(pc.list_value_length(values)).to_pylist()
            if len(lengths) != 1 or (whole is not None and lengths[0] != whole.shape[len(shape)]):
                raise UserError(
                    f"{name}: column {column}: its rows have different numbers of values; convert the recording again"
                )
            shape.append(lengths[0])
            values = values.flatten()
        part = values.to_numpy(zero_copy_only=False).reshape(shape)
        if whole is None:
            whole = np.empty((len(dataset), *shape[1:]), dtype)
        whole[start : start + len(part)] = part
        start += len(part)
    assert whole is not None, "there are rows"
    return whole


def as_lists(rows: np.ndarray) -> pa.Array:
    """(N, numbers) float32 as a column of lists of so many numbers, without an object for each row."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel(), pa.float32()), rows.shape[1])


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
