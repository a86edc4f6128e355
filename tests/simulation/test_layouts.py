import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.errors import UserError
from dp_hf.simulation.layouts import DEMONSTRATIONS, EVALUATION, TRAINING_ROLLOUTS, layout_seeds

PURPOSES = (DEMONSTRATIONS, EVALUATION, TRAINING_ROLLOUTS)
NUMBERS = st.integers(-10, 10) | st.integers(2**20 - 10, 2**20 + 10) | st.integers(-(2**33), 2**33)


@given(st.sampled_from(PURPOSES), NUMBERS, st.none() | NUMBERS.filter(lambda count: count >= 0))
def test_seeds_are_of_their_purpose_and_of_no_other(purpose, first, count):
    try:
        seeds = layout_seeds(purpose, first, count)
    except UserError:
        assert first < 0 or first + (count or 0) > len(purpose) or (count is None and first == len(purpose))
        return
    assert len(seeds) == (len(purpose) - first if count is None else count)
    for seed in (*seeds[:1], *seeds[-1:]):
        assert [seed in of for of in PURPOSES] == [of is purpose for of in PURPOSES]


def test_what_is_wrong_is_said():
    with pytest.raises(UserError, match=r"layouts -5 to 4: they are numbered 0 to 1073741823 here: .* at least 0"):
        layout_seeds(EVALUATION, -5, 10)
    with pytest.raises(UserError, match=r"layouts 1048570 to 1048579: .* smaller --layout_seed, or fewer"):
        layout_seeds(DEMONSTRATIONS, 1048570, 10)
