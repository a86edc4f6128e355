import contextlib
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cyclonedds")

from cyclonedds.idl._support import Endianness

from dp_hf.control.robots.ros2_messages import (
    Bool,
    Duration,
    Header,
    Image,
    JointState,
    JointTrajectory,
    JointTrajectoryPoint,
    Time,
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
floats = st.lists(st.floats(allow_nan=False), max_size=8)
headers = st.builds(Header, st.builds(Time, st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1)), texts)
sizes = st.integers(0, 2**32 - 1)
octets = st.integers(0, 255)
images = st.builds(Image, headers, sizes, sizes, texts, octets, sizes, st.lists(octets, max_size=40))
joint_states = st.builds(JointState, headers, st.lists(texts, max_size=8), floats, floats, floats)
durations = st.builds(Duration, st.integers(-(2**31), 2**31 - 1), sizes)
points = st.builds(JointTrajectoryPoint, floats, floats, floats, floats, durations)
trajectories = st.builds(JointTrajectory, headers, st.lists(texts, max_size=7), st.lists(points, max_size=3))
messages = st.one_of(images, joint_states, trajectories, st.builds(Bool, st.booleans()))


def plain(value):
    """Structs, arrays and lists as nested lists, for comparing."""
    if isinstance(value, (list, np.ndarray)):
        return [plain(element) for element in value]
    if hasattr(value, "__idl__"):
        return [plain(part) for part in vars(value).values()]
    return value


@given(messages)
def test_the_bytes_are_those_of_cyclonedds(message):
    assert message.serialize() == message.__idl__.serialize(message, use_version_2=False)


@given(messages, st.sampled_from(Endianness))
def test_it_reads_what_cyclonedds_writes_in_either_byte_order(message, endianness):
    data = message.__idl__.serialize(message, use_version_2=False, endianness=endianness)
    assert plain(type(message).deserialize(data)) == plain(message)


@given(messages, st.data())
def test_a_message_cut_short_is_an_error_and_nothing_worse(message, data):
    wire = message.serialize()
    cut = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(ValueError, match=r"bytes where|not plain CDR"):
        type(message).deserialize(wire[:cut])


@given(messages, st.binary(max_size=80))
def test_garbage_never_raises_anything_but_value_errors(message, garbage):
    with contextlib.suppress(ValueError):
        type(message).deserialize(b"\x00\x01\x00\x00" + garbage)


def test_a_camera_image_takes_about_a_millisecond():
    pixels = np.random.default_rng(0).integers(0, 255, (240, 424, 3), dtype=np.uint8)
    message = Image(Header(Time(), "camera"), 240, 424, "rgb8", 0, 424 * 3, pixels.tobytes())

    def seconds(function):
        best = np.inf
        for _ in range(5):
            start = time.perf_counter()
            result = function()
            best = min(best, time.perf_counter() - start)
        return best, result

    writing, wire = seconds(message.serialize)
    reading, read = seconds(lambda: Image.deserialize(wire))
    np.testing.assert_array_equal(read.data.reshape(240, 424, 3), pixels)
    assert writing < 0.005
    assert reading < 0.005
