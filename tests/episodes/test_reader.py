import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dp_hf.episodes.checks import check_episodes
from dp_hf.episodes.find import find_episodes
from dp_hf.episodes.problems import KINDS
from dp_hf.episodes.reader import load_images, read_episode
from dp_hf.errors import UserError

ANGLES = [1.0, -95.0, 0.5, 24.0, -0.5, -37.0]


def write_episode(folder, rows, states_file="states.json"):
    """Writes an episode with an image for every name that does not leave the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    (folder / states_file).write_bytes(content)
    return folder


def frames(count=6, **changes):
    return [
        {"angles": ANGLES, "gripper_value": [i], "image": f"frame_dir/image_{i:05d}.png", **changes}
        for i in range(count)
    ]


@pytest.fixture
def folder(tmp_path):
    """An episode's folder with six images of its own and one image outside."""
    folder = tmp_path / "episode1"
    (folder / "frame_dir").mkdir(parents=True)
    for i in range(6):
        Image.new("RGB", (8, 6), (i, 0, 0)).save(folder / f"frame_dir/image_{i:05d}.png")
    Image.new("RGB", (8, 6)).save(tmp_path / "outside.png")
    return folder


def kinds(episode):
    return [(problem.kind, problem.frame) for problem in episode.problems]


def test_the_documented_layout(folder):
    write_episode(folder, frames(timestamp=None))
    episode = read_episode(folder)
    assert episode.problems == []
    assert episode.name == "episode1"
    assert np.array_equal(episode.states[3], [*ANGLES, 3])
    assert episode.frames[3].images == {"image": folder / "frame_dir/image_00003.png"}
    assert episode.actions is None
    assert episode.timestamps is None


def test_state_json_scalar_gripper_byte_order_mark_and_extra_keys(folder):
    rows = [{**row, "gripper_value": row["gripper_value"][0], "note": "x"} for row in frames()]
    write_episode(folder, b"\xef\xbb\xbf" + json.dumps(rows).encode(), "state.json")
    episode = read_episode(folder)
    assert episode.problems == []
    assert episode.states[:, 6].tolist() == [0, 1, 2, 3, 4, 5]


def test_the_order_is_that_of_the_json_and_not_of_the_names(tmp_path):
    names = [f"frame_dir/image{i}.png" for i in range(1, 13)]
    folder = tmp_path / "episode95"
    (folder / "frame_dir").mkdir(parents=True)
    for name in names:
        Image.new("RGB", (8, 6)).save(folder / name)
    write_episode(folder, [{"angles": ANGLES, "gripper_value": 5, "image": name} for name in names])
    assert [frame.images["image"].name for frame in read_episode(folder).frames] == [Path(n).name for n in names]


def test_several_cameras(folder):
    rows = [
        {**row, "images": {"head": row.pop("image"), "wrist": f"frame_dir/image_0000{5 - i}.png"}}
        for i, row in enumerate(frames())
    ]
    write_episode(folder, rows)
    episode = read_episode(folder)
    assert episode.problems == []
    assert episode.camera_names == ("head", "wrist")
    assert read_episode(folder, cameras=["wrist"]).frames[0].images == {"wrist": folder / "frame_dir/image_00005.png"}
    assert kinds(read_episode(folder, cameras=["left"]))[0] == ("missing image", 0)


def test_timestamps_count_from_the_first_frame(folder):
    write_episode(folder, [{**row, "timestamp": 1.7e9 + i / 10} for i, row in enumerate(frames())])
    assert np.allclose(read_episode(folder).timestamps, np.arange(6) / 10)


@pytest.mark.parametrize("timestamps", [[0, 1, 2, 2, 3, 4], [0, 1, None, 3, 4, 5], [0, 1, "2", 3, 4, 5], [0, 1e99] * 3])
def test_timestamps_that_are_of_no_use_are_named(folder, timestamps):
    write_episode(folder, [{**row, "timestamp": t} for row, t in zip(frames(), timestamps, strict=True)])
    episode = read_episode(folder)
    assert len(episode.frames) == 6
    assert episode.timestamps is None
    assert "timestamp" in {problem.kind for problem in episode.problems}


