"""Bags over clocks that jump: whatever a clock does, the parts of a frame are of one moment."""

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dp_hf.errors import UserError
from dp_hf.interop.rosbag.episodes import find_episodes
from dp_hf.interop.rosbag.passes import Stamps
from dp_hf.interop.rosbag.reader import BagContents

JOINTS = ("shoulder", "gripper")
LATENCY = {"image": 0.06, "shoulder": 0.002, "gripper": 0.002}
PERIOD = {"image": 1 / 30, "shoulder": 1 / 50, "gripper": 1 / 50}
# Seconds; as set by hand or by NTP, as a simulator that starts again, as 1970 to 2026.
SIZES = st.one_of(st.floats(0.2, 3.0), st.sampled_from([3600.0, 1.79e9]))
JUMPS = st.lists(st.tuples(st.floats(0.0, 8.0), SIZES, st.sampled_from([-1, 1])), max_size=4)


def clock(jumps, start):
    """The time of a clock at true times."""
    moments = np.array([moment for moment, _, _ in jumps])
    sizes = np.array([size * sign for _, size, sign in jumps])
    return lambda true: start + true + ((true[:, None] >= moments) * sizes).sum(axis=1)


def bag(made_by, received_by, seconds=8.0, seed=0):
    """Contents of a bag, and the true times of each stream."""
    random = np.random.default_rng(seed)
    true = {name: np.arange(0.0, seconds, period) + random.uniform(0, 0.003) for name, period in PERIOD.items()}
    true["gripper"] = true["shoulder"]
    arrivals = {name: times + LATENCY[name] for name, times in true.items()}
    rank = {moment: place for place, moment in enumerate(sorted({*np.concatenate(list(arrivals.values())).tolist()}))}
    streams = {
        name: Stamps(
            [rank[arrival] for arrival in arrivals[name].tolist()],
            made_by(times).tolist(),
            received_by(arrivals[name]).tolist(),
        )
        for name, times in true.items()
    }
    joints = {name: streams[name] for name in JOINTS}
    return BagContents({"image": streams["image"]}, joints), true


@settings(max_examples=60, deadline=None)
@given(JUMPS, st.sampled_from(["headers", "recorder", "both"]), st.sampled_from([5.0, 10.0, 30.0]), st.integers(0, 9))
@example([(4.0, 2.0, -1)], "both", 10.0, 0)
@example([(4.0, 1.79e9, 1)], "both", 10.0, 0)
@example([(4.0, 1.79e9, 1), (5.0, 1.79e9, -1)], "recorder", 10.0, 0)
def test_no_frame_joins_two_passes_of_a_clock(jumps, which, fps, seed):
    jumping, steady = clock(jumps, 5000.0), clock([], 1.6e9)
    made_by, received_by = {
        "headers": (jumping, steady),
        "recorder": (lambda true: np.full(len(true), np.nan), jumping),
        "both": (jumping, jumping),
    }[which]
    contents, true = bag(made_by, received_by, seed=seed)
    tracemalloc.start()
    episodes = find_episodes(Path("bag"), contents, JOINTS, fps, 0.05)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    moments = true["image"][episodes.chosen["image"]]
    late = LATENCY["image"] if which == "recorder" else 0.0
    for name in JOINTS:
        assert np.abs(true[name][episodes.chosen[name]] - moments - late).max() <= 0.05 + 1e-6
    for part in range(len(episodes.parts)):
        assert (np.diff(moments[episodes.part_of == part]) > 0).all()
        assert np.allclose(np.diff(episodes.times[episodes.part_of == part], prepend=0)[0], 0)
    assert len(episodes.parts) <= 2 * len(jumps) + 1
    assert len(moments) >= 8 * min(fps, 30) - 12 - len(jumps) * (1.2 * fps + 8)


def test_topics_that_were_written_one_after_the_other_are_one_recording():
    contents, _ = bag(clock([], 5000.0), clock([], 1.6e9))
    for offset, stamps in enumerate([contents.images["image"], *contents.joints.values()]):
        stamps.place = [1000 * offset + position for position in range(len(stamps.place))]
    episodes = find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05)
    assert len(episodes.parts) == 1
    # Over a clock that was set back nothing tells which of them belong together.
    contents, _ = bag(clock([(4.0, 2.0, -1)], 5000.0), clock([(4.0, 2.0, -1)], 1.6e9))
    for offset, stamps in enumerate([contents.images["image"], *contents.joints.values()]):
        stamps.place = [1000 * offset + position for position in range(len(stamps.place))]
    with pytest.raises(UserError, match=r"none of .* parts between jumps of the clock has 5 frames"):
        find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05)


def test_a_message_that_is_overtaken_cuts_nothing():
    contents, _ = bag(clock([], 5000.0), clock([], 1.6e9))
    made = contents.images["image"].made
    made[50], made[51] = made[51], made[50]
    assert len(find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05).parts) == 1


