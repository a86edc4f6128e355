"""Learning from corrections: a person's actions alone, a share of every batch, and exactly again after a stop."""

import json
import subprocess

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_machines import ENVIRONMENT, LAUNCH, free_port
from test_resume import ROOT, assert_same_run

from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError
from dp_hf.training.mixing import JoinedObservations, MixedSampler
from dp_hf.training.records import read_metrics
from dp_hf.training.setup import make_accelerator, set_up
from dp_hf.training.trainer import train
from dp_hf.training.windows import Trajectories, make_windows

SMALL = {"horizon": 3, "n_obs_steps": 2, "freeze_image_encoder": False, "random_shift": 1}


@pytest.fixture(scope="session")
def corrections(tmp_path_factory):
    """Two recorded runs of twelve frames, of which a person acted in the last seven."""
    folder = tmp_path_factory.mktemp("corrections")
    rng = np.random.default_rng(1)
    for episode in range(2):
        with EpisodeWriter(folder, name=f"episode_{episode}") as writer:
            for i in range(12):
                image = rng.integers(0, 60, (36, 64, 3), dtype=np.uint8)
                state = np.array([3.0 * i, *[-40.0 - episode] * 5, 60])
                writer.add_frame(image, state, timestamp=0.1 * i, actor="policy" if i < 5 else "person")
    return folder


def test_windows_begin_and_end_where_a_person_acts():
    index = torch.tensor([0] * 8 + [1] * 3)
    by_person = torch.tensor([0, 0, 1, 1, 1, 0, 1, 0, 1, 1, 0]).bool()
    windows = make_windows(index, [0, 1], 2, 3, by_person)
    assert windows.action_rows.tolist() == [[2, 3, 4], [3, 4, 4], [4, 4, 4], [6, 6, 6], [8, 9, 9], [9, 9, 9]]
    assert windows.is_pad.sum(1).tolist() == [0, 1, 2, 2, 1, 2]
    # What the policy did before is seen.
    assert windows.observation_rows.tolist() == [[1, 2], [2, 3], [3, 4], [5, 6], [8, 8], [8, 9]]


@given(st.lists(st.sampled_from(["person", "policy", "nobody"]), min_size=1, max_size=30), st.integers(1, 8))
def test_no_action_that_is_learned_is_anybody_elses(actors, horizon):
    index = torch.zeros(len(actors), dtype=torch.int64)
    by_person = torch.tensor([actor == "person" for actor in actors])
    windows = make_windows(index, [0], 2, horizon, by_person)
    assert len(windows) == by_person.sum()
    assert by_person[windows.action_rows].all()
    learned = windows.action_rows[~windows.is_pad]
    assert learned.unique().tolist() == by_person.nonzero().squeeze(1).tolist()


def test_a_dataset_in_which_no_person_acted_is_refused():
    frame = {"state": [0.0], "action": [0.0], "episode_index": 0, "frame_index": 0, "actor": "policy"}
    dataset = datasets.Dataset.from_list([frame])
    with pytest.raises(UserError, match=r"runs has no frame in which a person acted.*--learn_from all"):
        Trajectories.from_dataset(dataset, "runs")
    assert Trajectories.from_dataset(dataset, "runs", "all").by_person.tolist() == [True]
    wrong = datasets.Dataset.from_list([frame | {"actor": "robot"}])
    with pytest.raises(UserError, match="actor of row 0 is 'robot'"):
        Trajectories.from_dataset(wrong)


@given(
    others=st.integers(1, 60),
    corrections=st.integers(1, 60),
    batch_size=st.integers(2, 16),
    share=st.floats(0.05, 0.95),
    epoch=st.integers(0, 3),
)
def test_every_batch_holds_its_share_and_an_epoch_all_others(others, corrections, batch_size, share, epoch):
    try:
        sampler = MixedSampler(others, corrections, batch_size, share, seed=3)
    except UserError:
        assert round(batch_size * share) in (0, batch_size)
        return
    sampler.set_epoch(epoch)
    order = torch.tensor([*sampler])
    assert len(order) == len(sampler)
    batches = order.view(-1, batch_size)
    assert ((batches >= others).sum(1) == round(batch_size * share)).all()
    assert batches.max() < others + corrections
    counts = torch.bincount(order[order < others], minlength=others)
    assert counts.min() >= 1
    drawn = torch.bincount(order[order >= others] - others, minlength=corrections)
    assert drawn.max() - drawn.min() <= 1
    again = MixedSampler(others, corrections, batch_size, share, seed=3)
    again.set_epoch(epoch)
    assert [*again] == order.tolist()


def test_observations_of_two_datasets_are_those_of_one():
    class Rows:
        name = "images"

        def __init__(self, values):
            self.values = values

        def __getitem__(self, rows):
            return self.values[rows]

    values = torch.arange(20.0).view(10, 2)
    both = JoinedObservations(Rows(values[:6]), Rows(values[6:]), 6)
    for rows in ([[0, 9], [6, 5]], [[1, 2]], [[7], [9]]):
        assert torch.equal(both[torch.tensor(rows)], values[torch.tensor(rows)])


def test_half_of_every_batch_is_corrections_by_a_person(make_config, corrections):
    config = make_config(corrections=str(corrections), validation_fraction=0, **SMALL)
    run = set_up(config, make_accelerator(config))
    assert run.num_windows == 4 * 9 + 2 * 7
    assert run.num_corrections == 14
    assert run.num_steps == 18 * config.optimization.num_epochs
    for batch in run.loader:
        by_person = (batch["action"][:, 0, 1] < -39.5) & (batch["action"][:, 0, 6] == 60)
        assert by_person.tolist() == [False, False, True, True]
        assert (batch["action"][by_person][..., 0] >= 18).all()  # from the state behind the person's first frame on
    # The normalizer knows what the person did.
    low, _ = run.pipeline.normalizer.unnormalize(torch.tensor([[-1.0] * 7, [1.0] * 7]), "action")
    assert low[1] <= -41


