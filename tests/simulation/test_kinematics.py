import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.simulation.environment import HOME, CubeStackingEnv
from dp_hf.simulation.kinematics import Kinematics, down_rotation

kinematics = Kinematics(CubeStackingEnv(cameras=()).model)


@settings(max_examples=25)
@given(st.floats(0.145, 0.22), st.floats(-0.1, 0.1), st.floats(0.01, 0.12), st.floats(-20, 20))
def test_inverse_and_forward_agree_over_the_workspace(x, y, z, yaw):
    joints = kinematics.inverse(np.array([x, y, z]), yaw, np.array(HOME[:6]))
    position, rotation = kinematics.forward(joints)
    np.testing.assert_allclose(position, [x, y, z], atol=1e-4)
    np.testing.assert_allclose(rotation, down_rotation(yaw), atol=1e-3)


def test_out_of_reach_keeps_to_the_limits():
    joints = kinematics.inverse(np.array([1.0, 0.0, 0.1]), 0.0, np.array(HOME[:6]))
    assert (np.abs(joints) <= np.degrees(kinematics.limits[:, 1]) + 1e-9).all()


def test_down_is_a_rotation():
    for yaw in (-15, 0, 40):
        rotation = down_rotation(yaw)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        np.testing.assert_allclose(rotation[:, 2], [0, 0, -1])
