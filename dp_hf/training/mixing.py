"""Corrections beside demonstrations: a share of every batch is from a second dataset."""

from collections.abc import Iterator

import torch

from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.errors import UserError
from dp_hf.pipelines.execution import is_rate
from dp_hf.training.windows import Observations, Trajectories

# What has to be the same, for the rows of both to mean the same.
_ALIKE = ("state", "action", "action_source", "action_offset")


def require_alike(meta: DatasetMeta, corrections: DatasetMeta, names: tuple[str, str]) -> None:
    """Raises a `UserError` where the rows of two datasets, called `names`, mean different things."""
    for field in _ALIKE:
        if getattr(meta, field) != getattr(corrections, field):
            found = f"{getattr(meta, field)} and {getattr(corrections, field)}"
            raise UserError(f"{names[0]} and {names[1]} have different {field}, {found}: they are not learned together")
    if not is_rate(corrections.fps, meta.fps):
        found = f"{meta.fps:g} and {corrections.fps:g} rows a second"
        raise UserError(f"{names[0]} and {names[1]} have {found}: they are not learned together")


def joined(first: Trajectories, second: Trajectories, num_episodes: int) -> Trajectories:
    """The rows of two datasets as those of one; the episodes of the second are numbered from `num_episodes` on."""
    return Trajectories(
        torch.cat([first.state, second.state]),
        torch.cat([first.action, second.action]),
        torch.cat([first.episode_index, second.episode_index + num_episodes]),
        torch.cat([first.by_person, second.by_person]),
    )


class JoinedObservations:
    """Those of two datasets, by the rows of both as one."""

    def __init__(self, first: Observations, second: Observations, num_first: int):
        self.name = first.name
        self.first, self.second, self.num_first = first, second, num_first

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        flat = rows.flatten()
        is_first = flat < self.num_first
        if is_first.all():
            return self.first[rows]
        if not is_first.any():
            return self.second[rows - self.num_first]
        of_first, of_second = self.first[flat[is_first]], self.second[flat[~is_first] - self.num_first]
        values = of_first.new_empty(len(flat), *of_first.shape[1:])
        values[is_first], values[~is_first] = of_first, of_second
        return values.unflatten(0, rows.shape)


class MixedSampler(torch.utils.data.Sampler[int]):
    """The order of windows in an epoch: of each batch `share` are corrections, the rest are the others.

    An epoch is one pass over the others, whose first ones fill the last batch. Corrections come in passes of their own.
    The order follows from seed and epoch alone.

    Args:
        num_others, num_corrections: windows; the corrections are behind the others.
        batch_size: of the loader.
        share: of every batch, rounded to whole windows.

    Raises:
        UserError: a batch would hold none of one of them.
    """

    def __init__(self, num_others: int, num_corrections: int, batch_size: int, share: float, seed: int):
        self.num_others, self.num_corrections = num_others, num_corrections
        self.per_batch = round(batch_size * share)
        if not 0 < self.per_batch < batch_size:
            raise UserError(
                f"--corrections_share {share:g}: of a batch of {batch_size} that is {self.per_batch}: choose a share "
                "that leaves at least one window of either, or a larger --batch_size"
            )
        self.others_per_batch = batch_size - self.per_batch
        self.num_batches = -(-num_others // self.others_per_batch)
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_batches * (self.per_batch + self.others_per_batch)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(self.num_others, generator=generator)
        others = order.repeat(1 + self.others_per_batch // self.num_others)
        others = torch.cat([order, others])[: self.num_batches * self.others_per_batch]
        wanted = self.num_batches * self.per_batch
        passes = [
            torch.randperm(self.num_corrections, generator=generator) for _ in range(-(-wanted // self.num_corrections))
        ]
        corrections = self.num_others + torch.cat(passes)[:wanted]
        batches = [others.view(self.num_batches, -1), corrections.view(self.num_batches, -1)]
        yield from torch.cat(batches, dim=1).flatten().tolist()
