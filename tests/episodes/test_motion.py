import io
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dp_hf.arms.quantities import Quantities
from dp_hf.episodes.checks import check_episodes
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.dataset import open_data
from dp_hf.episodes.dataset_writer import DatasetWriter
from dp_hf.episodes.format import QUANTITIES
from dp_hf.episodes.motion import StillFinder, motion_problems, unwrap
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


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (with_row(6, 2, -174), "spike"),
        (with_row(6, slice(0, 6), 0), "zero reading"),
        (with_row(6, 5, 357), "wrapped angle"),
    ],
)
def test_commands_that_no_arm_follows_are_named_by_frame(change, kind):
    problems = motion_problems(arm(), QUANTITIES.with_units(["degrees"] * 6 + ["0..100"]), change(arm()))
    assert problems[0].kind == kind
    assert problems[0].frame == 6
    assert "command" in str(problems[0])


def test_a_length_that_spikes_is_named_and_one_that_moves_is_no_frozen_arm():
    rail = Quantities(("rail", "wrist", "jaw"), ("metres", "radians", "0..100"))
    states = np.array([[0.01 * step, 1.0, 50.0] for step in range(20)])
    assert motion_problems(states, rail, states) == []
    commands = states.copy()
    commands[7, 0] = 1e30
    assert "the command of rail is at 1e+30 metres in this frame alone" in str(*motion_problems(states, rail, commands))
    states[7, 0] = 0.5
    assert "rail is at 0.5 metres in this frame alone, and near 0.06" in str(*motion_problems(states, rail))


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


UNNAMED = Quantities.unnamed(7)
NAMED = Quantities((*UNNAMED.names[:6], "gripper"), ("unknown",) * 7)


@pytest.mark.parametrize("quantities", [QUANTITIES, NAMED, QUANTITIES.with_units(["radians"] * 6 + ["none"])])
@pytest.mark.parametrize(("change", "problems"), CASES)
def test_the_writer_of_any_dataset_finds_them_and_training_is_told(tmp_path, change, problems, quantities):
    states = change(arm())
    if "radians" in quantities.units:
        states[:, :6] = np.deg2rad(states[:, :6])
    pictures = np.random.default_rng(0).integers(0, 256, (14, 4, 4, 3), dtype=np.uint8)
    with DatasetWriter(tmp_path / "out", ["front"], quantities, fps=10, action_source="state") as writer:
        found = writer.add_episode("one", pictures, states)
    assert [(problem.kind, problem.frame) for problem in found] == problems
    said = []
    open_data(tmp_path / "out", report=said.append)
    assert said == [f"warning: {tmp_path / 'out'}: one: {problem}; {problem.remedy}" for problem in found]


def test_the_writer_finds_a_camera_that_stalls_and_wrapped_commands(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    pictures[8:28] = pictures[8]
    commands = arm(40)
    commands[20:, 3] -= 360
    with DatasetWriter(tmp_path / "out", ["front"], QUANTITIES, fps=10) as writer:
        found = writer.add_episode("one", pictures, arm(40), commands, frames=range(100, 140))
    assert [(problem.kind, problem.frame) for problem in found] == [("wrapped angle", 120), ("stalled camera", 108)]
    assert "the command of link4_to_link5 wraps from 5.0 to -355.0" in str(found[0])


@pytest.mark.parametrize(
    ("unit", "reached", "doubt"),
    [
        ("radians", 50, "are said to be in radians, and reach 50.0: that looks like degrees"),
        ("radians", 6, None),
        ("degrees", 6, "stay within 6.00: that looks like radians"),
        ("degrees", 50, None),
        ("unknown", 50, None),
        ("metres", 50, None),
        ("0..100", 100, None),
        ("0..100", -90, "elbow are said to be 0..100, and go from -90.0 to 0.0"),
    ],
)
def test_a_unit_that_the_values_contradict_is_a_warning(tmp_path, unit, reached, doubt):
    numbers = Quantities(("shoulder", "elbow", "gripper"), (unit, unit, unit))
    states = np.linspace([0, 0, 0], [1, reached, 100], 10)
    with DatasetWriter(tmp_path / "out", ["front"], numbers, fps=10, action_source="state") as writer:
        writer.add_episode("one", np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8), states)
    meta = open_data(tmp_path / "out", report=lambda line: None)[1]
    assert len(meta.warnings) == (doubt is not None)
    assert doubt is None or doubt in meta.warnings[0]


