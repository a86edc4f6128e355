"""Edited recordings are new, hold the frames that are left as they were, and statistics of their own."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from moving_spot import NUMBERS, course, picture, write_course

from dp_hf.cli.edit_episodes import main
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.episodes.format import whole_episode
from dp_hf.episodes.metadata import column_statistics
from dp_hf.errors import UserError
from dp_hf.review.editing import edit
from dp_hf.review.edits import Edits, plan
from dp_hf.review.tracks import Track, read_tracks


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(str(path).encode() + path.read_bytes() for path in files)).hexdigest()


@pytest.fixture
def recordings(tmp_path):
    """Two episodes of 30 frames, the second with fifteen idle ones before and after."""
    folder = tmp_path / "recordings"
    write_course(folder, "episode_0", course(0))
    rows = [*[0] * 15, *range(30), *[29] * 15]
    write_course(folder, "episode_1", course(1)[rows])
    return folder


@pytest.fixture(params=["folder", "dataset"])
def source(request, recordings, tmp_path):
    if request.param == "folder":
        return recordings
    convert_episodes(recordings, tmp_path / "dataset", progress=False)
    return tmp_path / "dataset"


def lengths(folder):
    return {track.name: len(track.frames) for track in read_tracks(folder, progress=False)[0]}


def test_idle_ends_are_cut_and_the_source_stays_as_it_was(source, tmp_path, capsys):
    before = digest(source)
    assert main([str(source), "--output_dir", str(tmp_path / "new"), "--cut_idle", "0.2"]) == 0
    out = capsys.readouterr().out
    assert "episode_1: 27 idle frames cut, frames 14 to 46 are left" in out
    assert lengths(tmp_path / "new") == {"episode_0": 30, "episode_1": 33}
    assert digest(source) == before
    (_, new), (_, old) = ((t for t in read_tracks(folder, progress=False)[0]) for folder in (tmp_path / "new", source))
    assert (new.states == old.states[14:47]).all()
    assert new.seconds == pytest.approx(old.seconds[14:47] - old.seconds[14])


def test_drop_split_and_their_parts(source, tmp_path):
    edits = Edits(drop=["episode_1:20-29"], split=["episode_0:10"])
    report = edit([source], tmp_path / "new", edits, progress=False)
    assert lengths(tmp_path / "new") == {
        "episode_0.part1": 10,
        "episode_0.part2": 20,
        "episode_1.part1": 20,
        "episode_1.part2": 30,
    }
    assert report.num_frames == 80
    edit([tmp_path / "new"], tmp_path / "newer", Edits(drop=["episode_1.part1"]), progress=False)
    assert [*lengths(tmp_path / "newer")] == ["episode_0.part1", "episode_0.part2", "episode_1.part2"]


def test_statistics_and_actions_are_made_anew(recordings, tmp_path):
    convert_episodes(recordings, tmp_path / "dataset", progress=False)
    edit([tmp_path / "dataset"], tmp_path / "new", Edits(drop=["episode_0", "episode_1:30-59"]), progress=False)
    dataset, meta = load_dataset_folder(tmp_path / "new")
    states, actions = (np.array(dataset[column]) for column in ("state", "action"))
    assert meta.statistics["state"] == column_statistics(states.astype(np.float32))
    assert (actions[:-1] == states[1:]).all()
    assert (actions[-1] == states[-1]).all()  # no longer what came after it
    assert meta.num_frames == len(dataset) == 30
    assert meta.fps == 10


def test_split_parts_join_to_what_they_were(source, tmp_path):
    edit([source], tmp_path / "parts", Edits(split=["episode_0:10"]), progress=False)
    edit([tmp_path / "parts"], tmp_path / "whole", Edits(join=["episode_0.part1+episode_0.part2"]), progress=False)
    whole, original = (read_tracks(folder, progress=False)[0] for folder in (tmp_path / "whole", source))
    assert [len(track.frames) for track in whole] == [30, 60]
    for one, other in zip(whole, original, strict=True):
        assert (one.states == other.states).all()
        assert one.seconds == pytest.approx(other.seconds, abs=1e-5)
        assert all((one.views[camera] == other.views[camera]).all() for camera in other.views)


def test_what_the_arm_did_not_do_is_not_joined(source, tmp_path):
    with pytest.raises(UserError, match=r"would jump from .* which the arm did not do"):
        edit([source], tmp_path / "new", Edits(join=["episode_0+episode_1"]), progress=False)
    assert not (tmp_path / "new").exists()


def test_folders_are_merged_and_equal_names_told_apart(source, tmp_path, capsys):
    edit([source], tmp_path / "again", Edits(drop=["episode_1"]), progress=False)
    assert main([str(source), str(tmp_path / "again"), "--output_dir", str(tmp_path / "both")]) == 0
    assert "called episode_0_of_2, for an earlier folder has one of that name" in capsys.readouterr().out
    assert lengths(tmp_path / "both") == {"episode_0": 30, "episode_0_of_2": 30, "episode_1": 60}


def test_frames_that_cannot_be_used_stay_between_those_that_can(recordings, tmp_path):
    (recordings / "episode_0/frame_dir/image_00012.png").write_bytes(b"")
    edit([recordings], tmp_path / "new", Edits(drop=["episode_0:0-4"]), progress=False)
    track = read_tracks(tmp_path / "new", progress=False)[0][0]
    assert track.frames.tolist() == [*range(7), *range(8, 25)]
    assert len(json.loads((tmp_path / "new/episode_0/states.json").read_text())) == 25


def test_what_cannot_be_edited_is_one_sentence(recordings, tmp_path, capsys):
    new = ["--output_dir", str(tmp_path / "new")]
    for options, sentence in {
        ("--drop", "episode_7"): "there is no episode 'episode_7': there are episode_0, episode_1",
        ("--drop", "episode_0:20-40"): "episode_0:20-40: the frames of episode_0 are 0 to 29",
        ("--split", "episode_0"): "give NAME:FRAME",
        ("--split", "episode_0:0"): "nothing of episode_0 is left before",
        ("--drop", "episode_0", "episode_1"): "nothing is left: drop less",
    }.items():
        assert main([str(recordings), *new, *options]) == 2
        assert sentence in capsys.readouterr().err
    assert main([str(recordings), "--output_dir", str(recordings / "new")]) == 2
    assert "would be read with it" in capsys.readouterr().err
    assert main([str(recordings), "--output_dir", str(recordings)]) == 2
    assert "nothing is edited in place" in capsys.readouterr().err
    assert main([str(recordings), str(recordings), *new]) == 2
    assert "a folder is given twice" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_recordings_of_other_numbers_or_rates_are_not_merged(recordings, tmp_path):
    from dp_hf import EpisodeWriter
    from dp_hf.arms.quantities import Quantities

    write_course(tmp_path / "other", "episode_2", course(2), numbers=Quantities(("a", "b", "c"), ("degrees",) * 3))
    with pytest.raises(UserError, match="they cannot be merged"):
        edit([recordings, tmp_path / "other"], tmp_path / "new", Edits(), progress=False)
    for name, rate in (("slow", 5), ("fast", 10)):
        with EpisodeWriter(tmp_path / name, f"episode_{name}") as writer:
            for frame in range(8):
                writer.add_frame(picture(course(0)[frame]), np.arange(7) * 10.0 + frame, timestamp=frame / rate)
    with pytest.raises(UserError, match=r"a second, but not those of .*: they cannot be merged"):
        edit([tmp_path / "slow", tmp_path / "fast"], tmp_path / "new", Edits(), progress=False)


def test_a_lerobot_set_is_sent_through_the_conversion(tmp_path, capsys):
    from lerobot_set import write_lerobot

    write_lerobot(tmp_path / "lerobot")
    assert main([str(tmp_path / "lerobot"), "--output_dir", str(tmp_path / "new")]) == 2
    assert "convert-episodes from-lerobot" in capsys.readouterr().err


def track(name, frames):
    numbers, states = np.arange(frames), np.linspace([0, 0, 0], [9, 9, 9], frames)
    return Track(name, NUMBERS, states, NUMBERS, None, numbers / 10, numbers, {})


@given(
    lengths=st.lists(st.integers(5, 40), min_size=1, max_size=4),
    drops=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 39), st.integers(0, 39)), max_size=4),
    splits=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 39)), max_size=3),
)
def test_every_frame_is_kept_once_or_was_dropped(lengths, drops, splits):
    tracks = [track(f"episode_{index}", length) for index, length in enumerate(lengths)]
    drop = [(e, *sorted((a, b))) for e, a, b in drops if e < len(lengths) and max(a, b) < lengths[e]]
    edits = Edits(
        [f"episode_{e}:{a}-{b}" for e, a, b in drop],
        [f"episode_{e}:{at}" for e, at in splits if e < len(lengths) and at < lengths[e]],
    )
    try:
        pieces, said = plan([tracks], edits)
    except UserError:  # nothing is left
        reject()
    spans = [span for piece in pieces for span in piece.spans]
    kept = [(span.episode, frame) for span in spans for frame in range(span.first, span.last + 1)]
    dropped = {(f"episode_{e}", frame) for e, a, b in drop for frame in range(a, b + 1)}
    assert len(kept) == len({*kept})
    assert not dropped & {*kept}
    assert all(span.last - span.first >= 4 for span in spans)
    short = sum("fewer than" in line for line in said)
    assert sum(lengths) - len(dropped) - 4 * short <= len(kept)
    assert len({piece.name for piece in pieces}) == len(pieces)


def test_names_of_merged_parts_stay_together():
    sources = [[track("a", 20), track("a.part1", 9)], [track("a.part1", 9), track("a.part2", 9), track("b", 9)]]
    pieces, _ = plan(sources, Edits(split=["a:10"]))
    names = [piece.name for piece in pieces]
    assert names == ["a.part2", "a.part3", "a.part1", "a_of_2.part1", "a_of_2.part2", "b"]
    assert [whole_episode(name) for name in names] == ["a", "a", "a", "a_of_2", "a_of_2", "b"]


def test_parts_of_parts_are_held_out_together():
    assert whole_episode("episode_3.part1.part2") == "episode_3"
