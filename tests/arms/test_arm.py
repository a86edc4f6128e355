"""Described arms: their parts agree, ROS and back, and which policies are theirs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from arms import FIVE, FIVE_NUMBERS, FOURTEEN_NUMBERS
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.arms.matching import require_same
from dp_hf.arms.mycobot_280 import JOINT_NAMES, MYCOBOT_280, QUANTITIES, ROS_JOINTS, SIMULATED_MYCOBOT_280
from dp_hf.arms.quantities import Quantities
from dp_hf.arms.ros import RosJoints
from dp_hf.errors import UserError


def test_the_mycobot_is_six_joints_and_a_gripper():
    assert MYCOBOT_280.quantities.names[MYCOBOT_280.gripper] == "gripper"
    assert MYCOBOT_280.quantities.units[MYCOBOT_280.gripper] == "0..100"
    assert [MYCOBOT_280.quantities.names[number] for number in MYCOBOT_280.joints] == list(JOINT_NAMES)
    assert SIMULATED_MYCOBOT_280.quantities == MYCOBOT_280.quantities
    assert (SIMULATED_MYCOBOT_280.limits.lowest >= MYCOBOT_280.limits.lowest).all()
    assert (SIMULATED_MYCOBOT_280.limits.highest <= MYCOBOT_280.limits.highest).all()


def test_the_parts_of_an_arm_are_of_one_arm():
    with pytest.raises(UserError, match="five: its gripper is number 5 of 5"):
        replace(FIVE, gripper=5)
    with pytest.raises(UserError, match="five: ROS has 7 numbers"):
        replace(FIVE, ros=ROS_JOINTS)
    with pytest.raises(UserError, match=r"ROS has 2 joints \(j1, j2\) for pan, lift"):
        RosJoints(FIVE_NUMBERS, ("j1", "j2"), gripper_closed=1)
    with pytest.raises(UserError, match="the gripper's joint is at 0 radians when closed and when open"):
        RosJoints(FIVE_NUMBERS, FIVE.ros.names)


def test_limits_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="read-only"):
        MYCOBOT_280.limits.velocity[0] = 1000


def test_every_unit_has_its_way_in_ros():
    positions = [0.5, -0.5, 0.8, 0.25, np.pi / 2]
    state = FIVE.ros.state(["other", *FIVE.ros.names], [9, *positions])
    np.testing.assert_allclose(state, [0.5, -0.5, 0, 0.25, 90])
    np.testing.assert_allclose(FIVE.ros.positions(np.array([0, 0, 100, 0.1, -180])), [0, 0, -0.1, 0.1, -np.pi])
    with pytest.raises(UserError, match="joint states lack slide; they have j1, j2, jaw_joint, j4"):
        FIVE.ros.state(["j1", "j2", "jaw_joint", "j4"], [0, 0, 0, 0])
    renamed = FIVE.ros.with_joint(FIVE.gripper, "claw")
    assert renamed.names == ("j1", "j2", "claw", "slide", "j4")


@given(st.lists(st.floats(-170, 170), min_size=5, max_size=5))
def test_ros_and_back_is_the_same(command):
    positions = FIVE.ros.positions(np.array(command))
    np.testing.assert_allclose(FIVE.ros.state(FIVE.ros.names, positions), command, atol=1e-9)


def policy(action: Quantities, state: Quantities | None = None, use_proprioception: bool = True) -> SimpleNamespace:
    """What `require_same` reads of a policy's config."""
    state = state or action
    return SimpleNamespace(
        use_proprioception=use_proprioception,
        **{"action_dim": len(action), "action_names": action.names, "action_units": action.units},
        **{"state_dim": len(state), "state_names": state.names, "state_units": state.units},
    )


def test_a_policy_of_the_arm_is_accepted():
    require_same(policy(QUANTITIES), QUANTITIES)
    # A state that the policy does not see may be anything.
    require_same(policy(QUANTITIES, FOURTEEN_NUMBERS, use_proprioception=False), QUANTITIES)
    # As policies were before they had names.
    require_same(SimpleNamespace(use_proprioception=True, state_dim=7, action_dim=7), QUANTITIES)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (policy(FOURTEEN_NUMBERS), r"its action has 14 numbers \(left_waist, .*radians\)\), not 7 \(link1_to_link2"),
        (
            policy(QUANTITIES.with_units(["radians"])),
            r"its action has link1_to_link2 \(radians\) where link1_to_link2 \(degrees\) is expected",
        ),
        (policy(QUANTITIES, FIVE_NUMBERS), "its state has 5 numbers"),
        (policy(Quantities(QUANTITIES.names[::-1], QUANTITIES.units[::-1])), r"has gripper \(0..100\) where link1"),
        (policy(QUANTITIES.with_units(["unknown"])), r"link1_to_link2 \(unit unknown\) where"),
        (SimpleNamespace(use_proprioception=False, state_dim=7, action_dim=8), r"its action has 8 numbers \(\[0\], "),
    ],
)
def test_a_policy_of_another_arm_is_refused_in_one_sentence(other, difference):
    with pytest.raises(UserError, match=difference) as error:
        require_same(other, QUANTITIES, "outputs/x", "the myCobot")
    assert str(error.value).startswith("outputs/x is not for the myCobot: its ")
    assert "\n" not in str(error.value)


def test_numbers_of_which_nothing_is_known_are_no_arms():
    with pytest.raises(UserError, match=r"has \[0\] \(unit unknown\) where pan \(radians\) is expected"):
        require_same(SimpleNamespace(use_proprioception=False, state_dim=5, action_dim=5), FIVE_NUMBERS)


def test_angles_that_no_arm_reaches_are_hardly_radians():
    limits = MYCOBOT_280.limits
    reached = np.stack([limits.lowest - 10, limits.highest + 10, np.zeros(7)])
    reached[:, 6] = [-500, 500, 0]  # a gripper is no angle
    assert MYCOBOT_280.doubt_of_radians(reached) is None
    degrees_taken_for_radians = np.degrees([[0, 0, 45, -90, 0, 0, 0]])
    doubt = MYCOBOT_280.doubt_of_radians(degrees_taken_for_radians)
    assert doubt.startswith("link4_to_link5 would be at -5156.62 degrees if the joint states were radians")
    assert doubt.endswith("mycobot_280 reaches -150 to 150")
