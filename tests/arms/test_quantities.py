"""Names and units of numbers: what is refused, how they read, and how two of them differ."""

import pytest

from dp_hf.arms.mycobot_280 import QUANTITIES
from dp_hf.arms.quantities import Quantities
from dp_hf.errors import UserError

ELBOW = Quantities(("shoulder", "elbow", "gripper"), ("radians", "radians", "0..100"))


def test_they_read_as_a_sentence_part():
    assert str(ELBOW) == "shoulder, elbow (radians), gripper (0..100)"
    assert str(Quantities.unnamed(2)) == "[0], [1] (unit unknown)"
    assert len(QUANTITIES) == 7
    assert str(QUANTITIES).endswith("link6_to_link6_flange (degrees), gripper (0..100)")


@pytest.mark.parametrize(
    ("names", "units"),
    [(("a", "b"), ("degrees",)), (("a", "a"), ("degrees", "degrees")), (("a",), ("furlongs",))],
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
