import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.episodes.checks import check_episodes
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.frames import Frame
from dp_hf.episodes.reader import Episode, read_episode
from dp_hf.episodes.timing import decide_rate, detect_rate, frame_times
from dp_hf.errors import UserError

START = 1_700_000_000


def episode(stamps, name="episode1", positions=None):
    positions = range(len(stamps)) if positions is None else positions
    frames = [Frame(i, (0.0,) * 7, {}, timestamp=t) for i, t in zip(positions, stamps, strict=True)]
    return Episode(name, Path(name), frames)


def stamp(folder, stamps):
    """Writes timestamps, one a frame, into a recorded episode."""
    rows = json.loads((folder / "states.json").read_text())
    for row, value in zip(rows, stamps, strict=True):
        row["timestamp"] = value
    (folder / "states.json").write_text(json.dumps(rows))


@settings(max_examples=60)
@given(
    st.sampled_from([1, 1e3, 1e6, 1e9]),
    st.floats(1, 200),
    st.integers(10, 60),
    st.sampled_from([0, START]),
    st.data(),
)
def test_one_wrong_stamp_changes_neither_rate_nor_times(ticks, fps, count, start, data):
    wrong = data.draw(st.integers(1, count - 2))
    stamps = [(start + i / fps) * ticks for i in range(count)]
    stamps[wrong] = data.draw(
        st.sampled_from([stamps[wrong - 1], stamps[wrong] - 0.4 * ticks, stamps[wrong] + 0.4 * ticks, None])
    )
    recorded = episode(stamps)
    rate = detect_rate([recorded])
    assert rate.fps == pytest.approx(fps, rel=0.01)
    assert not rate.assumed
    times = frame_times(recorded, rate)
    assert (np.diff(times.seconds) > 0).all()
    assert np.abs(times.seconds - np.arange(count) / fps).max() < 1.01 * max(1 / fps, 0.4)
    if abs((stamps[wrong] or 0) - (stamps[wrong - 1] or 0)) < 3 * ticks / fps:
        assert np.abs(times.seconds - np.arange(count) / fps).max() < 1 / fps


@pytest.mark.parametrize(
    ("stamps", "reason"),
    [
        ([START * 1000 + 100 * i for i in range(14)], "read as milliseconds"),
        ([START * 10**9 + 10**8 * i for i in range(14)], "read as nanoseconds"),
        ([(i if i != 7 else 6) / 10 for i in range(14)], "1 of 13 steps"),
        ([START + i / 10 - (0.5 if i >= 8 else 0) for i in range(14)], "1 of 13 steps"),
    ],
)
def test_what_the_rate_comes_from_is_said(stamps, reason):
    rate = detect_rate([episode(stamps)])
    assert rate.fps == pytest.approx(10)
    assert reason in rate.reason