@settings(max_examples=40, deadline=None)
@given(st.floats(1.0, 7.0), st.one_of(st.floats(0.15, 3.0), st.just(3600.0)), st.sampled_from([-1, 1]))
@example(4.0, 2.0, 1)
@example(4.0, 0.5, 1)
@example(4.0, 0.5, -1)
def test_frames_in_which_a_cameras_clock_has_jumped_alone_are_left_out(moment, size, sign):
    contents, true = bag(clock([], 5000.0), clock([], 1.6e9))
    whole = find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05)
    assert whole.notes == []
    other, _ = bag(clock([(moment, size, sign)], 5000.0), clock([], 1.6e9))
    contents.images["image"].made = other.images["image"].made
    episodes = find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05)
    moments = true["image"][episodes.chosen["image"]]
    for name in JOINTS:
        assert np.abs(true[name][episodes.chosen[name]] - moments).max() <= 0.05 + 1e-6
    assert 10 * moment - 3 <= len(moments) <= len(whole.times)


def test_a_jump_that_leaves_frames_out_is_said():
    contents, _ = bag(clock([], 5000.0), clock([], 1.6e9))
    contents.images["image"].made = bag(clock([(4.0, 2.0, 1)], 5000.0), clock([], 1.6e9))[0].images["image"].made
    (note,) = find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05).notes
    assert "frames are left out: the recorder received their messages more than 1 s apart" in note


@pytest.mark.parametrize("size", [0.4, -0.4])
def test_a_small_jump_that_leaves_frames_out_is_said(size):
    contents, _ = bag(clock([], 5000.0), clock([], 1.6e9))
    jumping = clock([(4.0, abs(size), np.sign(size))], 5000.0)
    contents.images["image"].made = bag(jumping, clock([], 1.6e9))[0].images["image"].made
    episodes = find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05)
    note = episodes.notes[0]
    wrong, total = re.match(
        r"(\d+) of (\d+) frames are left out: the clock of image jumped alone, by 0.40 s", note
    ).groups()
    assert len(episodes.times) == int(total) - int(wrong)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0, 7.0), st.floats(0.1, 0.9), st.sampled_from(["image", "joints"]), st.booleans())
def test_messages_that_arrive_late_have_no_clock_that_jumped(moment, late, which, lasts):
    """As over a busy network: held up for a moment, or slower from there on."""
    contents, _ = bag(clock([], 5000.0), clock([], 1.6e9))
    whole = find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05)
    streams = [contents.images["image"]] if which == "image" else list(contents.joints.values())
    for stamps in streams:
        received = np.array(stamps.received) - 1.6e9
        held = np.where(received > moment, received + late if lasts else np.maximum(received, moment + late), received)
        stamps.received = (held + 1.6e9).tolist()
    episodes = find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05)
    assert episodes.notes == []
    assert len(episodes.times) == len(whole.times)


def test_what_is_said_of_frames_left_out_is_of_the_clock_and_the_parts_that_are_used():
    """A camera's clock is 2 s ahead, but for the last moment, in which all clocks jump: too short for an episode."""
    contents, _ = bag(clock([], 5000.0), clock([], 1.6e9))
    for name, jumps in {"joints": [(7.75, 3600, 1)], "image": [(-1.0, 2.0, 1), (7.75, 3598, 1)]}.items():
        made, _ = bag(clock(jumps, 5000.0), clock([], 1.6e9))
        if name == "image":
            contents.images["image"].made = made.images["image"].made
        else:
            for joint in JOINTS:
                contents.joints[joint].made = made.joints[joint].made
    episodes = find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05)
    assert episodes.clock == "times of the headers"
    all_frames, short = episodes.notes
    assert all_frames.startswith(f"in all {len(episodes.times)} frames the recorder received their messages more than")
    assert short == "left out between jumps of the clock: 1 parts of fewer than 5 frames"


def test_frames_left_out_and_kept_are_all_frames():
    contents, _ = bag(clock([], 5000.0), clock([], 1.6e9))
    contents.images["image"].made = bag(clock([(4.0, 2.0, 1)], 5000.0), clock([], 1.6e9))[0].images["image"].made
    episodes = find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05)
    (note,) = episodes.notes
    wrong, total = re.match(r"(\d+) of (\d+) frames are left out", note).groups()
    assert len(episodes.times) == int(total) - int(wrong)


def test_images_that_were_always_late_are_named():
    contents, _ = bag(clock([], 5000.0), clock([], 1.6e9))
    contents.images["image"].received = [time + 1.5 for time in contents.images["image"].received]
    episodes = find_episodes(Path("bag"), contents, JOINTS, 10.0, 0.05)
    assert len(episodes.times) == 80
    assert ["are the clocks of cameras and arm the same?" in note for note in episodes.notes] == [True]
