import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.episodes.actions import actions_from_commands, actions_from_states, kept_frames

COUNTS = st.integers(1, 40)
SKIPS = st.integers(1, 5)


@given(COUNTS, SKIPS, st.integers(0, 6))
def test_actions_are_later_kept_states(count, skip, offset):
    states = np.arange(count)[:, None].repeat(7, axis=1)
    kept = list(range(0, count, skip))
    expected = [kept[min(i + offset, len(kept) - 1)] for i in range(len(kept))]
    assert kept_frames(count, skip).tolist() == kept
    assert actions_from_states(states, skip, offset)[:, 0].tolist() == expected


def test_offset_0_is_the_state_itself():
    states = np.random.default_rng(0).random((9, 7))
    assert np.array_equal(actions_from_states(states, 1, 0), states)


@given(COUNTS, SKIPS)
def test_commands_are_the_last_before_the_next_kept_frame(count, skip):
    commands = np.arange(count)[:, None].repeat(7, axis=1)
    expected = [min(i + skip, count) - 1 for i in range(0, count, skip)]
    assert actions_from_commands(commands, skip)[:, 0].tolist() == expected


@given(COUNTS, SKIPS, SKIPS)
def test_skipping_commands_twice_is_skipping_once_by_the_product(count, first, second):
    commands = np.arange(count)[:, None].repeat(7, axis=1)
    twice = actions_from_commands(actions_from_commands(commands, first), second)
    assert np.array_equal(twice, actions_from_commands(commands, first * second))
