import json
import os
import shutil
import signal
import subprocess
import sys

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.dataset import is_hub_id, load_dataset_folder, open_data, resample
from dp_hf.episodes.rows import numbers_of
from dp_hf.errors import UserError


@pytest.fixture
def converted(tmp_path, record_episode):
    """A dataset folder of two episodes of 8 and 7 frames, with recorded actions."""
    record_episode(tmp_path / "in", "episode1", num_frames=8, seed=1, with_actions=True, fps=10)
    record_episode(tmp_path / "in", "episode2", num_frames=7, seed=2, with_actions=True, fps=10)
    convert_episodes(tmp_path / "in", tmp_path / "out")
    return tmp_path / "out"


def columns(dataset):
    names = ["state", "action", "episode_index", "frame_index", "timestamp"]
    return {name: np.array(dataset.select_columns([name])[name][:]) for name in names}


def assert_same_rows(left, right):
    left, right = columns(left), columns(right)
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_a_folder_loads_with_its_description(converted):
    dataset, meta = load_dataset_folder(converted)
    assert meta.num_frames == len(dataset) == 15
    assert dataset[3]["image"].size == (42, 24)
    assert dataset.features["image"] == datasets.Image(mode="RGB")
    assert dataset.features["state"] == datasets.List(datasets.Value("float32"), length=7)
    assert dataset.with_format("torch")[0]["state"].shape == (7,)


def with_value(column, row, value):
    def change(table):
        field = table.schema.field(column)
        values = table[column].to_pylist()
        values[row] = value
        return table.set_column(table.schema.names.index(column), field, pa.array(values, field.type))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_value("episode_index", 3, None), "column episode_index has rows without a value"),
        (with_value("state", 9, [1.0, None, 1, 1, 1, 1, 1]), r"state of row 9 \(episode 1\) is not finite"),
        (
            with_value("frame_index", 9, 5),
            "frame 5 of episode 1 comes after frame 0: frames are missing",
        ),
        (lambda table: table.take(list(reversed(range(15)))), "frame 5 of episode 1 comes after frame 6"),
        (lambda table: table.take([*range(5), 10, *range(5, 10), *range(11, 15)]), "are not next to each other"),
    ],
)
def test_rows_that_are_no_episodes_are_refused_at_every_door(converted, change, message):
    rewrite(converted, change)
    with pytest.raises(UserError, match=f"out.*{message}"):
        load_dataset_folder(converted)


def test_an_absent_action_is_refused_by_whoever_meets_it_first(converted):
    dataset, _ = load_dataset_folder(converted)
    rows = dataset.select_columns(["state", "action", "episode_index", "frame_index"])
    actions = [*rows["action"][:3], None, *rows["action"][4:]]
    absent = rows.remove_columns("action").add_column("action", actions, feature=rows.features["action"])
    with pytest.raises(UserError, match="out: column action has rows without a value"):
        numbers_of(absent, "out")
    try:
        rewrite(converted, with_value("action", 3, None))
    except pa.ArrowNotImplementedError:  # pyarrow 15 writes no such file
        return
    # Before 26 pyarrow itself has no place for it in lists of one length.
    words = "column action has rows without a value|Expected all lists to be of size=7"
    with pytest.raises(UserError, match=f"out.*({words})"):
        load_dataset_folder(converted)


def test_rows_of_an_episode_that_meta_does_not_name_are_refused(converted):
    meta = json.loads((converted / "meta.json").read_text())
    (converted / "meta.json").write_text(json.dumps(meta | {"episodes": ["episode1"]}))
    with pytest.raises(UserError, match=r"rows of episode 1, its meta\.json names 1"):
        load_dataset_folder(converted)


def test_it_loads_without_dp_hf_too(converted):
    dataset = datasets.load_dataset(str(converted), split="train")
    assert_same_rows(dataset, load_dataset_folder(converted)[0])
    assert dataset.features == load_dataset_folder(converted)[0].features


