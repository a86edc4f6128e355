import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.episodes.frames import Frame
from dp_hf.episodes.reader import Episode
from dp_hf.episodes.units import Gripper, decide_unit, detect_unit, to_public_units
from dp_hf.errors import UserError

IDLE = [[1e-18] * 6] * 10


def episode(name, angles, gripper=50.0, action=None):
    states = [Frame(i, (*row, gripper), {}, action=action) for i, row in enumerate(angles)]
    return Episode(name, Path(name), states)


DEGREES = episode("degrees", IDLE + [[3.95, -95.18, 0.7, 24.78, -0.35, -37.44]])
RADIANS = episode("radians", IDLE + [[0.29, -2.11, 1.84, -1.3, 0.0, 0.29]])
STILL = episode("still", IDLE)


def test_clear_data_sets():
    assert detect_unit([DEGREES, DEGREES]).unit == "degrees"
    assert detect_unit([RADIANS, RADIANS]).unit == "radians"
    assert not detect_unit([DEGREES]).doubtful
    assert not detect_unit([RADIANS]).doubtful


def test_two_pi_is_still_radians():
    assert detect_unit([episode("turn", [[2 * math.pi] * 6])]).unit == "radians"
    assert detect_unit([episode("turn", [[6.2832] * 6])]).unit == "degrees"


def test_the_commands_count_as_well():
    assert detect_unit([episode("far", IDLE, action=(90.0,) * 7)]).unit == "degrees"


def test_an_idle_episode_follows_the_others_and_is_named():
    verdict = detect_unit([DEGREES, STILL])
    assert verdict.unit == "degrees"
    assert verdict.doubtful
    assert "still" in verdict.reason
    assert detect_unit([RADIANS, STILL]).unit == "radians"


def test_a_data_set_at_rest_needs_the_unit_stated():
    verdict = detect_unit([STILL])
    assert verdict.unit is None
    assert verdict.doubtful
    with pytest.raises(UserError, match="--angle_unit"):
        decide_unit([STILL], "auto")
    assert decide_unit([STILL], "degrees").unit == "degrees"


def test_a_mixed_data_set_is_an_error_that_names_the_episodes():
    verdict = detect_unit([DEGREES, RADIANS, STILL])
    assert verdict.unit is None
    assert verdict.contradicting == ("radians",)
    with pytest.raises(UserError, match=r"degrees reach 95\.2.*radians stay within 2\*pi.*--angle_unit"):
        decide_unit([DEGREES, RADIANS], "auto")
    assert decide_unit([DEGREES, RADIANS], "degrees").unit == "degrees"


def test_a_forced_unit_that_contradicts_the_data_is_doubtful():
    assert decide_unit([DEGREES], "radians").doubtful
    assert not decide_unit([DEGREES], "degrees").doubtful


@pytest.mark.parametrize("unit", ["degrees", "radians"])
def test_recordings_of_both_kinds(real_data, unit):
    rows = json.loads((real_data / f"state_variants/{unit}_states.json").read_text())
    angles = [row["angles"] for row in rows]
    assert detect_unit([episode("whole", angles)]).unit == unit
    assert not detect_unit([episode("whole", angles)]).doubtful
    # Cut off in the idle start, neither can be told with certainty.
    assert detect_unit([episode("start", angles[:2])]).doubtful


@given(st.lists(st.floats(-2 * math.pi, 2 * math.pi), min_size=6, max_size=6), st.floats(0, 100))
def test_radians_become_degrees(angles, gripper):
    public = to_public_units(np.array([[*angles, gripper]]), "radians", Gripper())
    assert public.dtype == np.float32
    assert np.allclose(public[0], [*(angle * 180 / math.pi for angle in angles), gripper], rtol=1e-6, atol=1e-6)


@given(st.lists(st.floats(-360, 360, width=32), min_size=6, max_size=6), st.floats(0, 100, width=32))
def test_degrees_stay_as_they_are(angles, gripper):
    public = to_public_units(np.array([[*angles, gripper]], dtype=np.float64), "degrees", Gripper())
    assert np.array_equal(public[0, :6], np.array(angles, np.float32))
    assert np.isclose(public[0, 6], gripper, rtol=1e-6, atol=1e-30)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.floats(0, 1), st.sampled_from(["high", "low"]))
def test_gripper_range_maps_its_ends_to_0_and_100(low, width, fraction, open_end):
    gripper = Gripper(open_end, (low, low + width))
    percent = gripper.to_percent(np.array([low, low + fraction * width, low + width, low - 1, low + width + 1]))
    expected = np.array([0, fraction * 100, 100, 0, 100])
    assert np.allclose(percent, expected if open_end == "high" else 100 - expected, atol=1e-3)


@pytest.mark.parametrize("ends", [(100, 0), (5, 5), (float("nan"), 1), (0, float("inf"))])
def test_wrong_gripper_ranges(ends):
    with pytest.raises(UserError, match="gripper_open low"):
        Gripper("high", ends)


@pytest.mark.parametrize(
    ("values", "range_", "doubt"),
    [
        ((0, 100), (0, 100), None),
        ((0, 0), (0, 100), None),
        ((0, 1), (0, 100), "hardly a part"),
        ((-0.5, 0), (0, 100), "beyond"),
        ((-0.5, 0), (-0.5, 0), None),
        ((0, 255), (0, 100), "clipped"),
    ],
)
def test_gripper_values_that_do_not_fit_the_range(values, range_, doubt):
    episodes = [episode(str(value), IDLE, gripper=value) for value in values]
    found = Gripper("high", range_).doubt(episodes)
    assert found is None if doubt is None else doubt in found