def test_recorded_actions(folder):
    write_episode(folder, frames(action=[*ANGLES, 50]))
    assert read_episode(folder).actions.tolist() == [[*ANGLES, 50]] * 6
    write_episode(folder, frames(5, action=[*ANGLES, 50]) + frames()[5:])
    assert read_episode(folder).actions is None


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"angles": ANGLES[:5]}, "malformed frame"),
        ({"angles": [*ANGLES, 7]}, "malformed frame"),
        ({"angles": "1 2 3 4 5 6"}, "malformed frame"),
        ({"angles": [*ANGLES[:5], float("nan")]}, "malformed frame"),
        ({"angles": [*ANGLES[:5], float("inf")]}, "malformed frame"),
        ({"angles": [*ANGLES[:5], 10**400]}, "malformed frame"),
        ({"action": [*ANGLES, 1e39]}, "malformed frame"),
        ({"angles": [*ANGLES[:5], True]}, "malformed frame"),
        ({"angles": [*ANGLES[:5], 361]}, "malformed frame"),
        ({"angles": None}, "malformed frame"),
        ({"gripper_value": []}, "malformed frame"),
        ({"gripper_value": [1, 2]}, "malformed frame"),
        ({"gripper_value": "open"}, "malformed frame"),
        ({"gripper_value": None}, "malformed frame"),
        ({"action": ANGLES}, "malformed frame"),
        ({"image": None}, "malformed frame"),
        ({"image": 5}, "malformed frame"),
        ({"images": ["a.png"]}, "malformed frame"),
        ({"images": {}}, "malformed frame"),
        ({"images": {"a/b": "frame_dir/image_00000.png"}}, "malformed frame"),
        ({"images": {"other": "frame_dir/image_00000.png"}}, "missing image"),
        ({"image": "frame_dir/image_00099.png"}, "missing image"),
        ({"image": "frame_dir"}, "missing image"),
        ({"image": "../outside.png"}, "image path"),
        ({"image": "frame_dir/../../outside.png"}, "image path"),
        ({"image": "link.png"}, "image path"),
        ({"image": "linked_dir/outside.png"}, "image path"),
        ({"image": "loop"}, "image path|missing image"),
        ({"image": "/etc/hostname"}, "image path"),
        ({"image": "a\0b"}, "image path"),
        ({"image": "x" * 5000}, "image path"),
        ({"image": "\ud800.png"}, "image path"),
        ({"failed": True}, "failed frame"),
        ({"status": "FAILED"}, "failed frame"),
        ({"error": "timeout"}, "failed frame"),
    ],
)
def test_a_bad_frame_is_left_out_and_named(folder, change, kind):
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    (folder / "linked_dir").symlink_to(folder.parent)
    (folder / "loop").symlink_to(folder / "loop")
    rows = frames()
    rows[2] = {**rows[2], **change}
    episode = read_episode(write_episode(folder, rows))
    assert len(episode.frames) == 5
    assert [frame.index for frame in episode.frames] == [0, 1, 3, 4, 5]
    assert {problem.frame for problem in episode.problems} == {2}
    assert {problem.kind for problem in episode.problems} & set(kind.split("|"))
    assert episode.why_unusable is None


def test_absolute_paths_are_refused_even_into_the_folder(folder):
    write_episode(folder, frames(image=str(folder / "frame_dir/image_00000.png")))
    assert ("image path", 0) in kinds(read_episode(folder))


def test_marks_that_say_no_failure(folder):
    write_episode(folder, frames(failed=False, status="ok", error=None))
    assert len(read_episode(folder).frames) == 6


def test_keys_given_twice(folder):
    text = json.dumps(frames()).replace('"gripper_value": [3]', '"gripper_value": [3], "gripper_value": [4]')
    assert kinds(read_episode(write_episode(folder, text.encode()))) == [("malformed frame", 3)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[{]",
        json.dumps(frames()).encode()[:-5],
        b'{"frames": []}',
        b"null",
        b'[{"angles": "\xff\xfe"}]',
        json.dumps(frames()).encode("utf-16"),
        b"[" * 100_000,
        b"[" + b"0," * 600_000 + b"0]",
        b"[" + b"{}," * 6_000_000 + b"{}]",
        b"\n".join([json.dumps(row).encode() for row in frames()])[:-9],
        b"version https://git-lfs.github.com/spec/v1\noid sha256:07\nsize 82515\n",
    ],
)
def test_unreadable_states(folder, content):
    episode = read_episode(write_episode(folder, content))
    assert not episode.frames
    assert episode.why_unusable.kind == "states file"
    assert len(str(episode.why_unusable)) < 400