def test_streaming_gives_the_same_rows(converted):
    rows, meta = load_dataset_folder(converted, streaming=True)
    assert isinstance(rows, datasets.IterableDataset)
    rows = list(rows)
    assert len(rows) == meta.num_frames
    assert np.array_equal([row["state"] for row in rows], columns(load_dataset_folder(converted)[0])["state"])
    assert rows[0]["image"].size == (42, 24)


@pytest.mark.parametrize(
    ("frame_skip", "action_offset", "action_source"),
    [(1, 1, "state"), (1, 0, "state"), (2, 1, "state"), (3, 2, "state"), (1, 1, "recorded"), (2, 1, "recorded")],
)
def test_resampling_equals_converting_with_these_arguments(
    converted, tmp_path, frame_skip, action_offset, action_source
):
    arguments = {"frame_skip": frame_skip, "action_offset": action_offset, "action_source": action_source}
    convert_episodes(tmp_path / "in", tmp_path / "other", **arguments)
    direct, direct_meta = load_dataset_folder(tmp_path / "other")
    resampled, meta = open_data(converted, **arguments)
    assert meta == direct_meta
    assert_same_rows(resampled, direct)
    assert resampled.features == direct.features
    assert np.array_equal(np.array(resampled[-1]["image"]), np.array(direct[-1]["image"]))


def test_an_offset_that_commands_do_not_have_is_refused(converted, tmp_path):
    for action_source in ("auto", "recorded"):
        with pytest.raises(UserError, match="action_offset 0: the frames carry commands"):
            open_data(converted, action_offset=0, action_source=action_source)
        with pytest.raises(UserError, match="action_offset 0: the frames carry commands"):
            convert_episodes(tmp_path / "in", tmp_path / "other", action_offset=0, action_source=action_source)
    dataset, _ = open_data(converted, action_offset=0, action_source="state")
    assert dataset["action"][:] == dataset["state"][:]


def test_resampling_what_was_skipped_already(converted, tmp_path):
    convert_episodes(tmp_path / "in", tmp_path / "twos", frame_skip=2)
    four, meta = open_data(tmp_path / "twos", frame_skip=4)
    direct, direct_meta = open_data(converted, frame_skip=4)
    assert meta == direct_meta
    assert_same_rows(four, direct)
    with pytest.raises(UserError, match="multiple"):
        open_data(tmp_path / "twos", frame_skip=3)


def test_recorded_actions_cannot_be_made_up(converted, tmp_path):
    convert_episodes(tmp_path / "in", tmp_path / "states", action_source="state")
    with pytest.raises(UserError, match="no recorded actions"):
        open_data(tmp_path / "states", action_source="recorded")
    dataset, meta = load_dataset_folder(converted)
    assert resample(dataset, meta) == (dataset, meta)


def test_a_folder_of_episodes_is_converted_once_for_each_state_of_its_files(tmp_path, record_episode):
    episode = record_episode(tmp_path / "in", "episode1")
    said = []
    first, _ = open_data(tmp_path / "in", report=said.append)
    assert "recorded in degrees" in said[0]
    again, _ = open_data(tmp_path / "in", report=said.append)
    assert "has not changed" in said[1]
    assert_same_rows(first, again)

    rows = json.loads((episode / "states.json").read_text())
    before = (episode / "states.json").stat()
    rows[0]["gripper_value"] = [99.0 if rows[0]["gripper_value"][0] < 50 else 11.0]
    (episode / "states.json").write_text(json.dumps(rows))
    os.utime(episode / "states.json", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    changed, _ = open_data(tmp_path / "in", report=said.append)
    assert columns(changed)["state"][0, 6] == rows[0]["gripper_value"][0]

    record_episode(tmp_path / "in", "episode2", seed=2)
    assert len(open_data(tmp_path / "in", report=said.append)[0]) == 16
    (tmp_path / "in/FAILED_EPISODE_2.txt").touch()
    assert len(open_data(tmp_path / "in", report=said.append)[0]) == 8
    (copies,) = (tmp_path / "dp_hf_cache/datasets").iterdir()
    assert len([path for path in copies.iterdir() if len(path.name) == 16]) == 1


def test_everything_that_is_cached_goes_where_it_is_told(tmp_path, record_episode, monkeypatch):
    record_episode(tmp_path / "in", "episode1")
    convert_episodes(tmp_path / "in", tmp_path / "out")
    monkeypatch.setenv("HOME", str(tmp_path))
    before = set(tmp_path.iterdir())
    for data in ("~/in", "~/out"):
        assert len(open_data(data, cache_dir="~/here", report=str)[0]) == 8
    assert set(tmp_path.iterdir()) - before == {tmp_path / "here"}
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"datasets", "arrow"}

    monkeypatch.setenv("DP_HF_CACHE", "~/there")
    open_data("~/in", report=str)
    assert set(tmp_path.iterdir()) - before == {tmp_path / "here", tmp_path / "there"}


