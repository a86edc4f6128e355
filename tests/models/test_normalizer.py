import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dp_hf import Normalizer
from dp_hf.errors import UserError

values = st.floats(-180, 180, width=32)
rows = st.integers(1, 20).flatmap(lambda n: arrays(np.float32, (n, 7), elements=values))


@given(rows, st.sampled_from(["min_max", "mean_std", "identity"]))
@settings(max_examples=60)
def test_round_trip_and_range(data, mode):
    normalizer = Normalizer.from_data(data, data, mode)
    x = torch.from_numpy(data)
    normalized = normalizer.normalize(x, "state")
    assert torch.isfinite(normalized).all()
    torch.testing.assert_close(normalizer.unnormalize(normalized, "state"), x, atol=1e-4, rtol=1e-5)
    if mode == "min_max":
        assert normalized.abs().max() <= 1 + 1e-5


@given(values, st.sampled_from(["min_max", "mean_std"]))
@settings(max_examples=40)
def test_constant_dimension_is_zero_and_back_exactly(constant, mode):
    data = np.random.default_rng(0).uniform(-90, 90, (10, 7)).astype(np.float32)
    data[:, 3] = constant
    normalizer = Normalizer.from_data(data, data, mode)
    assert (normalizer.normalize(torch.from_numpy(data), "action")[:, 3] == 0).all()
    # Whatever the model says about a dimension that never moved, it does not move.
    assert (normalizer.unnormalize(torch.randn(5, 7), "action")[:, 3] == np.float32(constant)).all()


def test_a_tiny_range_is_not_blown_up():
    data = np.zeros((10, 7), np.float32)
    data[::2, 0] = 1e-6
    normalizer = Normalizer.from_data(data, data)
    assert normalizer.normalize(torch.full((1, 7), 0.5), "state").abs().max() == 0


@pytest.mark.parametrize("bad", [np.zeros((0, 7)), np.zeros(7), np.full((3, 7), np.nan)])
def test_bad_statistics_are_errors(bad):
    with pytest.raises(UserError):
        Normalizer.from_data(bad, np.zeros((3, 7)))


def test_missing_statistics_are_an_error():
    with pytest.raises(UserError, match="no statistics"):
        Normalizer("min_max").require_statistics()
    Normalizer("identity").require_statistics()


def test_saved_loaded_and_kept_in_float32(tmp_path):
    data = np.random.default_rng(0).uniform(-170, 170, (50, 7))
    normalizer = Normalizer.from_data(data, data, "mean_std")
    normalizer.save_pretrained(tmp_path)
    loaded = Normalizer.from_pretrained(tmp_path, torch_dtype=torch.bfloat16).to(torch.bfloat16)
    for name, buffer in normalizer.named_buffers():
        assert torch.equal(loaded.get_buffer(name), buffer)
        assert loaded.get_buffer(name).dtype == torch.float32
