"""LeRobot datasets, without LeRobot: its layout is written out here. See test_lerobot_itself.py for the library."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lerobot_set import CAMERA, edit_info, name_numbers, picture, write_lerobot
from PIL import Image

from dp_hf.arms.mycobot_280 import QUANTITIES
from dp_hf.arms.quantities import UNITS, Quantities
from dp_hf.cli.main import main
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError
from dp_hf.interop.lerobot import exporting
from dp_hf.interop.lerobot.exporting import export_lerobot
from dp_hf.interop.lerobot.importing import import_lerobot
from dp_hf.interop.lerobot.layout import EPISODE_NAME, LeRobotInfo


def edit_rows(root, change):
    file = root / "data" / "chunk-000" / "file-000.parquet"
    rows = pq.read_table(file).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows), file)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("kind", "width"), [("image", 6), ("video", 7), ("image", 1)])
def test_reads_every_layout(tmp_path, version, kind, width):
    states = write_lerobot(tmp_path / "in", version, width, kind)
    report = import_lerobot(tmp_path / "in", tmp_path / "out")
    dataset, meta = load_dataset_folder(tmp_path / "out")
    assert np.array_equal(np.array(dataset["state"], np.float32), states)
    assert np.array_equal(np.array(dataset["action"], np.float32), states)
    assert dataset["episode_index"][:] == [0] * 6 + [1] * 8
    assert (meta.fps, meta.action_source, report.tasks) == (10, "recorded", ["stack"])
    assert meta.state_names == [f"joint_{i}.pos" for i in range(width)]
    for row in dataset:
        difference = np.asarray(row["image"]).astype(int) - picture(row["episode_index"], row["frame_index"])
        assert np.abs(difference).max() <= (0 if kind == "image" else 8)
    assert report.problems == []


def test_training_on_another_arm_cannot_be_tried_in_the_simulator(tmp_path, capsys):
    write_lerobot(tmp_path / "in", width=6)
    import_lerobot(tmp_path / "in", tmp_path / "set")
    flags = ["--image_encoder", "small_cnn", "--pretrained_backbone", "none", "--image_size", "32", "--cache", "none"]
    arguments = ["train", "--data_dir", str(tmp_path / "set"), "--output_dir", str(tmp_path / "out"), *flags]
    assert main([*arguments, "--rollout_interval", "1"]) == 2
    error = capsys.readouterr().err
    assert "--rollout_interval: the policy is not for the task cube_stacking: its action has 6 numbers" in error
    assert not (tmp_path / "out").exists()


def test_what_is_known_of_episodes_is_written_in_groups(tmp_path, record_episode, monkeypatch):
    for number in range(5):
        record_episode(tmp_path / "in", f"episode_{number}")
    convert_episodes(tmp_path / "in", tmp_path / "ours")
    dataset, meta = load_dataset_folder(tmp_path / "ours")
    for size in (2, 5, 1000):
        monkeypatch.setattr(exporting, "EPISODES_IN_GROUP", size)
        export_lerobot(dataset, meta, tmp_path / f"{size}")
    file = "meta/episodes/chunk-000/file-000.parquet"
    assert pq.ParquetFile(tmp_path / "2" / file).num_row_groups == 3
    assert pq.read_table(tmp_path / "2" / file).equals(pq.read_table(tmp_path / "1000" / file))
    assert (tmp_path / "5" / file).read_bytes() == (tmp_path / "1000" / file).read_bytes()
    for name in ("meta/stats.json", "meta/info.json", "data/chunk-000/file-000.parquet"):
        assert (tmp_path / "2" / name).read_bytes() == (tmp_path / "1000" / name).read_bytes()


@pytest.mark.parametrize("videos", [False, True])
def test_there_and_back(tmp_path, record_episode, videos):
    for name in ("episode1", "episode2"):
        record_episode(tmp_path / "in", name)
    convert_episodes(tmp_path / "in", tmp_path / "ours")
    dataset, meta = load_dataset_folder(tmp_path / "ours")
    export_lerobot(dataset, meta, tmp_path / "lerobot", task="stack", videos=videos)
    report = import_lerobot(tmp_path / "lerobot", tmp_path / "back")
    back, meta_back = load_dataset_folder(tmp_path / "back")
    assert report.tasks == ["stack"]
    for column in ("state", "action", "episode_index", "frame_index", "timestamp"):
        assert back[column][:] == dataset[column][:]
    if not videos:
        assert [np.asarray(image).tolist() for image in back["image"]] == [
            np.asarray(image).tolist() for image in dataset["image"]
        ]
    assert meta_back.statistics == meta.statistics
    assert (meta_back.fps, meta_back.state_names, meta_back.camera_names) == (meta.fps, meta.state_names, ["image"])
    assert (meta_back.state, meta_back.action) == (QUANTITIES, QUANTITIES)


@pytest.mark.parametrize(
    ("exported", "names"),
    [
        (None, ["episode1.part1", "episode1.part2", "episode2"]),
        (["../out", "a", "b"], ["episode_000000", "episode_000001", "episode_000002"]),
        (["a", "a", "b"], ["episode_000000", "episode_000001", "episode_000002"]),
        ([1, 2, 3], ["episode_000000", "episode_000001", "episode_000002"]),
    ],
)
def test_parts_of_one_recording_stay_its_parts(tmp_path, record_episode, exported, names):
    for name in ("episode1", "episode2"):
        record_episode(tmp_path / "in", name, num_frames=16, fps=10)
    for number in range(6, 10):
        (tmp_path / f"in/episode1/frame_dir/image_{number:05d}.png").unlink()
    convert_episodes(tmp_path / "in", tmp_path / "ours")
    export_lerobot(*load_dataset_folder(tmp_path / "ours"), tmp_path / "lerobot")
    if exported:
        (file,) = (tmp_path / "lerobot/meta/episodes").rglob("*.parquet")
        table = pq.read_table(file)
        position = table.schema.names.index("dp_hf/name")
        pq.write_table(table.set_column(position, "dp_hf/name", pa.array(exported)), file)
    assert import_lerobot(tmp_path / "lerobot", tmp_path / "back").meta.episodes == names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["pan", "lift", "grip"], ["pan", "lift", "grip"]),
        ([["pan", "lift", "grip"]], ["pan", "lift", "grip"]),
        ({"motors": ["pan", "lift", "grip"]}, ["pan", "lift", "grip"]),
        ({"motors": [["pan", "lift", "grip"]]}, ["pan", "lift", "grip"]),
        ({"left": ["pan"], "right": ["pan", "lift"]}, ["left.pan", "right.pan", "right.lift"]),
        ({"pan": 0, "grip": 2, "lift": 1}, ["pan", "lift", "grip"]),
        ({"pan": None, "lift": None, "grip": None}, ["pan", "lift", "grip"]),
        (["pan", "gripper", "gripper"], ["pan", "gripper[1]", "gripper[2]"]),
        (None, ["[0]", "[1]", "[2]"]),
        ([1, 2, 3], ["[0]", "[1]", "[2]"]),
        ([], ["[0]", "[1]", "[2]"]),
    ],
)
def test_names_are_found_wherever_they_stand(tmp_path, names, expected):
    write_lerobot(tmp_path / "in", width=3)
    name_numbers(tmp_path / "in", names)
    report = import_lerobot(tmp_path / "in", tmp_path / "out")
    assert report.meta.state_names == report.meta.action_names == expected
    assert report.meta.state_units == report.meta.action_units == ["unknown"] * 3
    assert "state them with --units" in str(report)
    assert report.problems == []


def test_names_of_another_number_are_told(tmp_path):
    write_lerobot(tmp_path / "in", width=3)
    name_numbers(tmp_path / "in", ["pan", "lift"])
    report = import_lerobot(tmp_path / "in", tmp_path / "out")
    assert report.meta.state == Quantities.unnamed(3)
    assert "2 names for the 3 numbers of observation.state" in report.problems[0]


def test_names_that_do_not_print_are_refused(tmp_path):
    write_lerobot(tmp_path / "in", width=3)
    name_numbers(tmp_path / "in", ["pan", "lift", "\x1b[2J"])
    with pytest.raises(UserError, match=r"info\.json: observation\.state: .* is no name"):
        import_lerobot(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("units", "state", "action"),
    [
        (["radians"], ["radians"] * 3, ["radians"] * 3),
        (["degrees", "metres", "0..100"], ["degrees", "metres", "0..100"], ["degrees", "metres", "0..100"]),
        (["none"] * 3 + ["metres"] * 3, ["none"] * 3, ["metres"] * 3),
    ],
)
def test_units_are_stated_at_the_import_and_kept(tmp_path, units, state, action):
    write_lerobot(tmp_path / "in", width=3)
    report = import_lerobot(tmp_path / "in", tmp_path / "out", units=units)
    assert (report.meta.state_units, report.meta.action_units) == (state, action)
    assert "--units" not in str(report)
    export_lerobot(*load_dataset_folder(tmp_path / "out"), tmp_path / "lerobot")
    again = import_lerobot(tmp_path / "lerobot", tmp_path / "again")
    assert (again.meta.state, again.meta.action) == (report.meta.state, report.meta.action)


@pytest.mark.parametrize("units", [["radians"] * 2, ["furlongs"], ["radians"] * 7])
def test_units_that_do_not_fit_are_refused(tmp_path, units):
    write_lerobot(tmp_path / "in", width=3)
    with pytest.raises(UserError, match="do not fit"):
        import_lerobot(tmp_path / "in", tmp_path / "out", units=units)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_other_peoples_words_for_units_are_passed_over(tmp_path):
    write_lerobot(tmp_path / "in", width=3)
    name_numbers(tmp_path / "in", ["pan", "lift", "grip"], units="rad")
    assert import_lerobot(tmp_path / "in", tmp_path / "out").meta.state_units == ["unknown"] * 3


def test_writes_the_columns_that_others_write(tmp_path, record_episode, real_data):
    record_episode(tmp_path / "in", "episode1")
    convert_episodes(tmp_path / "in", tmp_path / "ours")
    export_lerobot(*load_dataset_folder(tmp_path / "ours"), tmp_path / "lerobot", videos=True)
    real, written = real_data / "lerobot_v3_so101", tmp_path / "lerobot"

    def columns(root, file):
        """Names and types, with any camera's name the same."""
        schema = pq.read_schema(root / file)
        return {
            (name.replace("images.front", "images.image"), str(schema.field(name).type))
            for name in schema.names
            if "images.top" not in name
        }

    for file, own in (
        ("data/chunk-000/file-000.parquet", set()),
        ("meta/episodes/chunk-000/file-000.parquet", {EPISODE_NAME}),
    ):
        assert {name for name, _ in columns(written, file)} == {name for name, _ in columns(real, file)} | own
    assert columns(written, "data/chunk-000/file-000.parquet") == {
        (name, kind.replace("[6]", "[7]")) for name, kind in columns(real, "data/chunk-000/file-000.parquet")
    }
    infos = [json.loads((root / "meta" / "info.json").read_text()) for root in (written, real)]
    assert set(infos[0]) == set(infos[1])
    assert infos[0]["data_path"] == infos[1]["data_path"]
    assert infos[0]["video_path"] == infos[1]["video_path"]
    videos = [next(f for f in info["features"].values() if f["dtype"] == "video") for info in infos]
    assert set(videos[0]["info"]) == set(videos[1]["info"])
    stats = [json.loads((root / "meta" / "stats.json").read_text()) for root in (written, real)]
    assert set(stats[0]["action"]) == set(stats[1]["action"])
    assert np.shape(stats[0]["observation.images.image"]["mean"]) == np.shape(
        stats[1]["observation.images.front"]["mean"]
    )
    tasks = [pd.read_parquet(root / "meta" / "tasks.parquet") for root in (written, real)]
    assert tasks[0].dtypes.to_dict() == tasks[1].dtypes.to_dict()