KILLED = """
import os, signal, sys
from dp_hf.episodes import dataset_writer
from dp_hf.episodes.dataset import open_data
dataset_writer.write_dataset_card = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
open_data(sys.argv[1])
"""


def test_a_killed_conversion_leaves_nothing_for_ever(tmp_path, record_episode):
    record_episode(tmp_path / "in", "episode1")
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "in")]).returncode == -signal.SIGKILL
    (copies,) = (tmp_path / "dp_hf_cache/datasets").iterdir()
    (left,) = copies.glob(".*.new-*")
    # The folder has changed, so the next conversion has another name.
    record_episode(tmp_path / "in", "episode2", seed=2)
    assert len(open_data(tmp_path / "in", report=str)[0]) == 16
    assert not left.exists()


def test_conversion_arguments_have_copies_of_their_own(tmp_path, record_episode):
    record_episode(tmp_path / "in", "episode1", cameras=["head", "wrist"])
    _, both = open_data(tmp_path / "in", report=print)
    _, one = open_data(tmp_path / "in", cameras=["wrist"], report=print)
    assert (both.camera_names, one.camera_names) == (["head", "wrist"], ["image"])


def test_a_converted_dataset_takes_no_conversion_arguments(converted):
    with pytest.raises(UserError, match="angle_unit"):
        open_data(converted, angle_unit="radians")


def test_reconverted_rows_are_never_stale(tmp_path, record_episode):
    episode = record_episode(tmp_path / "in", "episode1")
    convert_episodes(tmp_path / "in", tmp_path / "out")
    load_dataset_folder(tmp_path / "out")
    rows = json.loads((episode / "states.json").read_text())
    rows[0]["angles"] = [-90.0] * 6
    (episode / "states.json").write_text(json.dumps(rows))
    convert_episodes(tmp_path / "in", tmp_path / "out")
    assert columns(load_dataset_folder(tmp_path / "out")[0])["state"][0, :6].tolist() == [-90.0] * 6
    assert datasets.load_dataset(str(tmp_path / "out"), split="train")[0]["state"][:6] == [-90.0] * 6


def rewrite(folder, change):
    (file,) = folder.glob("data/*.parquet")
    pq.write_table(change(pq.read_table(file)), file)


def without_bytes(table):
    images = pa.array([{"bytes": None, "path": "/etc/hostname"}] * table.num_rows, table.schema.field("image").type)
    return table.set_column(0, table.schema.field("image"), images)


def damage_footer(file):
    data = bytearray(file.read_bytes())
    size = int.from_bytes(data[-8:-4], "little")
    data[-8 - size : -8] = b"\xff" * size
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "data"), "has no data/"),
        (lambda folder: (folder / "meta.json").unlink(), "holds no episodes|meta.json"),
        (lambda folder: next(folder.glob("data/*")).write_bytes(b"PAR1"), "cannot be read"),
        (lambda folder: damage_footer(next(folder.glob("data/*"))), "cannot be read"),
        (lambda folder: rewrite(folder, lambda table: table.slice(0, 5)), "has 5 rows"),
        (lambda folder: rewrite(folder, lambda table: table.drop_columns(["action"])), "action"),
        (lambda folder: rewrite(folder, without_bytes), "without an embedded image"),
    ],
)
def test_damaged_datasets_are_refused(converted, damage, message):
    damage(converted)
    with pytest.raises(UserError, match=message):
        load_dataset_folder(converted)


