"""Training on a Hub dataset that is read as a stream."""

import pytest

from dp_hf.cli.train import main

TRAIN = [
    "-m",
    "dp_hf.cli.main",
    "train",
    *("--frame_skip", "1", "--image_encoder", "small_cnn", "--pretrained_backbone", "none", "--image_size", "32", "56"),
    *("--num_epochs", "1", "--diffusion_timesteps", "10", "--validation_windows", "4", "--num_threads", "1"),
]


@pytest.mark.slow
def test_trains_as_on_a_copy_and_keeps_none(hub, client, record_episode, tmp_path):
    for number in range(3):
        record_episode(tmp_path / "in", f"episode{number}", seed=number)
    convert = ["convert-episodes", "--data_dir", str(tmp_path / "in"), "--output_dir", str(tmp_path / "out")]
    client("-m", "dp_hf.cli.main", *convert, "--push_to_hub", "me/cubes")
    client(*TRAIN, "--data_dir", "me/cubes", "--streaming", "--output_dir", str(tmp_path / "streamed"))
    assert list((tmp_path / "home").rglob("meta.json"))
    assert not list((tmp_path / "home").rglob("*.parquet"))

    client(*TRAIN, "--data_dir", str(tmp_path / "out"), "--output_dir", str(tmp_path / "copied"))
    weights = [
        (tmp_path / run / "final" / "policy" / "diffusion_pytorch_model.safetensors").read_bytes()
        for run in ("streamed", "copied")
    ]
    assert weights[0] == weights[1]


def test_streams_only_from_the_hub(record_episode, tmp_path, capsys):
    record_episode(tmp_path / "in", "episode1")
    arguments = ["--data_dir", str(tmp_path / "in"), "--streaming", "--output_dir", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "--streaming reads a dataset on the Hub" in capsys.readouterr().err