@pytest.mark.parametrize("name", ["states.json", "states.jsonl"])
@pytest.mark.parametrize("between", ["\n", "\r\n\r\n"])
def test_json_lines_are_read_as_the_list_is(folder, name, between):
    text = between.join(map(json.dumps, frames())) + between
    episode = read_episode(write_episode(folder, text.encode(), name))
    assert episode.problems == []
    assert find_episodes(folder.parent) == [folder]
    assert episode.states[:, 6].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_damaged_line_is_named(folder):
    lines = [*map(json.dumps, frames())]
    lines[3] = lines[3][:-5]
    episode = read_episode(write_episode(folder, "\n".join(lines).encode()))
    assert "line 4" in episode.why_unusable.message or "line 5" in episode.why_unusable.message


def test_paths_as_windows_writes_them(folder):
    rows = [{**row, "image": row["image"].replace("/", "\\")} for row in frames()]
    rows[2]["image"] = "C:\\data\\frame_dir\\image_00002.png"
    rows[4]["image"] = "..\\outside.png"
    episode = read_episode(write_episode(folder, rows))
    assert [frame.index for frame in episode.frames] == [0, 1, 3, 5]
    assert kinds(episode)[:2] == [("image path", 2), ("image path", 4)]
    assert "a whole path of the machine that recorded" in str(episode.problems[0])
    assert episode.frames[1].images["image"] == folder / "frame_dir/image_00001.png"
    assert "frame_dir/image_00001.png" in episode.listed_images
    # A file that is really called so is that file.
    (folder / "a\\b.png").write_bytes((folder / "frame_dir/image_00000.png").read_bytes())
    rows[2]["image"] = "a\\b.png"
    assert read_episode(write_episode(folder, rows)).frames[2].images["image"] == folder / "a\\b.png"


def test_what_a_mac_adds_to_a_zip_is_passed_over(folder):
    write_episode(folder, [{**row, "timestamp": i / 10} for i, row in enumerate(frames())])
    metadata = b"\0\5\x16\7" + bytes(78)
    beside = folder.parent / "__MACOSX" / folder.name
    for path in (folder, folder / "frame_dir", beside, beside / "frame_dir"):
        path.mkdir(parents=True, exist_ok=True)
        for name in ("._states.json", "._image_00000.png", ".DS_Store"):
            (path / name).write_bytes(metadata)
    assert find_episodes(folder.parent) == [folder]
    assert check_episodes(folder.parent).all_problems == []
    with pytest.raises(UserError, match="lies beside __MACOSX"):
        find_episodes(folder.parent / "__MACOSX")
    rows = frames()
    rows[1]["image"] = "frame_dir/._image_00000.png"
    episode = read_episode(write_episode(folder, rows))
    load_images(episode)
    assert "a Mac's metadata of a file, not the picture" in str(episode.problems[0])


def test_a_recording_of_the_hubs_cache_has_links_to_its_blobs(folder):
    write_episode(folder, frames())
    repository = folder.parent / "datasets--me--x"
    for number, path in enumerate([path for path in folder.rglob("*") if path.is_file()]):
        blob = repository / "blobs" / str(number)
        link = repository / "snapshots/0a1b/monday" / folder.name / path.relative_to(folder)
        blob.parent.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.rename(blob))
    (episode,) = map(read_episode, find_episodes(repository / "snapshots/0a1b"))
    assert episode.problems == []
    assert len(load_images(episode)) == 6


def test_pointers_of_lfs_are_named(folder):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:07\nsize 82515\n"
    (folder / "frame_dir/image_00002.png").write_bytes(pointer)
    episode = read_episode(write_episode(folder, frames()))
    load_images(episode)
    assert "image_00002.png is only Git LFS's pointer" in str(episode.problems[0])
    assert "only Git LFS's pointer" in str(read_episode(write_episode(folder, pointer)).why_unusable)


