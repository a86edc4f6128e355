import contextlib
import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cyclonedds")
pytest.importorskip("rosbags")

from dp_hf.control.robots.ros2_messages import (
    Bool,
    Duration,
    Float64MultiArray,
    Header,
    Image,
    JointState,
    JointTrajectory,
    JointTrajectoryPoint,
    MultiArrayDimension,
    MultiArrayLayout,
    Time,
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
floats = st.lists(st.floats(allow_nan=False), max_size=8).map(lambda values: np.array(values, np.float64))
headers = st.builds(Header, st.builds(Time, st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1)), texts)
sizes = st.integers(0, 2**32 - 1)
octets = st.integers(0, 255)
pixels = st.binary(max_size=40).map(lambda data: np.frombuffer(data, np.uint8))
images = st.builds(Image, headers, sizes, sizes, texts, octets, sizes, pixels)
joint_states = st.builds(JointState, headers, st.lists(texts, max_size=8), floats, floats, floats)
durations = st.builds(Duration, st.integers(-(2**31), 2**31 - 1), sizes)
points = st.builds(JointTrajectoryPoint, floats, floats, floats, floats, durations)
trajectories = st.builds(JointTrajectory, headers, st.lists(texts, max_size=7), st.lists(points, max_size=3))
dimensions = st.builds(MultiArrayDimension, texts, sizes, sizes)
arrays = st.builds(Float64MultiArray, st.builds(MultiArrayLayout, st.lists(dimensions, max_size=3), sizes), floats)
messages = st.one_of(images, joint_states, trajectories, arrays, st.builds(Bool, st.booleans()))


def plain(value):
    """Structs, arrays and lists as nested lists, for comparing."""
    if isinstance(value, (list, np.ndarray)):
        return [plain(element) for element in value]
    if hasattr(value, "__dataclass_fields__"):
        return [plain(getattr(value, name)) for name in value.__dataclass_fields__ if name != "__msgtype__"]
    return value


def by_cyclonedds(message, **options):
    """The message as cyclonedds itself codes it, which takes lists of numbers."""
    listed = copy.deepcopy(message)
    for part in [listed, *getattr(listed, "points", [])]:
        vars(part).update({name: plain(value) for name, value in vars(part).items() if isinstance(value, np.ndarray)})
    return listed.__idl__.serialize(listed, use_version_2=False, **options)


@given(messages)
def test_the_bytes_are_those_of_cyclonedds(message):
    assert message.serialize() == by_cyclonedds(message)


@given(messages, st.booleans())
def test_it_reads_what_cyclonedds_writes_in_either_byte_order(message, big):
    from cyclonedds.idl._support import Endianness

    endianness = Endianness.Big if big else Endianness.Little
    data = by_cyclonedds(message, endianness=endianness)
    assert plain(type(message).deserialize(data)) == plain(message)


@given(messages, st.data())
def test_a_message_cut_short_is_an_error_and_nothing_worse(message, data):
    wire = message.serialize()
    cut = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(ValueError, match=r"deserialize|encapsulation|[Ll]ength"):
        type(message).deserialize(wire[:cut])


@given(messages, st.binary(max_size=80))
def test_garbage_never_raises_anything_but_value_errors(message, garbage):
    with contextlib.suppress(ValueError):
        type(message).deserialize(b"\x00\x01\x00\x00" + garbage)


def test_a_list_of_numbers_in_place_of_an_array_is_not_sent():
    with pytest.raises(AttributeError):
        JointState(Header(Time(), ""), ["a"], [1.0], [], []).serialize()
    with pytest.raises(ValueError, match="memoryview"):
        JointState(Header(Time(), ""), ["a"], np.ones(2, np.float32), np.zeros(0), np.zeros(0)).serialize()
