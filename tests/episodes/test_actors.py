"""Who acted in a frame goes from the recording into the dataset's column `actor`, and stays there."""

import json

import numpy as np
import pytest

from dp_hf.episodes.actions import actors_of_kept
from dp_hf.episodes.checks import check_episodes
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.dataset import load_dataset_folder, open_data, resample
from dp_hf.episodes.dataset_writer import DatasetWriter
from dp_hf.episodes.format import QUANTITIES
from dp_hf.episodes.reader import read_episode
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError
from dp_hf.interop.lerobot.exporting import export_lerobot
from dp_hf.review.editing import edit
from dp_hf.review.edits import Edits

ACTORS = [*["policy"] * 4, "nobody", *["person"] * 5]


@pytest.fixture
def run(tmp_path):
    """A folder with an episode in which a person acts in the second half."""
    folder = tmp_path / "runs"
    with EpisodeWriter(folder, "episode_run") as writer:
        for index, actor in enumerate(ACTORS):
            state = np.array([10.0 * index, 0, 0, 0, 0, 0, 50])
            image = np.full((8, 10, 3), index, np.uint8)
            writer.add_frame(image, state, action=state + 1, timestamp=index / 10, actor=actor)
    return folder


def test_who_acted_becomes_a_column(run, tmp_path):
    assert read_episode(run / "episode_run").actors == ACTORS
    convert_episodes(run, tmp_path / "dataset", progress=False)
    dataset, meta = load_dataset_folder(tmp_path / "dataset")
    assert meta.has_actors
    assert dataset["actor"][:] == ACTORS
    skipped, _ = resample(dataset, meta, frame_skip=2)
    assert skipped["actor"][:] == ["policy", "policy", "nobody", "person", "person"]


def test_of_frames_that_are_skipped_one_alone_must_have_acted():
    assert actors_of_kept(ACTORS, 3) == ["policy", "nobody", "person", "person"]
    assert actors_of_kept(ACTORS, 1) == ACTORS


def test_in_a_demonstration_a_person_acts(run, record_episode, tmp_path):
    record_episode(run, "episode_demonstration", num_frames=6, with_actions=True)
    dataset, _ = open_data(run, progress=False)
    assert dataset["actor"][:] == [*["person"] * 6, *ACTORS]


def test_demonstrations_alone_have_no_such_column(record_episode, tmp_path):
    record_episode(tmp_path / "in", num_frames=6)
    dataset, meta = open_data(tmp_path / "in", progress=False)
    assert not meta.has_actors
    assert "actor" not in dataset.column_names


def test_frames_that_do_not_say_it_are_a_warning_and_nobodys(run):
    file = run / "episode_run" / "states.json"
    rows = json.loads(file.read_text())
    del rows[7]["actor"]
    rows[3]["actor"] = "somebody"
    file.write_text(json.dumps(rows))
    problems = {problem.kind: str(problem) for problem in check_episodes(run, progress=False).all_problems}
    assert problems["actor"] == "frame 7: does not say who acted, as other frames do (and 0 more)"
    assert problems["malformed frame"] == "frame 3: actor is 'somebody', not one of person, policy, nobody"
    assert read_episode(run / "episode_run").actors == [*ACTORS[:3], *ACTORS[4:7], "nobody", *ACTORS[8:]]


def test_an_edited_dataset_keeps_it(run, tmp_path):
    convert_episodes(run, tmp_path / "dataset", progress=False)
    edit([tmp_path / "dataset"], tmp_path / "edited", Edits(drop=("episode_run:0-1",)), progress=False)
    dataset, _ = load_dataset_folder(tmp_path / "edited")
    assert dataset["actor"][:] == ACTORS[2:]


def test_a_writer_refuses_what_nobody_is_called(tmp_path):
    match = "actor is one of person, policy, nobody, not 'robot'"
    with EpisodeWriter(tmp_path / "runs") as writer, pytest.raises(UserError, match=match):
        writer.add_frame(np.zeros((8, 10, 3), np.uint8), np.zeros(7), actor="robot")
    frames, states = np.zeros((2, 8, 10, 3), np.uint8), np.zeros((2, 7))
    for actors, has_actors, match in (
        (["person", "person"], False, "has_actors=True"),
        (["person"], True, "not 1 actors for 2 rows"),
        (["person", "robot"], True, "not 'robot'"),
    ):
        writer = DatasetWriter(tmp_path / "dataset", ["front"], QUANTITIES, fps=10, has_actors=has_actors)
        with pytest.raises(UserError, match=match), writer:
            writer.add_episode("one", frames, states, states, actor=actors)


def test_what_a_policy_did_does_not_become_a_demonstration_of_lerobots(run, tmp_path):
    dataset, meta = open_data(run, progress=False)
    with pytest.raises(UserError, match="runs has 5 rows in which no person acted"):
        export_lerobot(dataset, meta, tmp_path / "lerobot", progress=False)
    assert not (tmp_path / "lerobot").exists()