def test_states_that_are_no_file_of_the_folder(folder, tmp_path):
    assert read_episode(folder).why_unusable.message == "has no states.json, state.json or states.jsonl"
    (tmp_path / "elsewhere.json").write_text(json.dumps(frames()))
    (folder / "states.json").symlink_to(tmp_path / "elsewhere.json")
    assert "leaves the folder" in read_episode(folder).why_unusable.message
    (folder / "states.json").unlink()
    (folder / "states.json").mkdir()
    assert read_episode(folder).why_unusable.kind == "states file"


def test_short_and_failed_episodes(folder):
    assert read_episode(write_episode(folder, frames(4))).why_unusable.kind == "short episode"
    assert read_episode(write_episode(folder, frames(5))).why_unusable is None
    (folder.parent / "FAILED_EPISODE_1.txt").write_text("cube fell")
    assert read_episode(folder).why_unusable.kind == "failed episode"
    assert "cube fell" in read_episode(folder).why_unusable.message


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:40]),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("<html>not found</html>"),
        lambda path: Image.new("I;16", (8, 6)).save(path),
        lambda path: Image.new("1", (8_000, 8_000)).save(path),
        lambda path: Image.new("RGB", (8, 6)).save(path, format="GIF"),
        lambda path: path.unlink(),
    ],
)
def test_images_that_do_not_decode_take_their_frame_with_them(folder, damage):
    episode = read_episode(write_episode(folder, frames()))
    damage(folder / "frame_dir/image_00002.png")
    images = load_images(episode)
    assert kinds(episode) == [("corrupt image", 2)]
    assert "image_00002.png" in episode.problems[0].message
    assert len(images) == len(episode.frames) == 5
    assert images[2]["image"].data == (folder / "frame_dir/image_00003.png").read_bytes()
    assert images[2]["image"].size == (8, 6)


def test_too_many_corrupt_images_make_an_episode_short(folder):
    episode = read_episode(write_episode(folder, frames()))
    for i in (1, 2):
        (folder / f"frame_dir/image_0000{i}.png").write_bytes(b"x")
    load_images(episode)
    assert episode.why_unusable.kind == "short episode"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FRAME = st.fixed_dictionaries(
    {},
    optional={
        "angles": JSON | st.lists(st.floats(), min_size=6, max_size=6),
        "gripper_value": JSON | st.lists(st.floats(), max_size=2),
        "image": JSON | st.sampled_from(["frame_dir/image_00000.png", "../outside.png", "/etc/hostname", ".."]),
        "images": JSON | st.dictionaries(st.text(max_size=4), st.just("frame_dir/image_00001.png"), max_size=2),
        "timestamp": JSON,
        "action": JSON,
        "failed": JSON,
        "status": JSON,
        "error": JSON,
    },
)


@settings(max_examples=50)
@given(st.lists(FRAME | JSON, max_size=8))
def test_any_json_gives_frames_or_named_problems(rows):
    check_any(json.dumps(rows).encode())


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_any_bytes_give_named_problems(content):
    check_any(content)


@settings(max_examples=50)
@given(st.data())
def test_any_damage_to_a_valid_file_gives_frames_or_named_problems(data):
    content = bytearray(json.dumps(frames()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position : position + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=10))
        content = content or bytearray(b" ")
    check_any(bytes(content))


def check_any(content):
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "episode1"
        (folder / "frame_dir").mkdir(parents=True)
        for i in range(6):
            (folder / f"frame_dir/image_{i:05d}.png").touch()
        (Path(parent) / "outside.png").touch()
        episode = read_episode(write_episode(folder, content))
        assert len(episode.frames) >= 5 or episode.why_unusable is not None
        for problem in episode.problems:
            assert problem.kind in KINDS
            assert len(str(problem).encode()) < 1000
        for frame in episode.frames:
            assert np.isfinite(frame.state).all()
            assert all(path.resolve().is_relative_to(folder.resolve()) for path in frame.images.values())
        assert episode.states.shape == (len(episode.frames), 7)
        shutil.rmtree(folder)
