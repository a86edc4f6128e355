"""What a checkpoint belongs to: a run that differs does not continue it, and a damaged one is not taken."""

import json
import shutil

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import load_file, save_file

from dp_hf.errors import UserError
from dp_hf.training import output_folder
from dp_hf.training.checkpoints import list_checkpoints
from dp_hf.training.config import TrainConfig, plain_options, save_config
from dp_hf.training.origin import FREE, SEEN_OTHERWISE
from dp_hf.training.records import read_metrics
from dp_hf.training.trainer import train


@pytest.fixture(scope="session")
def stopped(recording, tmp_path_factory):
    """The folder of a run of two epochs of 7 updates."""
    return tmp_path_factory.mktemp("stopped") / "run"


@pytest.fixture
def resume(stopped, make_config, tmp_path):
    """A function that continues a copy of that run with other options; `damage(checkpoint)` comes first."""
    if not stopped.exists():
        train(make_config(output_dir=stopped, num_epochs=2, save_steps=10, checkpoints_total_limit=None))
    copy = tmp_path / "run"
    shutil.copytree(stopped, copy)

    def go(damage=lambda checkpoint: None, **options):
        damage(list_checkpoints(copy)[-1])
        options = {"resume_from_checkpoint": "latest", "num_epochs": 3} | options
        return train(make_config(output_dir=copy, **options))

    return go


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("normalization", "mean_std", r"normalization: min_max -> mean_std\)"),
        ("prediction_type", "sample", r"prediction_type: epsilon -> sample\)"),
        ("diffusion_timesteps", 20, r"diffusion_timesteps: 10 -> 20\)"),
        ("batch_size", 2, r"batch_size: 4 -> 2\)"),
        ("seed", 1, r"seed: 0 -> 1; the frozen image encoder has other weights\)"),
        ("action_offset", 0, r"action_offset: None -> 0; the data"),
        ("mixed_precision", "bf16", r"mixed_precision: no -> bf16\)"),
    ],
)
def test_another_option_is_refused_by_name(option, value, message, resume):
    with pytest.raises(UserError, match=message):
        resume(**{option: value})


@pytest.mark.parametrize("what", ["a pixel", "a joint"])
def test_other_data_at_the_same_path_are_refused(what, resume, recording, tmp_path):
    shutil.copytree(recording, tmp_path / "data")
    episode = sorted((tmp_path / "data").glob("episode_*"))[-1]
    if what == "a pixel":
        image = next(iter(sorted(episode.rglob("*.png"))))
        pixels = np.array(Image.open(image))
        pixels[0, 0, 0] ^= 1
        Image.fromarray(pixels).save(image)
    else:
        states = json.loads((episode / "states.json").read_text())
        states[3]["angles"][0] += 0.01
        (episode / "states.json").write_text(json.dumps(states))
    with pytest.raises(UserError, match=r"the data \(states, actions, episodes or images\) are others\)"):
        resume(data_dir=str(tmp_path / "data"))


def test_every_free_option_exists():
    assert set(plain_options(TrainConfig())) >= FREE | SEEN_OTHERWISE


def test_moved_data_and_free_options_continue(resume, recording, tmp_path):
    """And the learning rate and weight decay are those of the options."""
    shutil.copytree(recording, tmp_path / "moved")
    free = {"learning_rate": 5e-4, "weight_decay": 0.25, "cache": "none", "log_interval": 1, "num_threads": 2}
    output_dir = resume(data_dir=str(tmp_path / "moved"), num_epochs=4, **free)
    rates = {
        row["step"]: row["learning_rate"] for row in read_metrics(output_dir) if "loss" in row and row["step"] > 14
    }
    # A cosine from the 2nd update to the 28th: a run of 14 had a warm-up of one, one of 28 has two.
    expected = [5e-4 * (1 + np.cos(np.pi * (step - 2) / 26)) / 2 for step in range(15, 29)]
    assert list(rates.values()) == pytest.approx(expected)
    optimizer = torch.load(list_checkpoints(output_dir)[-1] / "optimizer.bin", weights_only=True)
    assert [(g["initial_lr"], g["weight_decay"]) for g in optimizer["param_groups"]] == [(5e-4, 0.25)]


def of_before(checkpoint):
    (checkpoint / "origin.json").unlink()


def test_a_checkpoint_of_before_continues_with_a_warning(resume, capsys):
    resume(of_before)
    assert "warning: " in capsys.readouterr().out


def test_another_way_to_hold_recordings_out_is_refused_and_none_is_that_of_before(resume):
    def held_out_by(**said):
        def change(checkpoint):
            origin = json.loads((checkpoint / "origin.json").read_text())
            origin.pop("held_out_by", None)
            (checkpoint / "origin.json").write_text(json.dumps(origin | said))

        return change

    with pytest.raises(UserError, match="parts of one recording were held out while others were learned from"):
        resume(held_out_by(held_out_by="recording"))
    resume(held_out_by())


