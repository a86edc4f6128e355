"""Windows of frames: the observations up to a moment and the actions from it on, gathered a whole batch at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, Protocol

import datasets
import torch

from dp_hf.episodes.format import whole_episode
from dp_hf.episodes.rows import by_person, numbers_of
from dp_hf.errors import UserError
from dp_hf.pipelines.execution import episode_starts, history_rows


class Observations(Protocol):
    """Something that holds every frame's images (`name` is "images") or features ("image_features")."""

    name: str

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows of the dataset, of any shape, to (*rows.shape, ...)."""


@dataclass(frozen=True)
class Trajectories:
    """What is small enough to hold in memory of a dataset of N frames, in its units.

    Attributes:
        state, action: (N, state_dim) and (N, action_dim) float32.
        episode_index: (N,) int64; an episode's rows are next to each other and in order.
        by_person: (N,) bool, the rows whose actions are to be learned: a person's. A policy that learned its own would
            learn its mistakes.
    """

    state: torch.Tensor
    action: torch.Tensor
    episode_index: torch.Tensor
    by_person: torch.Tensor

    @classmethod
    def from_dataset(
        cls, dataset: datasets.Dataset, name: str = "the dataset", learn_from: Literal["person", "all"] = "person"
    ) -> "Trajectories":
        """Of the dataset that is called `name`; `learn_from` "all" takes the policy's rows for a person's.

        Raises:
            UserError: as `numbers_of` and `by_person`, or a person acted in no row.
        """
        numbers = numbers_of(dataset, name) | {"by_person": by_person(dataset, name)}
        if learn_from == "all":
            numbers["by_person"][:] = True
        if not numbers["by_person"].any():
            raise UserError(
                f"{name} has no frame in which a person acted: a policy learns from corrections, not from itself; "
                "--learn_from all takes every frame"
            )
        return cls(**{column: torch.from_numpy(values) for column, values in numbers.items()})


@dataclass(frozen=True)
class Windows:
    """N windows over a dataset's rows. What each of them holds is computed when it is asked for, so that millions of
    windows take 8 bytes each.

    Attributes:
        rows: (N,) int64, of the latest observation.
        starts: (E + 1,) int64, the first row of each episode of the dataset, and after them the number of rows.
        borders: (S + 1,) int64, as `starts`, and where in an episode a person takes the arm or gives it back.
        n_obs_steps, horizon: observations and actions.
    """

    rows: torch.Tensor
    starts: torch.Tensor
    borders: torch.Tensor
    n_obs_steps: int
    horizon: int

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: torch.Tensor | slice) -> "Windows":
        return replace(self, rows=self.rows[chosen])

    @property
    def observation_rows(self) -> torch.Tensor:
        """(N, n_obs_steps), the latest last; an episode's first frame stands for those before it."""
        return torch.from_numpy(history_rows(self.rows.numpy(), self.starts.numpy(), self.n_obs_steps))

    @property
    def action_rows(self) -> torch.Tensor:
        """(N, horizon), from the latest observation's row on; the last row of an episode, or of what a person did in
        one go, stands for those after it."""
        return self._ahead.minimum(self._last)

    @property
    def is_pad(self) -> torch.Tensor:
        """(N, horizon) bool, True past that end."""
        return self._ahead > self._last

    @property
    def _ahead(self) -> torch.Tensor:
        return self.rows[:, None] + torch.arange(self.horizon)

    @property
    def _last(self) -> torch.Tensor:
        """(N, 1) of each window's episode, or of what a person did in one go."""
        return (self.borders[torch.searchsorted(self.borders, self.rows, right=True)] - 1)[:, None]

    def evenly_spaced(self, count: int) -> "Windows":
        """At most `count` of the windows; 0 is all."""
        if count == 0 or count >= len(self):
            return self
        return self[torch.linspace(0, len(self) - 1, count).long()]


def make_windows(
    episode_index: torch.Tensor,
    episodes: Sequence[int],
    n_obs_steps: int,
    horizon: int,
    by_person: torch.Tensor | None = None,
) -> Windows:
    """One window for every frame of the chosen episodes in which a person acted.

    What is observed before may be the policy's doing; an action that is learned is none of it.

    Args:
        episode_index, by_person: (N,) as in `Trajectories`; by default a person acted in all frames.
    """
    starts = torch.from_numpy(episode_starts(episode_index.numpy()))
    end = torch.tensor([len(episode_index)])
    is_chosen = torch.isin(episode_index[starts], torch.tensor(episodes, dtype=torch.int64))
    starts = torch.cat([starts, end])
    chosen, borders = is_chosen.repeat_interleave(starts.diff()), starts
    if by_person is not None:
        chosen = chosen & by_person
        borders = torch.cat([torch.from_numpy(episode_starts((2 * episode_index + by_person).numpy())), end])
    return Windows(chosen.nonzero().squeeze(1), starts, borders, n_obs_steps, horizon)


def split_episodes(
    episode_index: torch.Tensor, validation_fraction: float, seed: int, names: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Training and held-out episodes. At least one is held out, unless there is only one or the fraction is 0.

    The parts of one recorded episode, as `names` (of every episode, by its index) tells them, stay on one side.
    """
    recordings: dict[str, list[int]] = {}
    for episode in torch.unique(episode_index).tolist():
        recordings.setdefault(whole_episode(names[episode]), []).append(episode)
    wanted = max(1, round(len(recordings) * validation_fraction)) if validation_fraction > 0 else 0
    count = min(wanted, len(recordings) - 1)
    parts = list(recordings.values())
    order = [parts[i] for i in torch.randperm(len(parts), generator=torch.Generator().manual_seed(seed))]
    return sorted(chain(*order[count:])), sorted(chain(*order[:count]))


class WindowDataset(torch.utils.data.Dataset):
    """Map-style dataset of windows whose `__getitems__` gathers a whole batch; use it with `collate_fn=as_is`.

    A batch: `images` (B, n_obs_steps, n_cameras, 3, H, W) uint8 or `image_features` (B, n_obs_steps, variants, F);
    `state` (B, n_obs_steps, state_dim) and `action` (B, horizon, action_dim) in the robot's units; `is_pad`
    (B, horizon) bool.
    """

    def __init__(self, trajectories: Trajectories, windows: Windows, observations: Observations):
        self.trajectories, self.windows, self.observations = trajectories, windows, observations

    def __len__(self) -> int:
        return len(self.windows)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        windows = self.windows[torch.as_tensor(indices)]
        observation_rows = windows.observation_rows
        return {
            self.observations.name: self.observations[observation_rows],
            "state": self.trajectories.state[observation_rows],
            "action": self.trajectories.action[windows.action_rows],
            "is_pad": windows.is_pad,
        }


def as_is(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return batch