@given(
    seed=st.integers(0, 1000),
    start=st.floats(-180, 180),
    unit=st.sampled_from(["degrees", "radians"]),
    lead=st.floats(-30, 30),
    drift=st.floats(-20, 20),
)
def test_unwrapped_angles_go_on_and_grippers_stay(seed, start, unit, lead, drift):
    rng = np.random.default_rng(seed)
    gripper = rng.choice([0.0, 100.0, 1000.0], 60)  # its unit is none of an angle's, and it may leap
    true = start + np.cumsum(drift + rng.uniform(-15, 15, (60, 6)), axis=0)
    wrapped = (true + 180) % 360 - 180
    commands = (true + lead + 180) % 360 - 180
    scale = 1 if unit == "degrees" else np.pi / 180
    quantities = Quantities(QUANTITIES.names, (*[unit] * 6, "none"))
    states, actions = unwrap(
        np.column_stack([wrapped * scale, gripper]), quantities, np.column_stack([commands * scale, gripper])
    )
    assert not [problem for problem in motion_problems(states, quantities, actions) if problem.kind == "wrapped angle"]
    np.testing.assert_array_equal(states[:, 6], gripper)
    np.testing.assert_array_equal(actions[:, 6], gripper)
    moved = states[:, :6] / scale - true
    np.testing.assert_allclose(moved, np.round(moved[:1] / 360) * 360 + 0 * moved, atol=1e-6)
    np.testing.assert_allclose(actions[:, :6] / scale - states[:, :6] / scale, lead, atol=1e-6)
    again, commands_again = unwrap(states, quantities, actions)
    np.testing.assert_array_equal(again, states)
    np.testing.assert_array_equal(commands_again, actions)


def test_angles_that_do_not_wrap_and_numbers_that_are_none_stay_as_they_are():
    states = np.column_stack([np.linspace(-150, 150, 5), [0, 400, 0, 400, 0], [0, 100, 0, 100, 0]])
    numbers = Quantities(("turn", "height", "gripper"), ("degrees", "metres", "degrees"))
    far = states * [-1, 1, 1]  # a command far away is no wrap
    np.testing.assert_array_equal(unwrap(states, numbers, far), (states, far))
    with pytest.raises(UserError, match="state the units first"):
        unwrap(states, Quantities.unnamed(3))


def test_a_conversion_unwraps_before_it_skips_frames(tmp_path):
    record(tmp_path / "in", with_wrap(arm()))
    report = convert_episodes(tmp_path / "in", tmp_path / "out", unwrap_angles=True, frame_skip=3, strict=True)
    assert report.warnings == []
    dataset, _ = open_data(tmp_path / "out")
    np.testing.assert_allclose(np.array(dataset["state"][:])[:, 5], 170 + 2.5 * np.arange(0, 14, 3), atol=1e-4)
    np.testing.assert_allclose(np.array(dataset["action"][:])[:-1, 5], 170 + 2.5 * np.arange(3, 14, 3), atol=1e-4)


def test_an_episode_that_is_there_twice_is_named(tmp_path):
    record(tmp_path / "in", arm())
    record(tmp_path / "in", arm() + 1)
    shutil.copytree(next((tmp_path / "in").iterdir()), tmp_path / "in" / "episode_copy_1")
    report = convert_episodes(tmp_path / "in", tmp_path / "out")
    ((_, problem),) = report.warnings
    assert problem.kind == "duplicate episode"
    assert "the same states and actions as " in str(problem)


@pytest.mark.parametrize(("noise", "stills"), [(0, 1), (2, 1), (40, 0)])
def test_jpegs_that_differ_by_a_codecs_noise_show_one_picture(noise, stills):
    rng = np.random.default_rng(0)
    scene = rng.integers(60, 200, (6, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
    files = []
    for _ in range(8):
        encoded = io.BytesIO()
        blocks = rng.integers(-noise, noise + 1, (6, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray((scene + blocks).clip(0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=95)
        files.append(encoded.getvalue())
    assert len(still_pictures(files)) == stills
    assert still_pictures([b"\xff\xd8 no picture", *files[:4]]) == []


def still_pictures(files):
    finder = StillFinder()
    for file in files:
        finder.add("front", file)
    return finder.found()