def cut(name):
    def damage(checkpoint):
        content = (checkpoint / name).read_bytes()
        (checkpoint / name).write_bytes(content[: len(content) // 2])

    return damage


FILES = ["model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl", "ema.safetensors"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("is_old", [False, True])
def test_a_cut_file_is_named(name, is_old, resume):
    def damage(checkpoint):
        cut(name)(checkpoint)
        if is_old:
            of_before(checkpoint)

    with pytest.raises(UserError, match="damaged" if is_old else f"{name}: is not what was saved") as error:
        resume(damage)
    assert "\n" not in str(error.value)


def test_random_states_of_nonsense_are_not_passed_over(resume):
    def damage(checkpoint):
        states = torch.load(checkpoint / "random_states_0.pkl", weights_only=False)
        torch.save(states | {"torch_manual_seed": torch.zeros(3)}, checkpoint / "random_states_0.pkl")
        of_before(checkpoint)

    with pytest.raises(UserError, match="random states cannot be restored"):
        resume(damage)


def test_an_average_of_another_shape_is_not_broadcast(resume):
    def damage(checkpoint):
        tensors = load_file(checkpoint / "ema.safetensors")
        save_file({name: tensor.reshape(-1)[:1] for name, tensor in tensors.items()}, checkpoint / "ema.safetensors")
        of_before(checkpoint)

    with pytest.raises(UserError, match="an average of other tensors"):
        resume(damage)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", "7"),
        ("epoch", -1),
        ("batch", 99),
        ("loss_sum", None),
        ("loss_sum", 10**400),
        ("best", "x"),
        ("step", True),
    ],
)
def test_nonsense_in_progress_is_named(key, value, resume):
    def damage(checkpoint):
        progress = json.loads((checkpoint / "progress.json").read_text())
        (checkpoint / "progress.json").write_text(json.dumps(progress | {key: value}))
        of_before(checkpoint)

    with pytest.raises(UserError, match=rf"progress.json: {key}"):
        resume(damage)


@pytest.mark.parametrize(("content", "message"), [(None, "is missing"), ("", "is damaged"), ("{\n" * 99, "is damaged")])
def test_metrics_that_a_checkpoint_counts_have_to_be_there(content, message, resume):
    def damage(checkpoint):
        metrics = checkpoint.parent / "metrics.jsonl"
        metrics.unlink() if content is None else metrics.write_text(content)

    with pytest.raises(UserError, match=f"metrics.jsonl: {message}"):
        resume(damage)


def test_one_training_at_a_time_in_a_folder(make_config, monkeypatch):
    monkeypatch.setattr("dp_hf.training.trainer.PATIENCE", 0.2)
    config = make_config(num_epochs=1)
    config.output_dir.mkdir()
    with FileLock(config.output_dir / ".lock"), pytest.raises(UserError, match="another run writes into it"):
        train(config)
    # A lock file that nobody holds is what a killed run leaves.
    (config.output_dir / ".lock").touch()
    assert not (train(config) / ".lock").exists()


@pytest.mark.parametrize("which", [None, "latest"])
def test_a_run_killed_before_its_first_checkpoint_begins_anew(which, make_config):
    config = make_config(num_epochs=1)
    config.output_dir.mkdir()
    save_config(config, config.output_dir / "train_config.yaml")
    (config.output_dir / "metrics.jsonl").write_text('{"step": 2, "epoch": 0, "loss": 1.0, "seconds": 1}\n')
    config.resume_from_checkpoint = which
    assert [row["step"] for row in read_metrics(train(config))][:2] == [2, 4]


def test_a_run_that_left_no_more_than_its_lock_begins_anew_when_asked(make_config):
    config = make_config(resume_from_checkpoint="latest")
    with pytest.raises(UserError, match="no checkpoint to resume"):
        output_folder.checkpoint_to_continue(config)
    config.output_dir.mkdir(parents=True)
    (config.output_dir / ".lock").touch()
    assert output_folder.checkpoint_to_continue(config) is None
    (config.output_dir / "notes.txt").touch()
    with pytest.raises(UserError, match="no checkpoint to resume"):
        output_folder.checkpoint_to_continue(config)


def test_what_a_run_left_is_begun_anew_only_when_asked(make_config):
    """A best policy of before the first checkpoint; a final one is never given up."""
    config = make_config(num_epochs=1)
    (config.output_dir / "best").mkdir(parents=True)
    save_config(config, config.output_dir / "train_config.yaml")
    with pytest.raises(UserError, match="holds a run already"):
        output_folder.checkpoint_to_continue(config)
    config.resume_from_checkpoint = "latest"
    assert output_folder.checkpoint_to_continue(config) is None
    (config.output_dir / "final").mkdir()
    with pytest.raises(UserError, match="no checkpoint to resume"):
        output_folder.checkpoint_to_continue(config)
