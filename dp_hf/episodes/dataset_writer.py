"""Writes a dataset of any arm: from episodes in memory to the folder that training and the Hub take."""

import math
import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from datasets import Features

from dp_hf.arms.quantities import Quantities
from dp_hf.episodes.actions import ACTION_OFFSET, actions_from_states, require_offset_in_use
from dp_hf.episodes.dataset_card import write_dataset_card
from dp_hf.episodes.dataset_folder import refuse_to_replace
from dp_hf.episodes.episode_rows import (
    EpisodeRows,
    FilesOfEpisode,
    FilesOnDisk,
    ShardWriter,
    Written,
    folder_of,
    group_rows,
    write_rows,
)
from dp_hf.episodes.format import Actor
from dp_hf.episodes.given_episode import actors_of_rows, finite_numbers, image_columns, image_files
from dp_hf.episodes.images import ImageFile, Picture
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.episodes.parquet import DATA_FOLDER, ParquetShards, features_of
from dp_hf.episodes.problems import Problem, first_lines
from dp_hf.episodes.statistics import Statistics
from dp_hf.episodes.units import contradiction
from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside, leads_out, user_path
from dp_hf.list_on_disk import ListOnDisk
from dp_hf.workers.workers import HERE, Workers


class DatasetWriter:
    """Context manager that writes a dataset, episode by episode. It is there, whole, once the context is left.

    ```python
    joints = Quantities(("shoulder", "elbow", "jaw"), ("radians", "radians", "0..100"))
    with DatasetWriter("data/pouring", cameras=["front"], state=joints, fps=30) as writer:
        writer.add_episode("monday_1", images=frames, state=states, action=commands)
    ```

    Args:
        output_dir: the dataset's folder; an earlier dataset there is replaced.
        cameras: their names, which become the names of the columns; the only one's becomes `image`.
        state, action: what each number of a state and of an action is; an action has a state's by default.
        fps: rows a second.
        source: what was recorded, the title of the dataset's card.
        action_source: "recorded": every episode comes with the commands that were given; "state": an action is the
            state `action_offset` rows later.
        action_offset: see there.
        frame_skip: every how many recorded frames a row was taken.
        angle_unit_of_source: what angles were converted from.
        has_actors: rows say who acted.

    Attributes:
        num_frames: rows written.
        warnings: lines for `meta.json`: what was found in the episodes, and what the caller adds.
        image_sizes: (width, height) in pixels of the images written.

    Raises:
        UserError: an argument that is none of these, an `output_dir` that holds something else; when the context is
            left, no episode.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike,
        cameras: Sequence[str],
        state: Quantities,
        action: Quantities | None = None,
        *,
        fps: float,
        source: str = "",
        action_source: str = "recorded",
        action_offset: int = ACTION_OFFSET,
        frame_skip: int = 1,
        angle_unit_of_source: str = "as recorded",
        has_actors: bool = False,
    ):
        if not (math.isfinite(fps) and fps > 0):
            raise UserError(f"fps is a number of rows a second; got {fps}")
        if action_offset < 0 or frame_skip < 1:
            raise UserError(f"action_offset {action_offset} is at least 0, and frame_skip {frame_skip} at least 1")
        if action_source not in ("recorded", "state"):
            raise UserError(f"action_source is recorded or state; got {action_source!r}")
        require_offset_in_use(action_source, action_offset)
        if action_source == "state" and action not in (None, state):
            raise UserError(f"actions that are states are {state}, not {action}")
        self.output_dir = user_path(output_dir)
        refuse_to_replace(self.output_dir)
        self.columns = image_columns(cameras)
        self.state, self.action = state, action or state
        self.num_frames = 0
        self.warnings: list[str] = []
        self.image_sizes: set[tuple[int, int]] = set()
        self._description: dict[str, Any] = {
            "fps": float(fps),
            "source": source,
            "action_source": action_source,
            "action_offset": action_offset,
            "frame_skip": frame_skip,
            "angle_unit_of_source": angle_unit_of_source,
            "has_actors": has_actors,
        }
        self._first: dict[bytes, str] = {}  # episode of every digest of states and actions
        self._names: dict[str, None] = {}  # in their order
        self._meta: DatasetMeta | None = None

    @classmethod
    def like(cls, meta: DatasetMeta, output_dir: str | os.PathLike, source: str | None = None) -> "DatasetWriter":
        """Of a dataset whose rows are as those of another, described by `meta`; `source` in place of its own."""
        return cls(
            output_dir,
            meta.camera_names,
            meta.state,
            meta.action,
            fps=meta.fps,
            source=meta.source if source is None else source,
            action_source=meta.action_source,
            action_offset=meta.action_offset,
            frame_skip=meta.frame_skip,
            angle_unit_of_source=meta.angle_unit_of_source,
            has_actors=meta.has_actors,
        )

    def __enter__(self) -> "DatasetWriter":
        with ExitStack() as stack:
            self._folder = stack.enter_context(folder_written_beside(self.output_dir))
            self._shards = stack.enter_context(ParquetShards(self._folder / DATA_FOLDER, self._features))
            self._of_states = stack.enter_context(closing(Statistics(self._folder)))
            self._of_actions = stack.enter_context(closing(Statistics(self._folder)))
            self._stack = stack.pop_all()
        return self

    def add_episode(
        self,
        name: str,
        images: Sequence[Picture] | Mapping[str, Sequence[Picture]],
        state: np.ndarray | Sequence,
        action: np.ndarray | Sequence | None = None,
        timestamp: np.ndarray | Sequence | None = None,
        frames: Sequence[int] | np.ndarray | None = None,
        actor: Sequence[Actor] | None = None,
    ) -> list[Problem]:
        """Appends an episode of T rows.

        Args:
            name: of the episode, different from all others.
            images: T pictures of the only camera, or a dict of them for every camera: PNG or JPEG files as bytes, which
                are kept as they are, or uint8 arrays (H, W, 3) or PIL images, RGB, which become PNG files.
            state: (T, numbers of a state).
            action: (T, numbers of an action): the command given at each row. May be left out where `action_source` is
                "state".
            timestamp: (T,) seconds on any clock; by default the rows are 1 / `fps` apart.
            frames: numbers of the rows in the recording, by which problems name them; by default from 0 on.
            actor: T times who acted, where `has_actors`; by default a person, as in demonstrations.

        Returns:
            What looks wrong in it and is written all the same; `warnings` has it too.

        Raises:
            UserError: one of them has another length, shape or kind, or holds a value that is not finite; nothing of
                the episode is written then.
        """
        pictures = image_files(name, images, self.columns)
        rows = self._rows(name, pictures, state, action, timestamp, frames, actor, len(self._names))
        return self._note(rows, write_rows(self._shards, rows, self.state, self._has_commands))

    def add_files(
        self, episodes: Iterable[FilesOfEpisode], workers: Workers = HERE, progress: bool = True
    ) -> list[list[Problem]]:
        """Appends episodes whose images are files that were decoded before, each as by `add_episode`.

        Shards end where an episode does, and the same episodes make the same ones, however many workers there are. The
        episodes are taken one at a time, and wait on disk to be written.

        Returns:
            What looks wrong in each.
        """
        whole: ListOnDisk[EpisodeRows] = ListOnDisk(self._folder)
        num_bytes = array("Q")
        for number, each in enumerate(episodes, len(self._names)):
            pictures = {self.columns[camera]: files for camera, files in each.images.items()}
            numbers = (each.state, each.action, each.timestamp, each.frames, each.actor)
            whole.append(rows := self._rows(each.name, pictures, *numbers, number))
            num_bytes.append(rows.num_bytes)
        groups = group_rows(whole, num_bytes)
        folder = self._folder / DATA_FOLDER
        setup = partial(ShardWriter, folder, self._features, self.state, self._has_commands)
        written = workers.map(setup, groups, "Writing", progress)
        for group in groups:
            self._shards.adopt(folder_of(folder, group))
        return [self._note(rows, each) for rows, each in zip(whole, chain(*written), strict=True)]

    @property
    def _features(self) -> Features:
        return features_of([*self.columns.values()], len(self.state), len(self.action), self._description["has_actors"])

    @property
    def _has_commands(self) -> bool:
        """Whether actions are commands of a state's numbers."""
        return self._description["action_source"] == "recorded" and self.action == self.state

    def _rows(
        self,
        name: str,
        pictures: Mapping[str, Sequence[ImageFile] | FilesOnDisk],
        state: np.ndarray | Sequence,
        action: np.ndarray | Sequence | None,
        timestamp: np.ndarray | Sequence | None,
        frames: Sequence[int] | np.ndarray | None,
        actor: Sequence[Actor] | None,
        index: int,
    ) -> EpisodeRows:
        if not name or name in self._names:
            raise UserError(f"episode {name!r}: {'there is one of that name' if name else 'it has no name'}")
        if leads_out(name):
            raise UserError(f"episode {name!r}: its name leads out of a folder: leave out .. and a leading /")
        states = finite_numbers(f"episode {name}: state", state, (None, len(self.state)), np.float32)
        if action is not None:
            actions = finite_numbers(f"episode {name}: action", action, (len(states), len(self.action)), np.float32)
        elif self._description["action_source"] == "state":
            actions = actions_from_states(states, 1, self._description["action_offset"])
        else:
            raise UserError(f"episode {name}: no action is given; action_source 'state' makes actions of the states")
        times = np.arange(len(states)) / self._description["fps"] if timestamp is None else timestamp
        times = finite_numbers(f"episode {name}: timestamp", times, (len(states),), np.float64)
        for camera, column in self.columns.items():
            if len(pictures[column]) != len(states):
                raise UserError(
                    f"episode {name}: it has {len(pictures[column])} images of {camera}, and {len(states)} states"
                )
        actors = actors_of_rows(name, actor, len(states), self._description["has_actors"])
        return EpisodeRows(name, index, pictures, states, actions, times, frames, actors)

    def _note(self, rows: EpisodeRows, written: Written) -> list[Problem]:
        """Takes the episode into the description; returns what is wrong in it."""
        self._names[rows.name] = None
        self._of_states.add(rows.states)
        self._of_actions.add(rows.actions)
        self.num_frames += len(rows.states)
        self.image_sizes |= written.sizes
        problems = [*written.problems]
        first = self._first.setdefault(written.digest, rows.name)
        if first != rows.name:
            problems.append(Problem("duplicate episode", f"has the same states and actions as {first} in every row"))
        self.warnings += [f"{rows.name}: {problem}; {problem.remedy}" for problem in problems]
        return problems

    @property
    def meta(self) -> DatasetMeta:
        """The description of what is written so far.

        Raises:
            UserError: nothing is.
        """
        if not self._names:
            raise UserError(f"{self.output_dir}: no episode was added")
        if self._meta is not None:
            return self._meta
        warnings = first_lines(self.warnings)
        if self._description["angle_unit_of_source"] == "as recorded":  # else the angles told their unit
            # States alone, where actions are of the same numbers.
            found = {self.action: self._of_actions, self.state: self._of_states}
            doubts = (contradiction(quantities, each.low, each.high) for quantities, each in found.items())
            warnings = [*filter(None, doubts), *warnings]
        return DatasetMeta(
            camera_names=[*self.columns.values()],
            episodes=[*self._names],
            num_frames=self.num_frames,
            statistics={"state": self._of_states.of_columns(), "action": self._of_actions.of_columns()},
            state_names=list(self.state.names),
            state_units=list(self.state.units),
            action_names=list(self.action.names),
            action_units=list(self.action.units),
            warnings=[*dict.fromkeys(warnings)],
            **self._description,
        )

    def __exit__(self, exception_type, exception, traceback) -> None:
        if exception is not None:
            self._stack.__exit__(exception_type, exception, traceback)
            return
        with self._stack:
            self._meta = self.meta
            self._meta.save(self._folder)
            write_dataset_card(self._folder, self._meta)
