import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.episodes.checks import check_episodes
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError


def arm(num_frames=14):
    """(frames, 7) of an arm that turns by a degree a frame."""
    frames = np.arange(num_frames, dtype=float)[:, None]
    return np.array([10, -30, 20, 5, 40, 15, 50.0]) + frames * [1, -1, 0, 0, 0, 0.5, 0]


def record(data_dir, states, fps=10, stalled=()):
    """Records an episode whose pictures all differ, but those of the frames in `stalled`."""
    with EpisodeWriter(data_dir) as writer:
        for index, state in enumerate(states):
            picture = np.full((4, 4, 3), stalled[0] if index in stalled else index, np.uint8)
            writer.add_frame(picture, state, timestamp=index / fps)


def found(data_dir):
    return [(problem.kind, problem.frame) for e in check_episodes(data_dir).episodes for problem in e.problems]


def with_wrap(states):
    states[:, 5] = (170 + 2.5 * np.arange(14) + 180) % 360 - 180
    return states


def with_row(position, columns, value):
    def change(states):
        states[position, columns] = value
        return states

    return change


def frozen_from(position):
    def change(states):
        states[position:, :6] = states[position, :6]
        return states

    return change


CASES = [
    (lambda states: states, []),
    (with_wrap, [("wrapped angle", 4)]),
    (with_row(6, slice(0, 6), 0), [("zero reading", 6)]),
    (with_row(6, 2, -174), [("spike", 6)]),
    (frozen_from(5), [("frozen reading", 5)]),
    (frozen_from(8), []),
    (lambda states: states[[3] * 14], [("no motion", None)]),
]


@pytest.mark.parametrize("unit", ["degrees", "radians"])
@pytest.mark.parametrize(("change", "problems"), CASES)
def test_readings_that_no_arm_makes_are_named_by_frame(tmp_path, change, problems, unit):
    states = change(arm())
    if unit == "radians":
        states[:, :6] = np.deg2rad(states[:, :6])
    record(tmp_path / "in", states)
    report = check_episodes(tmp_path / "in")
    doubts = {"doubtful unit"} if unit == "radians" else set()
    assert found(tmp_path / "in") == problems
    assert {problem.kind for problem in report.problems} <= doubts
    converted = convert_episodes(tmp_path / "in", tmp_path / "out", angle_unit=unit)
    shown = [(p.kind, p.frame) for _, p in [*converted.warnings, *converted.notes]]
    assert shown == problems
    assert all(kind in ("no motion",) or f"frame {frame}: " in str(converted) for kind, frame in problems)
    assert converted.meta.num_frames == 14


def test_strict_stops_at_an_episode_that_does_not_move(tmp_path):
    record(tmp_path / "in", arm()[[3] * 14])
    assert "the same state" in str(convert_episodes(tmp_path / "in", tmp_path / "out"))
    with pytest.raises(UserError, match=r"all 14 frames have the same state.*without --strict"):
        convert_episodes(tmp_path / "in", tmp_path / "strict", strict=True)


@pytest.mark.parametrize(
    ("states", "fps", "stalled", "problems"),
    [
        (arm(40), 10, range(8, 28), [("stalled camera", 8)]),
        (arm(40), 10, range(8, 16), []),
        (arm(40), 30, range(8, 28), []),
        (np.concatenate([arm(10), arm(10)[[9] * 15], arm(15) + 9]), 10, range(9, 25), []),
    ],
)
def test_a_camera_that_stalls_while_the_arm_turns(tmp_path, states, fps, stalled, problems):
    record(tmp_path, states, fps, stalled)
    assert found(tmp_path) == problems


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.1, 25), st.floats(-100, 100))
def test_motion_that_an_arm_makes_is_no_problem(tmp_path_factory, seed, largest_step, start):
    folder = tmp_path_factory.mktemp("episodes")
    steps = np.random.default_rng(seed).uniform(-largest_step, largest_step, (20, 6))
    angles = np.clip(start + np.cumsum(steps, axis=0), -165, 165)
    record(folder, np.column_stack([angles, np.full(20, 50.0)]))
    assert [kind for kind, frame in found(folder)] == []
