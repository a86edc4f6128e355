"""Windows of frames: the observations up to a moment and the actions from it on, gathered a whole batch at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

import datasets
import torch

from dp_hf.episodes.format import whole_episode
from dp_hf.episodes.rows import numbers_of
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
    """

    state: torch.Tensor
    action: torch.Tensor
    episode_index: torch.Tensor

    @classmethod
    def from_dataset(cls, dataset: datasets.Dataset) -> "Trajectories":
        """Raises what `numbers_of` does."""
        numbers = numbers_of(dataset, "the dataset")
        return cls(**{name: torch.from_numpy(values) for name, values in numbers.items()})


@dataclass(frozen=True)
class Windows:
    """N windows over a dataset's rows. What each of them holds is computed when it is asked for, so that millions of
    windows take 8 bytes each.

    Attributes:
        rows: (N,) int64, of the latest observation.
        starts: (E + 1,) int64, the first row of each episode of the dataset, and after them the number of rows.
        n_obs_steps, horizon: observations and actions.
    """

    rows: torch.Tensor
    starts: torch.Tensor
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
        """(N, horizon), from the latest observation's row on; an episode's last stands for those after it."""
        return self._ahead.minimum(self._last)

    @property
    def is_pad(self) -> torch.Tensor:
        """(N, horizon) bool, True past the episode's end."""
        return self._ahead > self._last

    @property
    def _ahead(self) -> torch.Tensor:
        return self.rows[:, None] + torch.arange(self.horizon)

    @property
    def _last(self) -> torch.Tensor:
        """(N, 1) of each window's episode."""
        return (self.starts[torch.searchsorted(self.starts, self.rows, right=True)] - 1)[:, None]

    def evenly_spaced(self, count: int) -> "Windows":
        """At most `count` of the windows; 0 is all."""
        if count == 0 or count >= len(self):
            return self
        return self[torch.linspace(0, len(self) - 1, count).long()]


def make_windows(episode_index: torch.Tensor, episodes: Sequence[int], n_obs_steps: int, horizon: int) -> Windows:
    """One window for every frame of the chosen episodes; `episode_index` (N,) as in `Trajectories`."""
    starts = torch.from_numpy(episode_starts(episode_index.numpy()))
    chosen = torch.isin(episode_index[starts], torch.tensor(episodes, dtype=torch.int64))
    starts = torch.cat([starts, torch.tensor([len(episode_index)])])
    rows = chosen.repeat_interleave(starts.diff()).nonzero().squeeze(1)
    return Windows(rows, starts, n_obs_steps, horizon)


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