@pytest.mark.parametrize("stamps", [[5.0] * 14, [float(i // 10) for i in range(40)], [None] * 14])
def test_stamps_that_hardly_increase_tell_no_rate(stamps):
    rate = detect_rate([episode(stamps)])
    assert (rate.fps, rate.assumed) == (10, True)
    with pytest.raises(UserError, match="without --strict"):
        decide_rate([episode(stamps)], None, strict=True)
    assert not decide_rate([episode(stamps)], 10, strict=True).assumed


def test_rates_that_differ_are_refused_by_name():
    episodes = [episode([i / 30 for i in range(14)], f"episode{n}") for n in range(3)]
    assert decide_rate([*episodes, episode([i / 28 for i in range(14)], "slow")], None).fps == 30
    with pytest.raises(UserError, match=r"30 a second, but not those of episode8 \(10\).*--fps"):
        decide_rate([*episodes, episode([i / 10 for i in range(14)], "episode8")], None)


@settings(max_examples=60)
@given(st.lists(st.sampled_from([0.1, 0.1, 0.1, 0.2, 0.29, 0.35, 4.0]), min_size=8, max_size=30), st.integers(0, 8))
def test_a_step_of_more_than_three_usual_ones_is_a_hole(steps, at):
    recorded = episode([0, *np.cumsum([0.1] * (len(steps) + 1) + steps)])
    times = frame_times(recorded, detect_rate([recorded]))
    assert list(times.holes) == [len(steps) + 2 + i for i, step in enumerate(steps) if step > 0.3]


def test_a_clock_that_is_set_back_and_frames_left_out_are_holes():
    back = episode([START + i / 10 - (500 if i >= 8 else 0) for i in range(14)])
    assert frame_times(back, detect_rate([back])).holes == {8: "the clock was set back"}
    left_out = episode([None] * 12, positions=[*range(6), *range(16, 22)])
    assert list(frame_times(left_out, detect_rate([left_out])).holes) == [6]
    assert not frame_times(back, decide_rate([back], 10)).holes


def test_no_action_reaches_over_a_hole(tmp_path, record_episode):
    folder = record_episode(tmp_path / "in", "episode1", num_frames=18)
    stamp(folder, [i / 10 + (1.6 if i >= 6 else 0) + (2 if i >= 10 else 0) for i in range(18)])
    report = convert_episodes(tmp_path / "in", tmp_path / "out")
    assert report.meta.fps == 10
    assert report.meta.episodes == ["episode1.part1", "episode1.part3"]
    assert [(problem.kind, problem.frame) for _, problem in report.notes] == [("hole", 6), ("hole", 10)]
    assert [(problem.kind, problem.frame) for _, problem in report.left_out] == [("short part", 6)]
    rows = pq.read_table(tmp_path / "out/data").to_pydict()
    states = np.float32(read_episode(folder).states)
    kept = [*range(6), *range(10, 18)]
    assert np.array_equal(np.float32(rows["state"]), states[kept])
    assert np.array_equal(np.float32(rows["action"]), states[[1, 2, 3, 4, 5, 5, *range(11, 18), 17]])
    assert np.allclose(rows["timestamp"], [*np.arange(6) / 10, *np.arange(8) / 10])
    for text in ("frame 6: 1.70 s passed", "frame 6: to frame 9: left out"):
        assert text in str(report)
    with pytest.raises(UserError, match="fewer than 5 frames beside a hole"):
        convert_episodes(tmp_path / "in", tmp_path / "strict", strict=True)
    assert convert_episodes(tmp_path / "in", tmp_path / "even", fps=10).meta.episodes == ["episode1"]


def test_an_episode_of_holes_is_skipped(tmp_path, record_episode):
    record_episode(tmp_path / "in", "episode1", fps=10)
    stamp(record_episode(tmp_path / "in", "episode2"), [0, 0.1, 0.2, 0.3, 5, 5.1, 5.2, 5.3])
    report = convert_episodes(tmp_path / "in", tmp_path / "out")
    assert report.meta.episodes == ["episode1"]
    assert [name for name, _ in report.skipped] == ["episode2"]


def test_an_assumed_rate_is_warned_of_and_text_is_named(tmp_path, record_episode):
    folder = record_episode(tmp_path / "in", "episode1")
    stamp(folder, [f"2025-03-14T10:15:02.{33 * i:03d}" for i in range(8)])
    text = str(convert_episodes(tmp_path / "in", tmp_path / "out"))
    assert "warning: the rate is assumed, as episode1: frame 0: timestamp is text in ISO 8601" in text
    with pytest.raises(UserError, match="10 frames a second, assumed"):
        convert_episodes(tmp_path / "in", tmp_path / "strict", strict=True)


def test_a_check_names_holes_and_rates(tmp_path, record_episode):
    stamp(record_episode(tmp_path, "episode1"), [i / 10 + (3 if i > 3 else 0) for i in range(8)])
    for n in (2, 3):
        record_episode(tmp_path, f"episode{n}", seed=n, fps=10)
    found = [(e.name, p.kind, p.frame) for e in check_episodes(tmp_path).episodes for p in e.problems]
    assert found == [("episode1", "hole", 4)]
    record_episode(tmp_path, "episode4", seed=4, fps=30)
    found = [(e.name, p.kind, p.frame) for e in check_episodes(tmp_path).episodes for p in e.problems]
    assert found == [("episode4", "unclear rate", None)]
