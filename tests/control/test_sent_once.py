from hypothesis import given
from hypothesis import strategies as st

from dp_hf.control.robots.sent_once import PATIENCE, TOLERANCE, SentOnce


def test_it_is_sent_when_it_changes_and_again_when_it_does_not_arrive():
    gripper = SentOnce(step=1)
    assert gripper.is_due(100, None, 0.0)
    assert not gripper.is_due(100, None, 5.0)  # nothing is known of where it is
    assert gripper.is_due(0, 100, 5.1)
    assert not gripper.is_due(0.5, 100, 5.2)
    assert not gripper.is_due(0, 100, 6.0)
    assert gripper.is_due(0, 100, 6.2)
    assert not gripper.is_due(0, 60, 6.3)
    assert not gripper.is_due(0, 3, 60.0)


def test_a_small_step_that_was_refused_is_sent_again():
    gripper = SentOnce(step=1)
    assert gripper.is_due(50, 50, 0.0)
    assert gripper.is_due(52, 50, 0.1)
    assert not gripper.is_due(52, 50, 1.0, is_refused=True)
    assert not gripper.is_due(52, 50, 1.2)
    assert gripper.is_due(52, 50, 1.2, is_refused=True)
    assert not gripper.is_due(52, 50, 1.3, is_refused=True)


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=30))
def test_whatever_is_lost_a_command_that_lasts_arrives(sent):
    gripper, measured, now = SentOnce(step=1), 50, 0.0
    for value, is_lost in sent:
        if gripper.is_due(value, measured, now) and not is_lost:
            measured = value
        now += 0.05
    for _ in range(int(PATIENCE / 0.05) + 3):
        if gripper.is_due(value, measured, now):
            measured = value
        now += 0.05
    assert abs(measured - value) <= TOLERANCE