def test_corrections_with_commands_beside_demonstrations_without(make_config, tmp_path, recording):
    with EpisodeWriter(tmp_path / "runs") as writer:
        for i in range(8):
            state = np.full(7, 10.0 + i)
            image = np.zeros((36, 64, 3), np.uint8)
            writer.add_frame(image, state, state + 30, timestamp=0.1003 * i, actor="person")
    config = make_config(corrections=str(tmp_path / "runs"), **SMALL)
    run = set_up(config, make_accelerator(config))
    of_corrections = run.validation_data.trajectories.action[-8:]
    assert of_corrections[:, 0].tolist() == [11, 12, 13, 14, 15, 16, 17, 17]


def test_corrections_alone_are_learned_from(make_config, corrections, capsys):
    config = make_config(data_dir=str(corrections), num_epochs=1, **SMALL)
    train(config)
    assert "1 training episodes (7 frames), 1 held out" in (said := capsys.readouterr().out)
    assert "10 frames in which no person acted are seen and not learned" in said


@pytest.mark.parametrize("save_steps", [5, 18])
def test_a_run_with_corrections_goes_on_exactly(make_config, corrections, tmp_path, save_steps):
    options = {"corrections": str(corrections), "num_epochs": 2, "validation_fraction": 0, **SMALL}
    train(make_config(output_dir=tmp_path / "whole", checkpoints_total_limit=None, save_steps=save_steps, **options))
    config = make_config(output_dir=tmp_path / "cut", checkpoints_total_limit=None, save_steps=save_steps, **options)
    train(config)
    first = tmp_path / "cut" / f"checkpoint-{save_steps}"
    for later in (tmp_path / "cut").glob("checkpoint-*"):
        if later != first:
            later.rename(tmp_path / later.name)
    again = make_config(
        output_dir=tmp_path / "cut",
        checkpoints_total_limit=None,
        save_steps=save_steps,
        resume_from_checkpoint="latest",
        **options,
    )
    train(again)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    assert read_metrics(tmp_path / "whole")


def test_a_checkpoint_belongs_to_its_corrections(make_config, corrections, recording, tmp_path):
    options = {"num_epochs": 1, "save_interval": 1, "validation_fraction": 0, **SMALL}
    train(make_config(corrections=str(corrections), **options))
    again = {"resume_from_checkpoint": "latest", **options, "num_epochs": 2}
    with pytest.raises(UserError, match=r"the data .* are others"):
        train(make_config(corrections=str(recording), **again))
    with pytest.raises(UserError, match=r"corrections_share: 0.5 -> 0.25"):
        train(make_config(corrections=str(corrections), corrections_share=0.25, **again))


def test_corrections_that_do_not_fit_are_refused(make_config, corrections, tmp_path):
    with pytest.raises(UserError, match=r"corrections_share 0.1: of a batch of 4 that is 0"):
        train(make_config(corrections=str(corrections), corrections_share=0.1, **SMALL))
    with EpisodeWriter(tmp_path / "slow") as writer:
        for i in range(6):
            writer.add_frame(np.zeros((36, 64, 3), np.uint8), np.full(7, 10.0 * i), timestamp=0.5 * i, actor="person")
    with pytest.raises(UserError, match=r"have 10 and 2 rows a second"):
        train(make_config(corrections=str(tmp_path / "slow"), **SMALL))


BATCHES = """
import json, sys
from pathlib import Path
from dp_hf.training.config import TrainConfig
from dp_hf.training.setup import make_accelerator, set_up

options, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
config = TrainConfig.from_options(**options)
accelerator = make_accelerator(config)
run = set_up(config, accelerator)
epochs = []
for epoch in range(2):
    run.loader.set_epoch(epoch)
    windows = [[*map(int, batch)] for batch in run.loader.batch_sampler]
    batches = [batch["action"][:, 0].tolist() for batch in run.loader]
    epochs.append({"windows": windows, "actions": batches})
(folder / f"{accelerator.process_index}.json").write_text(json.dumps({"steps": run.num_steps, "epochs": epochs}))
"""


@pytest.mark.slow
def test_with_two_processes_each_batch_of_either_holds_its_share_and_no_window_comes_twice(
    make_config, corrections, recording, tmp_path
):
    config = make_config(corrections=str(corrections), validation_fraction=0, **SMALL)
    (tmp_path / "batches.py").write_text(BATCHES)
    launch = [*LAUNCH, str(ROOT / "configs/accelerate/cpu_2_processes.yaml"), "--main_process_port", free_port()]
    options = json.dumps(config.options(), default=str)
    subprocess.run([*launch, str(tmp_path / "batches.py"), options, str(tmp_path)], env=ENVIRONMENT, check=True)
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    num_others = 4 * 9
    for epoch in range(2):
        both = [rank["epochs"][epoch] for rank in ranks]
        for each in both:
            windows = np.array(each["windows"])
            assert windows.shape == (9, 4)
            assert ((windows >= num_others).sum(axis=1) == 2).all()
            actions = np.array(each["actions"])
            by_person = (actions[..., 1] < -39.5) & (actions[..., 6] == 60)
            np.testing.assert_array_equal(by_person, windows >= num_others)
        drawn = np.concatenate([np.ravel(each["windows"]) for each in both])
        assert sorted(drawn[drawn < num_others]) == [*range(num_others)]
        counts = np.bincount(drawn[drawn >= num_others] - num_others, minlength=14)
        assert counts.max() - counts.min() <= 1
    first, second = (ranks[0]["epochs"][epoch]["windows"] for epoch in range(2))
    assert first != second
