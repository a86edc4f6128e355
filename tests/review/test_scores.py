"""What is wrong with an episode puts it first, and says by what."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from moving_spot import NUMBERS, course, picture, write_course

from dp_hf.arms.quantities import Quantities
from dp_hf.cli.check_episodes import main
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.errors import UserError
from dp_hf.review.ranking import rank
from dp_hf.review.tracks import read_tracks


def paused(states, pictures):
    rows = [*range(10), *[10] * 12, *range(10, 30)]
    trembling = states[rows] + np.random.default_rng(0).normal(0, 0.05, (len(rows), 3)) * [1, 1, 0]
    return trembling, [pictures[row] for row in rows]


def idle(states, pictures):
    rows = [*[0] * 15, *range(30)]
    return states[rows], [pictures[row] for row in rows]


def late(states, pictures):
    return states, [pictures[max(0, row - 3)] for row in range(30)]


def turned_gripper(states, pictures):
    return np.c_[states[:, :2], 120 - states[:, 2]], pictures


def back_and_forth(states, pictures):
    rows = [*range(12), *range(11, 4, -1), *range(5, 30)]
    return states[rows], [pictures[row] for row in rows]


def hurried(states, pictures):
    return states[::2], pictures[::2]


def copied(states, pictures):
    again = course(3) + np.random.default_rng(1).normal(0, 0.05, (30, 3)) * [1, 1, 0]
    return again, [picture(state) for state in again]


SPOILS = {
    paused: "pauses",
    idle: "idle",
    late: "late",
    turned_gripper: "gripper",
    back_and_forth: "turns",
    hurried: "speed",
    copied: "copy of episode_3",
}


@pytest.mark.parametrize(("spoil", "reason"), SPOILS.items(), ids=[spoil.__name__ for spoil in SPOILS])
def test_what_is_spoiled_comes_first_and_the_reason_is_named(make_recordings, spoil, reason):
    ranked = rank(read_tracks(make_recordings(spoil), progress=False)[0])
    first = [each for each in ranked if each.suspect][: 2 if spoil is copied else 1]
    (found,) = (each for each in first if each.track.name == "episode_7")
    assert reason in found.suspect


def test_hardly_a_recording_with_nothing_wrong_is_suspect(make_recordings):
    ranked = rank(read_tracks(make_recordings(), progress=False)[0])
    assert sum(bool(each.suspect) for each in ranked) <= 1  # one goes farther than all others
    assert all(each.measures["late"] == 0 for each in ranked)
    assert all(each.measures["misfit"] < 0.1 for each in ranked)


def test_copies_are_found_where_every_episode_has_some(make_recordings):
    tracks, _, _ = read_tracks(make_recordings(), progress=False)
    again = [replace(track, name=f"{track.name}_again") for track in tracks]
    assert all(each.copy_of is not None for each in rank(tracks + again))


def test_frames_that_stand_out_are_marked(make_recordings):
    tracks, _, _ = read_tracks(make_recordings(paused), progress=False)
    (found,) = (each for each in rank(tracks) if each.track.name == "episode_7")
    (pause,) = (mark for mark in found.marks if mark.measure == "pauses")
    assert (pause.start, pause.stop) == (10, 23)
    assert found.motion.pauses == pytest.approx(1.2)


def test_the_same_in_radians_and_as_a_dataset(make_recordings, tmp_path):
    radians = Quantities(NUMBERS.names, ("radians", "radians", "0..100"))
    folders = [make_recordings(late), make_recordings(late, unit_factor=np.pi / 180, numbers=radians)]
    convert_episodes(folders[0], tmp_path / "dataset", progress=False)
    in_degrees, in_radians, of_dataset = (
        {each.track.name: each for each in rank(read_tracks(folder, progress=False)[0])}
        for folder in (*folders, tmp_path / "dataset")
    )
    for name, scored in in_degrees.items():
        for other in (in_radians[name], of_dataset[name]):
            assert other.suspect == scored.suspect
            names = [measure for measure in scored.measures if measure != "nearest_name"]
            measures = [scored.measures[measure] for measure in names]
            assert [other.measures[measure] for measure in names] == pytest.approx(measures, rel=0.01, abs=0.01)


def test_too_few_are_measured_but_not_compared(tmp_path, capsys):
    for seed in range(2):
        write_course(tmp_path, f"episode_{seed}", course(seed))
    assert main(["score", str(tmp_path)]) == 0
    assert "2 episodes are too few to compare: from 5 on they are ranked" in capsys.readouterr().out


def test_an_arm_that_never_moves_and_short_episodes_can_be_measured(tmp_path):
    for seed in range(5):
        write_course(tmp_path, f"episode_{seed}", np.full((5, 3), float(seed)))
    ranked = rank(read_tracks(tmp_path, progress=False)[0])
    assert all(np.isfinite(each.score) for each in ranked)
    assert all(each.motion.idle == pytest.approx(0.4) for each in ranked)


def test_the_command_ranks_and_names_frames(make_recordings, capsys):
    folder = make_recordings(paused)
    (folder / "episode_0" / "states.json").write_text("[]")
    assert main(["score", str(folder), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "left out: episode_0: has 0 usable frames" in err
    report = json.loads(out)
    assert report["num_episodes"] == 11
    first = report["episodes"][0]
    assert first["name"] == "episode_7"
    assert {"measure": "pauses", "first_frame": 10, "last_frame": 22, "what": "stands still for 1.2 s"} in first[
        "marks"
    ]
    assert main(["score", str(folder)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"to look at: [12] of 11 episodes", out)
    assert "shoulder (degrees): " in out


def test_options_of_another_action_are_refused(make_recordings, capsys):
    folder = make_recordings()
    assert main(["score", str(folder), "--strict"]) == 2
    assert "--strict is for scan: leave it out of score" in capsys.readouterr().err


def test_episodes_of_two_arms_are_not_ranked_together(make_recordings):
    tracks = read_tracks(make_recordings(), progress=False)[0]
    other = make_recordings(numbers=Quantities(("a", "b", "gripper"), NUMBERS.units))
    with pytest.raises(UserError, match="are of two arms: the second has a"):
        rank(tracks + read_tracks(other, progress=False)[0])
