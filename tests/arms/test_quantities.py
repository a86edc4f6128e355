"""Names and units of numbers: what is refused, how they read, and how two of them differ."""

import pytest

from dp_hf.arms.mycobot_280 import QUANTITIES
from dp_hf.arms.quantities import Quantities, amount, amounts_of, told_apart
from dp_hf.errors import UserError

ELBOW = Quantities(("shoulder", "elbow", "gripper"), ("radians", "radians", "0..100"))


def test_they_read_as_a_sentence_part():
    assert str(ELBOW) == "shoulder, elbow (radians), gripper (0..100)"
    assert str(Quantities.unnamed(2)) == "[0], [1] (unit unknown)"
    assert len(QUANTITIES) == 7
    assert str(QUANTITIES).endswith("link6_to_link6_flange (degrees), gripper (0..100)")


@pytest.mark.parametrize(
    ("names", "units"),
    [
        (("a", "b"), ("degrees",)),
        (("a", "a"), ("degrees", "degrees")),
        (("a",), ("furlongs",)),
        (("\x1b[2J",), ("none",)),
    ],
)
def test_what_means_nothing_is_refused(names, units):
    with pytest.raises(UserError):
        Quantities(names, units)


def test_one_unit_stands_for_all():
    assert ELBOW.with_units(["metres"]).units == ("metres",) * 3
    assert ELBOW.with_units(["none", "none", "unknown"]).units == ("none", "none", "unknown")
    with pytest.raises(UserError):
        ELBOW.with_units(["metres", "metres"])


def test_a_difference_names_what_differs():
    assert ELBOW.difference(ELBOW) is None
    assert ELBOW.difference(QUANTITIES).startswith("has 7 numbers (link1_to_link2")
    turned = ELBOW.with_units(["degrees", "radians", "0..100"])
    assert ELBOW.difference(turned) == "has shoulder (degrees) where shoulder (radians) is expected"


def test_the_grippers_are_those_named_so_or_those_from_0_to_100():
    assert ELBOW.grippers == [2]
    assert QUANTITIES.grippers == [6]
    assert Quantities(("left_GRIPPER", "wrist", "right gripper"), ("metres", "0..100", "metres")).grippers == [0, 2]
    assert Quantities(("wrist", "hand"), ("degrees", "0..100")).grippers == [1]
    assert Quantities.unnamed(3).grippers == []


def test_numbers_are_printed_in_their_unit():
    assert ELBOW.labels == ("shoulder (radians)", "elbow (radians)", "gripper (0..100)")
    assert amount(1.254, "degrees") == "1.25 degrees"
    assert amount(3.5, "0..100") == "3.50 points"
    assert amount(0.01234, "radians") == "0.0123 radians"
    assert amounts_of(ELBOW.units) == "radians, points"
    assert amounts_of(["unknown", "none"]) == "unit unknown, no unit"
    assert amount(0.5, "unknown") == amount(0.5, "none") == "0.5000"


def test_names_that_stand_for_several_numbers_get_their_positions():
    assert told_apart(["x", "gripper", "gripper"]) == ("x", "gripper[1]", "gripper[2]")
    assert told_apart(["x", "y"]) == ("x", "y")
