"""Training on a Hub dataset that is read as a stream."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dp_hf.cli.train import main
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.errors import UserError
from dp_hf.training.streaming import _keep_resized

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


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*range(5), *range(6, 16)], "frame 6 of episode 0 comes after frame 4: frames are missing or out of order"),
        ([1, 0, *range(2, 16)], "frame 0 of episode 0 comes after frame 1: frames are missing or out of order"),
        ([*range(4), *range(8, 16), *range(4, 8)], "the rows of an episode are not next to each other"),
        ([*range(15), None], "column episode_index has rows without a value|episode None"),
    ],
)
def test_streamed_rows_are_in_order_as_others_are(record_episode, tmp_path, rows, message):
    for number in range(2):
        record_episode(tmp_path / "in", f"episode{number}", seed=number)
    convert_episodes(tmp_path / "in", tmp_path / "out")
    (file,) = (tmp_path / "out/data").iterdir()
    table = pq.read_table(file).take([15 if row is None else row for row in rows])
    episodes = pc.if_else(pa.array([row is None for row in rows]), None, table["episode_index"])
    table = table.set_column(table.schema.get_field_index("episode_index"), "episode_index", episodes)
    pq.write_table(table, file)  # of vectors, pyarrow refuses those that are absent before us
    with pytest.raises(UserError, match=message):
        _keep_resized(str(tmp_path / "out"), None, (32, 56), tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
