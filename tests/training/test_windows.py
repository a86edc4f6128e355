import tracemalloc

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.episodes.format import part_name
from dp_hf.errors import UserError
from dp_hf.training.windows import Trajectories, WindowDataset, make_windows, split_episodes


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    n_obs_steps=st.integers(1, 4),
    horizon=st.integers(1, 12),
    data=st.data(),
)
def test_windows_equal_slicing_each_episode(lengths, n_obs_steps, horizon, data):
    # Episode numbers need not begin at 0 nor be consecutive.
    numbers = data.draw(st.lists(st.integers(0, 99), min_size=len(lengths), max_size=len(lengths), unique=True))
    chosen = data.draw(st.lists(st.sampled_from(numbers), unique=True))
    index = torch.tensor([number for number, length in zip(numbers, lengths, strict=True) for _ in range(length)])
    windows = make_windows(index, chosen, n_obs_steps, horizon)

    expected, start = [], 0
    for number, length in zip(numbers, lengths, strict=True):
        rows = list(range(start, start + length))
        start += length
        for t in range(length) if number in chosen else ():
            observed = ([rows[0]] * n_obs_steps + rows[: t + 1])[-n_obs_steps:]
            acted = (rows[t:] + [rows[-1]] * horizon)[:horizon]
            expected.append((observed, acted, [t + h >= length for h in range(horizon)]))
    found = zip(windows.observation_rows.tolist(), windows.action_rows.tolist(), windows.is_pad.tolist(), strict=True)
    assert list(found) == expected


@given(st.integers(1, 40), st.floats(0, 0.99), st.integers(0, 5))
def test_split_is_by_episode(count, fraction, seed):
    index = torch.arange(count).repeat_interleave(3)
    names = [f"episode_{number}" for number in range(count)]
    learned, held_out = split_episodes(index, fraction, seed, names)
    assert sorted(learned + held_out) == list(range(count))
    assert learned
    assert bool(held_out) == (fraction > 0 and count > 1)
    # A run that is resumed needs the split that it began with.
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    assert held_out == sorted(order[: len(held_out)])


@given(st.lists(st.integers(1, 4), min_size=2, max_size=8), st.floats(0.01, 0.99), st.integers(0, 5))
def test_parts_of_one_recording_stay_on_one_side(parts, fraction, seed):
    names = [
        part_name(f"episode_{number}", part + 1) if count > 1 else f"episode_{number}"
        for number, count in enumerate(parts)
        for part in range(count)
    ]
    learned, held_out = split_episodes(torch.arange(len(names)), fraction, seed, names)
    assert sorted(learned + held_out) == list(range(len(names)))
    sides = [{names[episode].partition(".part")[0] for episode in side} for side in (learned, held_out)]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_memory_of_many_frames():
    """Training keeps numbers and a row of each frame, however far a chunk reaches; reading them makes no objects."""
    count = 20_000
    dataset = frames(np.arange(count) // 50)
    tracemalloc.start()
    trajectories = Trajectories.from_dataset(dataset)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 70 * count
    assert most < 150 * count
    windows = make_windows(trajectories.episode_index, range(400), 2, 64)
    assert len(windows) == count
    held = [value for value in vars(windows).values() if isinstance(value, torch.Tensor)]
    assert sum(tensor.untyped_storage().nbytes() for tensor in held) < 9 * count


def test_evenly_spaced_keeps_first_and_last():
    windows = make_windows(torch.zeros(10, dtype=torch.int64), [0], 1, 1)
    assert windows.evenly_spaced(4).action_rows[:, 0].tolist() == [0, 3, 6, 9]
    assert len(windows.evenly_spaced(0)) == len(windows.evenly_spaced(99)) == 10


def test_batch_gathers_rows():
    index = torch.tensor([0, 0, 0, 1, 1])
    rows = torch.arange(5.0)[:, None].expand(5, 7)

    class Observations:
        name = "image_features"

        def __getitem__(self, rows):
            return rows[..., None]

    everywhere = torch.ones(5, dtype=torch.bool)
    data = WindowDataset(
        Trajectories(rows, rows + 100, index, everywhere), make_windows(index, [0, 1], 2, 3), Observations()
    )
    batch = data.__getitems__([4, 1])
    assert batch["image_features"][..., 0].tolist() == [[3, 4], [0, 1]]
    assert batch["state"][..., 0].tolist() == [[3, 4], [0, 1]]
    assert batch["action"][..., 6].tolist() == [[104, 104, 104], [101, 102, 102]]
    assert batch["is_pad"].tolist() == [[False, True, True], [False, False, True]]


def frames(episode_index=(0, 0, 1), value=1.0, **changes):
    count = len(episode_index)
    columns = {"state": [[1.0] * 7] * count, "action": [[value] * 7] * count, "episode_index": list(episode_index)}
    columns |= changes
    return datasets.Dataset.from_dict({name: column for name, column in columns.items() if column is not None})


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (frames(action=None), "no column action"),
        (frames(value=float("nan")), "action of row 0"),
        (frames((0, 1, 0)), "next to each other"),
        (frames(()), "no frames"),
        (frames(state=[[1.0], [1.0, 2.0], [1.0]]), "the dataset: column state: its rows have different numbers"),
    ],
)
def test_unusable_datasets(dataset, message):
    with pytest.raises(UserError, match=message):
        Trajectories.from_dataset(dataset)


def test_trajectories_of_a_dataset():
    trajectories = Trajectories.from_dataset(frames())
    assert trajectories.state.shape == trajectories.action.shape == (3, 7)
    assert trajectories.state.dtype == torch.float32
    assert trajectories.episode_index.tolist() == [0, 0, 1]