def test_what_is_neither_folder_nor_repository(tmp_path):
    assert is_hub_id("me/cubes")
    assert not is_hub_id(tmp_path)
    assert not is_hub_id("a/b/c")
    with pytest.raises(UserError, match="no folder, nor a dataset"):
        load_dataset_folder(tmp_path / "absent")
    with pytest.raises(UserError, match="no folder me/absent, and no such dataset on the Hub"):
        load_dataset_folder("me/absent")
    with pytest.raises(UserError, match="holds no episodes"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    "name", ["v2 [test]", "run[1]", "a{b}c", "star*name", "why?", "two::colons", "$HOME", "p%20#x"]
)
def test_nothing_in_a_path_is_a_pattern(tmp_path, record_episode, name):
    record_episode(tmp_path / name / "in [1]")
    dataset, meta = open_data(tmp_path / name / "in [1]", cache_dir=tmp_path / "cache", report=lambda text: None)
    assert len(dataset) == meta.num_frames == 8
    convert_episodes(tmp_path / name / "in [1]", tmp_path / name / "out")
    for streaming in (False, True):
        options = {"streaming": streaming, "cache_dir": tmp_path / "cache"}
        dataset, _ = load_dataset_folder(tmp_path / name / "out", **options)
        assert len([row["image"] for row in dataset]) == 8


def save_to_disk(folder):
    datasets.Dataset.from_dict({"state": [[1.0] * 7]}).save_to_disk(folder)


def save_splits_to_disk(folder):
    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"state": [[1.0] * 7]})}).save_to_disk(folder)


def write_file(name, text="{}"):
    def write(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return write


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (write_file("meta/info.json"), "a LeRobot dataset.*from-lerobot --data_dir"),
        (save_to_disk, "rows saved by `datasets`.*DatasetWriter"),
        (save_splits_to_disk, "splits saved by `datasets`.*DatasetWriter"),
        (write_file("random_states_0.pkl"), "a training's checkpoint.*--resume_from_checkpoint"),
        (write_file("train_config.yaml"), "the output of a training.*data_dir.*no policy yet"),
        (write_file("model_index.json"), "a policy.*infer --pipeline"),
        (write_file("drive_0.mcap"), "a ROS 2 bag.*from-rosbag"),
        (write_file("meta.json", '{"robot": "so101"}'), "meta.json is another program's.*move it away"),
    ],
)
def test_a_folder_of_another_kind_is_named_with_what_reads_it(tmp_path, make, message):
    make(tmp_path / "in")
    with pytest.raises(UserError, match=message):
        open_data(tmp_path / "in")
    if "meta.json is" not in message:
        with pytest.raises(UserError, match=message):
            load_dataset_folder(tmp_path / "in")
        with pytest.raises(UserError, match=message):
            convert_episodes(tmp_path / "in", tmp_path / "out")


def test_episodes_may_lie_beside_the_files_of_other_kinds(tmp_path, record_episode):
    record_episode(tmp_path / "in", "episode1")
    (tmp_path / "in" / "drive_0.mcap").write_text("")
    assert open_data(tmp_path / "in")[1].num_frames == 8


def test_rows_that_lfs_has_not_fetched_are_named(converted):
    next(converted.glob("data/*")).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UserError, match="git lfs pull"):
        open_data(converted)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_cache_that_cannot_be_is_named(place, record_episode, tmp_path, monkeypatch):
    record_episode(tmp_path / "in", "episode1")
    (tmp_path / "file").touch()
    monkeypatch.setenv("DP_HF_CACHE", str(tmp_path / place))
    with pytest.raises(
        UserError, match=f"{place}/datasets/.* cannot be in the cache .*: give another --cache_dir, or DP_HF_CACHE"
    ):
        open_data(tmp_path / "in")
    convert_episodes(tmp_path / "in", tmp_path / "out")
