"""Training on a Hub dataset that is read as a stream."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dp_hf.cli.train import main
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.errors import UserError
from dp_hf.training.streaming import Share, _join, _keep_share

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


@pytest.mark.slow
def test_two_processes_stream_a_share_each_and_train_one_policy(hub, client, datasets_of_files, tmp_path):
    """As from a copy of all of it."""
    out = datasets_of_files(4)
    push = "from huggingface_hub import HfApi; import sys; HfApi().create_repo('me/cubes', repo_type='dataset'); "
    client(
        "-c", push + "HfApi().upload_folder(folder_path=sys.argv[1], repo_id='me/cubes', repo_type='dataset')", str(out)
    )
    file = Path(__file__).parents[2] / "configs/accelerate/cpu_2_processes.yaml"
    launch = ["-m", "accelerate.commands.launch", "--quiet", "--config_file", str(file), *TRAIN]
    client(*launch, "--data_dir", "me/cubes", "--streaming", "--output_dir", str(tmp_path / "streamed"))
    client(*launch, "--data_dir", str(out), "--output_dir", str(tmp_path / "copied"))
    weights = [
        (tmp_path / run / "final" / "policy" / "diffusion_pytorch_model.safetensors").read_bytes()
        for run in ("streamed", "copied")
    ]
    assert weights[0] == weights[1]


@pytest.fixture
def datasets_of_files(record_episode, tmp_path, monkeypatch):
    """A function that makes a dataset of so many files, each with an episode."""

    def make(number):
        monkeypatch.setattr("dp_hf.episodes.episode_rows._MIN_SHARD_BYTES", 1)
        for episode in range(number):
            record_episode(tmp_path / "in", f"episode{episode}", seed=episode)
        convert_episodes(tmp_path / "in", tmp_path / "out")
        assert len([*(tmp_path / "out/data").iterdir()]) == number
        return tmp_path / "out"

    return make


@pytest.mark.parametrize("processes", [1, 2, 4, 5])
def test_no_process_reads_the_files_of_another(processes, datasets_of_files, tmp_path):
    out, target = datasets_of_files(4), tmp_path / "kept"
    files = sorted((out / "data").iterdir())
    for rank in range(processes):
        # The names of the columns are those of the first file.
        others = {file: file.read_bytes() for n, file in enumerate(files) if n and n * processes // 4 != rank}
        others = others if processes in (2, 4) else {}
        for file in others:
            file.write_bytes(b"not read")
        parts, meta = _keep_share(str(out), None, (32, 56), target, Share(rank, processes))
        for file, content in others.items():
            file.write_bytes(content)
    assert len(parts) == min(processes, 4)
    _join("me/cubes", parts, meta, target)
    assert not [*tmp_path.glob("kept.*")]
    kept, found = load_dataset_folder(target)
    whole, expected = load_dataset_folder(out)
    assert found == expected
    for column in ("state", "action", "episode_index", "frame_index", "timestamp"):
        assert kept[column][:] == whole[column][:]
    assert kept[0]["image"].size == (56, 32)


def test_a_share_that_is_not_seen_is_named(datasets_of_files, tmp_path):
    out, target = datasets_of_files(2), tmp_path / "kept"
    parts, meta = _keep_share(str(out), None, (32, 56), target, Share(1, 2))
    with pytest.raises(UserError, match=r"kept.part-0-of-2 is not there.*one --cache_dir that all machines see"):
        _join("me/cubes", parts, meta, target)
    _keep_share(str(out), None, (32, 56), target, Share(0, 2))
    next((parts[1] / "data").iterdir()).unlink()  # moved on, by a run that was killed then
    with pytest.raises(UserError, match=r"kept.part-1-of-2 is not there"):
        _join("me/cubes", parts, meta, target)
    _keep_share(str(out), None, (32, 56), target, Share(1, 2))
    _join("me/cubes", parts, meta, target)


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
        _keep_share(str(tmp_path / "out"), None, (32, 56), tmp_path / "kept", Share())
    assert not [*tmp_path.glob("kept*")]