def test_lists_what_is_absent_from_a_real_dataset(tmp_path, real_data):
    with pytest.raises(UserError) as error:
        import_lerobot(real_data / "lerobot_v3_so101", tmp_path / "out")
    for camera in ("front", "top"):
        path = f"videos/observation.images.{camera}/chunk-000/file-000.mp4"
        assert f"observation.images.{camera}: 1 of 1 declared video files are absent, such as {path}" in str(
            error.value
        )
    assert list(tmp_path.iterdir()) == []


def test_lists_counts_that_disagree(tmp_path):
    write_lerobot(tmp_path / "in")
    edit_info(tmp_path / "in", total_episodes=0, total_frames=99)
    shutil.rmtree(tmp_path / "in" / "meta" / "episodes")
    report = import_lerobot(tmp_path / "in", tmp_path / "out")
    assert report.problems == [
        "the list of episodes in meta is empty",
        "info.json says total_episodes 0, the data files hold 2",
        "info.json says total_frames 99, the data files hold 14",
    ]
    assert report.meta.num_frames == 14


def spoil_state(rows):
    rows[2]["observation.state"] = [float("nan")] * 6


def spoil_image(rows):
    rows[3][CAMERA] = {"bytes": b"no image", "path": None}


def lose_row(rows):
    del rows[4]


def stop_clock(rows):
    rows[1]["timestamp"] = 0.0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (spoil_state, "state of frame 2 is not finite"),
        (spoil_image, "image of observation.images.front at frame 3 does not decode"),
        (lose_row, "frame_index is 5 at row 4"),
        (stop_clock, "timestamps do not increase"),
    ],
)
def test_leaves_out_a_bad_episode_and_says_why(tmp_path, change, problem):
    write_lerobot(tmp_path / "in")
    edit_rows(tmp_path / "in", change)
    report = import_lerobot(tmp_path / "in", tmp_path / "out")
    assert report.meta.episodes == ["episode_000001"]
    assert [name for name, _ in report.left_out] == ["episode_000000"]
    assert problem in str(report)
    with pytest.raises(UserError, match="without --strict"):
        import_lerobot(tmp_path / "in", tmp_path / "strict", strict=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def add_depth(rows):
    file = io.BytesIO()
    Image.fromarray((300 + np.arange(24 * 42).reshape(24, 42)).astype(np.uint16)).save(file, "PNG")
    for row in rows:
        row["observation.images.depth"] = {"bytes": file.getvalue(), "path": None}


def test_a_depth_camera_is_left_out_and_said(tmp_path):
    write_lerobot(tmp_path / "in")
    edit_rows(tmp_path / "in", add_depth)
    features = json.loads((tmp_path / "in/meta/info.json").read_text())["features"]
    edit_info(tmp_path / "in", features=features | {"observation.images.depth": features[CAMERA]})
    report = import_lerobot(tmp_path / "in", tmp_path / "out")
    assert report.meta.num_frames == 14
    assert len(report.meta.camera_names) == 1
    (problem,) = report.problems
    assert problem.startswith("observation.images.depth: ")
    assert " of 300 to 1307: depth and other measurements" in problem
    with pytest.raises(UserError, match=" of 300 to 1307: depth and other measurements"):
        import_lerobot(tmp_path / "in", tmp_path / "depth", cameras=["depth"])


def re_cut_rows(rows):
    for number, row in enumerate(rows):
        row["observation.state"] = [0.0] * (5 if number % 2 else 7)


def rename_action(rows):
    for row in rows:
        row["actions"] = row.pop("action")


def rename_state(rows):
    for row in rows:
        row["state"] = row.pop("observation.state")


def slow_down(rows):
    for row in rows:
        row["timestamp"] *= 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (re_cut_rows, r"observation.state of row 1 has 5 numbers, and 7 in row 0"),
        (rename_action, "no column action, but actions"),
        (rename_state, "no column observation.state; it has .*, state: name it with --state_column"),
        (slow_down, r"fps is 10, and .* 0.3 s apart, 3.333 a second"),
    ],
)
def test_refuses_rows_that_mean_something_else(tmp_path, change, message):
    write_lerobot(tmp_path / "in")
    edit_rows(tmp_path / "in", change)
    with pytest.raises(UserError, match=message):
        import_lerobot(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_number_beyond_float32_costs_its_episode(tmp_path):
    def overflow(rows):
        rows[2]["observation.state"] = [1e300] * 6

    write_lerobot(tmp_path / "in")
    edit_rows(tmp_path / "in", overflow)
    report = import_lerobot(tmp_path / "in", tmp_path / "out")
    assert report.left_out == [("episode_000000", "state of frame 2 is not finite")]


@pytest.mark.parametrize(
    ("starts", "good", "problem"),
    [
        ([float("nan"), 0.6], ["episode_000001"], "from nan s on"),
        ([0.0, -1.0], ["episode_000000"], "from -1.0 s on"),
        ([0.0, 0.0, 1.4], ["episode_000002"], "episode_000000 from 0 to 0.5 s, and episode_000001 from 0 s on"),
        ([0.0, 0.55, 1.4], None, None),
    ],
)
def test_an_episode_whose_place_in_a_video_cannot_be_is_left_out(tmp_path, starts, good, problem):
    write_lerobot(tmp_path / "in", kind="video", lengths=(6, 8, 5)[: len(starts)])
    file = tmp_path / "in" / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    records = pq.read_table(file).to_pylist()
    for record, start in zip(records, starts, strict=True):
        record[f"videos/{CAMERA}/from_timestamp"] = start
    pq.write_table(pa.Table.from_pylist(records), file)
    report = import_lerobot(tmp_path / "in", tmp_path / "out")
    assert report.meta.episodes == (good or [f"episode_{index:06d}" for index in range(3)])
    assert all(problem in why for _, why in report.left_out)


@pytest.mark.parametrize("pattern", ["meta/info.json", "meta/episodes/*/*.parquet", "data/*/*.parquet", "videos/*/*/*"])
def test_pointers_of_lfs_are_named(tmp_path, pattern):
    write_lerobot(tmp_path / "in", kind="video")
    for file in (tmp_path / "in").glob(pattern):
        file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 82515\n")
    with pytest.raises(UserError, match="git lfs pull"):
        import_lerobot(tmp_path / "in", tmp_path / "out")


def test_a_video_that_ends_too_early_costs_its_episode(tmp_path):
    write_lerobot(tmp_path / "in", version=2, kind="video")
    videos = tmp_path / "in" / "videos" / "chunk-000" / CAMERA
    shutil.copy(videos / "episode_000000.mp4", videos / "episode_000001.mp4")
    report = import_lerobot(tmp_path / "in", tmp_path / "out")
    assert report.meta.episodes == ["episode_000000"]
    assert "ends before 0.600 s" in report.left_out[0][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebase_version": "v1.6"}, "v2.0, v2.1 and v3.0 are read"),
        ({"fps": 0}, "fps is 0"),
        ({"features": {"action": 7}}, "not a dtype and a shape"),
        ({"features": {}}, "declares no camera"),
        ({"video_path": "../../{video_key}.mp4"}, "leaves the dataset's folder"),
        ({"video_path": "/etc/{video_key}"}, "leaves the dataset's folder"),
        ({"video_path": "{video_key.__class__}.mp4"}, "leaves the dataset's folder"),
        ({"data_path": "../{chunk_index}.parquet"}, "leaves the dataset's folder"),
        ({"features": {"../../front": {"dtype": "video"}}}, "leaves the dataset's folder"),
        ({"video_path": "{home}.mp4"}, "field 'home'"),
    ],
)
def test_refuses_what_info_must_not_say(tmp_path, changes, message):
    write_lerobot(tmp_path / "in", kind="video")
    edit_info(tmp_path / "in", **changes)
    with pytest.raises(UserError, match=message):
        import_lerobot(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@given(JSON)
def test_whatever_stands_for_names_is_names_or_none(value):
    info = LeRobotInfo(Path("/data/set"), (3, 0), 10.0, {"action": {"names": value, "units": value}}, "")
    names, units = info.names("action"), info.units("action")
    assert names is None or (names and all(isinstance(name, str) for name in names))
    assert units is None or set(units) <= set(UNITS)


@given(st.lists(st.sampled_from(["..", "/", "{video_key}", "{file_index:03d}", "{", "}", "a", "~", "\0"])).map("".join))
def test_no_template_leads_out_of_the_folder(template):
    info = LeRobotInfo(Path("/data/set"), (3, 0), 10.0, {}, template)
    try:
        path = info.path(template, video_key="../front", file_index=1)
    except UserError:
        return
    assert path.resolve().is_relative_to("/data/set")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("meta/info.json", None, "has no meta/info.json"),
        ("meta/info.json", b"{", "not JSON, or cut"),
        ("data/chunk-000/file-000.parquet", None, "has no data"),
        ("data/chunk-000/file-000.parquet", b"PAR1", "file-000.parquet cannot be read"),
    ],
)
def test_says_which_file_is_broken(tmp_path, file, content, message):
    write_lerobot(tmp_path / "in")
    (tmp_path / "in" / file).unlink()
    if content is not None:
        (tmp_path / "in" / file).write_bytes(content)
    with pytest.raises(UserError, match=message):
        import_lerobot(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_dataset_of_the_hubs_cache_has_links_to_its_blobs(tmp_path):
    snapshot, blobs = tmp_path / "snapshots" / "0123", tmp_path / "blobs"
    blobs.mkdir()
    write_lerobot(snapshot, kind="video")
    for number, file in enumerate([path for path in snapshot.rglob("*") if path.is_file()]):
        file.rename(blobs / str(number))
        file.symlink_to(blobs / str(number))
    assert import_lerobot(snapshot, tmp_path / "out").problems == []


def test_a_camera_does_not_write_outside_the_export(tmp_path, record_episode):
    """The name is checked where it is read, and the path where it is built."""
    record_episode(tmp_path / "in", "episode1")
    convert_episodes(tmp_path / "in", tmp_path / "ours")
    dataset, meta = load_dataset_folder(tmp_path / "ours")
    evil = "../../../../pwned"
    with pytest.raises(UserError, match="leaves the folder"):
        export_lerobot(
            dataset.rename_column("image", evil), replace(meta, camera_names=[evil]), tmp_path / "out", videos=True
        )
    (tmp_path / "ours" / "meta.json").write_text(
        (tmp_path / "ours" / "meta.json").read_text().replace('"image"', f'"{evil}"')
    )
    arguments = ["--data_dir", str(tmp_path / "ours"), "--output_dir", str(tmp_path / "out"), "--to", "lerobot"]
    assert main(["convert-episodes", *arguments, "--videos"]) == 2
    assert not any((folder / "pwned").exists() for folder in (tmp_path, *tmp_path.parents[:3]))
    assert sorted(path.name for path in tmp_path.iterdir() if "cache" not in path.name) == ["in", "ours"]


@pytest.mark.parametrize("videos", [False, True])
def test_long_episodes_are_written_in_groups_of_a_hundred_rows(tmp_path, record_episode, videos):
    record_episode(tmp_path / "in", "episode1", num_frames=250)
    convert_episodes(tmp_path / "in", tmp_path / "ours")
    dataset, meta = load_dataset_folder(tmp_path / "ours")
    export_lerobot(dataset, meta, tmp_path / "lerobot", videos=videos)
    file = pq.ParquetFile(tmp_path / "lerobot" / "data" / "chunk-000" / "file-000.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [100, 100, 50]
    report = import_lerobot(tmp_path / "lerobot", tmp_path / "back")
    back, _ = load_dataset_folder(tmp_path / "back")
    assert report.problems == []
    assert np.array_equal(back["state"][:], dataset["state"][:])
    if not videos:
        undecoded = [rows.cast_column("image", datasets.Image(decode=False)) for rows in (dataset, back)]
        assert len({tuple(row["image"]["bytes"] for row in rows) for rows in undecoded}) == 1


def spoil_number(row):
    return row | {"action": [float("inf"), *row["action"][1:]]} if row["frame_index"] == 5 else row


def alternate_episodes(row):
    return row | {"episode_index": row["frame_index"] % 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [(spoil_number, r"action of row 5 \(episode 0\) is not finite"), (alternate_episodes, "not next to each other")],
)
def test_rows_that_are_no_episodes_are_not_exported(tmp_path, record_episode, change, message):
    record_episode(tmp_path / "in", "episode1")
    convert_episodes(tmp_path / "in", tmp_path / "ours")
    dataset, meta = load_dataset_folder(tmp_path / "ours")
    with pytest.raises(UserError, match=message):
        export_lerobot(dataset.map(change), meta, tmp_path / "lerobot")
    assert not (tmp_path / "lerobot").exists()


def test_refuses_images_of_two_sizes(tmp_path, record_episode):
    record_episode(tmp_path / "in", "episode1")
    with EpisodeWriter(tmp_path / "in", "episode2") as writer:
        for _ in range(5):
            writer.add_frame(np.zeros((10, 20, 3), np.uint8), np.full(7, 50.0))
    convert_episodes(tmp_path / "in", tmp_path / "ours")
    with pytest.raises(UserError, match="42x24 and 20x10"):
        export_lerobot(*load_dataset_folder(tmp_path / "ours"), tmp_path / "lerobot", videos=True)
    assert list(tmp_path.glob("*lerobot*")) == []


def test_columns_of_other_names_are_named_by_options(tmp_path):
    def rename(rows):
        rename_action(rows)
        rename_state(rows)

    states = write_lerobot(tmp_path / "in")
    edit_rows(tmp_path / "in", rename)
    features = json.loads((tmp_path / "in/meta/info.json").read_text())["features"]
    features |= {"state": features.pop("observation.state"), "actions": features.pop("action")}
    edit_info(tmp_path / "in", features=features)
    options = [
        "convert-episodes",
        "from-lerobot",
        "--data_dir",
        str(tmp_path / "in"),
        "--output_dir",
        str(tmp_path / "out"),
    ]
    assert main([*options, "--state_column", "state", "--action_column", "actions"]) == 0
    dataset, meta = load_dataset_folder(tmp_path / "out")
    assert (meta.action_source, meta.state.names[0]) == ("recorded", "joint_0.pos")
    np.testing.assert_array_equal(np.array(dataset["state"][:], np.float32), states)
    np.testing.assert_array_equal(np.array(dataset["action"][:], np.float32), states)


@pytest.mark.parametrize(
    ("state", "action", "message"),
    [
        ("observation.state", "actions", "has no column actions, but .*--action_column"),
        ("action", "action", "cannot be the state and the action"),
        (CAMERA, "action", "holds .*, not numbers"),
    ],
)
def test_columns_that_are_none_are_refused(tmp_path, state, action, message):
    write_lerobot(tmp_path / "in")
    with pytest.raises(UserError, match=message):
        import_lerobot(tmp_path / "in", tmp_path / "out", state_column=state, action_column=action)


@pytest.mark.parametrize(
    ("splits", "wanted", "episodes", "said"),
    [
        ({"train": "0:4"}, None, [0, 1, 2, 3], ""),
        ({"train": "0:3", "test": "3:4"}, None, [0, 1, 2], "train; left out are episodes 3: "),
        ({"train": "0:3", "test": "3:4"}, ["test"], [3], "test; left out are episodes 0, 1, 2: "),
        ({"train": "0:3", "test": "3:4"}, ["train", "test"], [0, 1, 2, 3], ""),
        ({"train": "0:3", "test": "2:4"}, ["all"], [0, 1, 2, 3], "all together: train, test"),
        ({"train": "0:2", "test": "3:4"}, None, [0, 1, 2], "episodes 2 in none of its splits"),
        ({"train": "0:2", "test": "3:4"}, ["train"], [0, 1], "train; left out are episodes 2, 3"),
    ],
)
def test_splits_are_kept_apart_and_said(tmp_path, splits, wanted, episodes, said):
    write_lerobot(tmp_path / "in", lengths=(5, 6, 7, 8))
    edit_info(tmp_path / "in", splits=splits)
    report = import_lerobot(tmp_path / "in", tmp_path / "out", splits=wanted)
    assert report.meta.episodes == [f"episode_{index:06d}" for index in episodes]
    assert said in str(report)


@pytest.mark.parametrize(
    ("splits", "wanted", "message"),
    [
        ({"train": "0:3", "test": "2:4"}, None, "episode 2 is in train and in another split"),
        ({"a": "0:1", "b": "1:4"}, None, "choose with --splits"),
        ({"train": "0:3", "test": "3:4"}, ["validation"], "no split 'validation'; it has train, test"),
        ({"train": "0:3", "test": "70:90"}, ["test"], "no episode of test"),
        ({"train": "first ten"}, None, "'train' is 'first ten', not episodes"),
        ({"train": 3}, None, "not episodes"),
        (["0:3"], None, "splits is"),
        (None, ["train"], "it has none"),
    ],
)
def test_splits_that_are_not_clear_are_refused(tmp_path, splits, wanted, message):
    write_lerobot(tmp_path / "in", lengths=(5, 6, 7, 8))
    edit_info(tmp_path / "in", splits=splits)
    with pytest.raises(UserError, match=message):
        import_lerobot(tmp_path / "in", tmp_path / "out", splits=wanted)


def wrap_first_joint(rows):
    for number, row in enumerate(rows):
        angle = (170 + 4 * number + 180) % 360 - 180
        row["observation.state"] = row["action"] = [angle, 0.1 * number, 5.0, 6.0, 7.0, 8.0]


def test_a_set_is_checked_for_motion_and_unit_and_unwrapped_where_asked(tmp_path):
    write_lerobot(tmp_path / "in", lengths=(10,))
    edit_rows(tmp_path / "in", wrap_first_joint)
    report = import_lerobot(tmp_path / "in", tmp_path / "unknown")
    assert "warning: episode_000000: frame 3: joint_0.pos wraps from 178.0 to -178.0 degrees" in str(report)
    report = import_lerobot(tmp_path / "in", tmp_path / "radians", units=["radians"])
    assert "joint_0.pos, joint_4.pos, joint_5.pos are said to be in radians, and reach 178.0" in str(report)
    with pytest.raises(UserError, match=r"said to be in radians.*without --strict"):
        import_lerobot(tmp_path / "in", tmp_path / "strict", strict=True, units=["radians"])
    with pytest.raises(UserError, match=r"wraps from .*without --strict"):
        import_lerobot(tmp_path / "in", tmp_path / "strict", strict=True)
    with pytest.raises(UserError, match="state the units first"):
        import_lerobot(tmp_path / "in", tmp_path / "out", unwrap_angles=True)
    report = import_lerobot(tmp_path / "in", tmp_path / "out", units=["degrees"], unwrap_angles=True, strict=True)
    assert report.meta.warnings == []
    dataset, _ = load_dataset_folder(tmp_path / "out")
    for column in ("state", "action"):
        np.testing.assert_array_equal(np.array(dataset[column][:])[:, 0], 170 + 4 * np.arange(10))


@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_camera_that_stalls_is_named(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("lerobot_set.picture", lambda episode, frame, *size: picture(episode, min(frame, 2), *size))
    write_lerobot(tmp_path / "in", kind=kind, lengths=(10,), fps=5)
    (warning,) = import_lerobot(tmp_path / "in", tmp_path / "out").meta.warnings
    assert "episode_000000: frame 2: camera image shows one picture for 1.4 s" in warning
