"""A dataset of any arm, from Python."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dp_hf import DatasetWriter, Quantities, open_data
from dp_hf.arms.quantities import UNITS
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.errors import UserError

ARM = Quantities(("shoulder", "elbow", "jaw"), ("radians", "radians", "0..100"))
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
STATES = np.arange(9.0).reshape(3, 3)


def file_of(frame, kind="PNG"):
    encoded = io.BytesIO()
    Image.fromarray(frame).save(encoded, kind)
    return encoded.getvalue()


def test_what_is_written_is_what_training_opens(tmp_path):
    with DatasetWriter(tmp_path / "out", ["front"], ARM, fps=30, source="pouring") as writer:
        writer.add_episode("one", FRAMES, STATES, STATES + 0.5)
        writer.add_episode("two", {"front": list(FRAMES[:2])}, STATES[:2], STATES[:2] - 1, timestamp=[7.0, 7.5])
        assert not (tmp_path / "out").exists()
    dataset, meta = open_data(tmp_path / "out")
    assert (meta.fps, meta.camera_names, meta.episodes, meta.num_frames) == (30, ["image"], ["one", "two"], 5)
    assert (meta.state, meta.action, meta.action_source, meta.source) == (ARM, ARM, "recorded", "pouring")
    assert dataset["episode_index"][:] == [0, 0, 0, 1, 1]
    assert dataset["frame_index"][:] == [0, 1, 2, 0, 1]
    np.testing.assert_allclose(dataset["timestamp"][:], [0, 1 / 30, 2 / 30, 0, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(dataset["state"][:], np.concatenate([STATES, STATES[:2]]))
    np.testing.assert_array_equal(dataset["action"][:], np.concatenate([STATES + 0.5, STATES[:2] - 1]))
    np.testing.assert_array_equal([np.asarray(image) for image in dataset["image"][:]], [*FRAMES, *FRAMES[:2]])
    assert meta.statistics["state"]["max"] == [6.0, 7.0, 8.0]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# pouring" in card
    assert "shoulder, elbow (radians), jaw (0..100)" in card


def test_actions_that_are_later_states_need_not_be_given(tmp_path):
    with DatasetWriter(tmp_path / "out", ["a"], ARM, fps=10, action_source="state", action_offset=2) as writer:
        writer.add_episode("one", FRAMES, STATES)
    dataset, meta = load_dataset_folder(tmp_path / "out")
    np.testing.assert_array_equal(dataset["action"][:], STATES[[2, 2, 2]])
    assert meta.action_meaning == "the state 2 rows later"
    # Made anew with another offset, as training does.
    np.testing.assert_array_equal(open_data(tmp_path / "out", action_offset=1)[0]["action"][:], STATES[[1, 2, 2]])


def test_pictures_are_files_arrays_or_pil_images_of_several_cameras(tmp_path):
    grey = Quantities(("x",), ("metres",))
    files = [file_of(frame, kind) for frame, kind in zip(FRAMES, ("PNG", "JPEG", "PNG"), strict=True)]
    with DatasetWriter(tmp_path / "out", ["front", "wrist"], ARM, grey, fps=10) as writer:
        images = {"wrist": [Image.fromarray(frame).convert("L") for frame in FRAMES], "front": files}
        writer.add_episode("one", images, STATES, [[0], [1], [2]])
        assert writer.image_sizes == {(12, 8)}
    dataset, meta = load_dataset_folder(tmp_path / "out")
    assert meta.camera_names == ["front", "wrist"]
    assert (meta.state_units, meta.action_units) == (["radians", "radians", "0..100"], ["metres"])
    cells = dataset.data.column("front").to_pylist()
    assert [cell["bytes"] for cell in cells] == files
    assert np.asarray(dataset[0]["wrist"]).shape == (8, 12, 3)


@settings(max_examples=30)
@given(st.data())
def test_any_arm_comes_back(tmp_path_factory, data):
    width = data.draw(st.integers(1, 20))
    units = data.draw(st.lists(st.sampled_from(UNITS), min_size=width, max_size=width))
    arm = Quantities(tuple(f"joint {i}" for i in range(width)), tuple(units))
    numbers = st.floats(-1e6, 1e6, width=32)
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    states = [
        np.array(data.draw(st.lists(numbers, min_size=length * width, max_size=length * width))).reshape(length, width)
        for length in lengths
    ]
    folder = tmp_path_factory.mktemp("any") / "out"
    with DatasetWriter(folder, ["image"], arm, fps=10) as writer:
        for index, rows in enumerate(states):
            writer.add_episode(f"episode {index}", [FRAMES[0]] * len(rows), rows, rows[::-1])
    dataset, meta = load_dataset_folder(folder)
    assert meta.state == meta.action == arm
    np.testing.assert_array_equal(dataset["state"][:], np.concatenate(states).astype(np.float32))
    np.testing.assert_array_equal(dataset["action"][:], np.concatenate([rows[::-1] for rows in states]))


def test_an_episode_that_is_wrong_is_named_and_not_written(tmp_path):
    wrong = {
        r"state has the shape \(3, 2\), not \(T, 3\)": {"state": STATES[:, :2]},
        r"state has the shape \(0,\), not \(T, 3\)": {"state": []},
        r"action has the shape \(2, 3\), not \(3, 3\)": {"action": STATES[:2]},
        "no action is given": {"action": None},
        "state of row 1 is not finite": {"state": np.where(STATES == 4, np.nan, STATES)},
        "action of row 0 is not finite": {"action": STATES + 1e39},
        "state is no array of numbers": {"state": [["a", "b", "c"]] * 3},
        r"timestamp has the shape \(2,\), not \(3,\)": {"timestamp": [0, 1]},
        "timestamp of row 2 is not finite": {"timestamp": [0, 1, np.inf]},
        "2 images of front, and 3 states": {"images": FRAMES[:2]},
        "images of side, not of front": {"images": {"side": FRAMES}},
        r"image 0 of front: an image is a uint8 array \(H, W, 3\), not float64": {"images": FRAMES / 255.0},
        r"image 0 of front: an image is a uint8 array \(H, W, 3\), not uint8 \(8, 12\)": {"images": FRAMES[..., 0]},
        "image 1 of front: its bytes are no PNG or JPEG": {"images": [file_of(FRAMES[0]), b"%!PS", FRAMES[2]]},
        "image 0 of front: an image is a uint8 array or an 8-bit PIL image, not str": {"images": ["a", "b", "c"]},
        "not I;16": {"images": [Image.fromarray(np.zeros((8, 12), np.uint16))] * 3},
        "episode 'good': there is one of that name": {"name": "good"},
        "it has no name": {"name": ""},
    }
    good = {"images": FRAMES, "state": STATES, "action": STATES}
    with DatasetWriter(tmp_path / "out", ["front"], ARM, fps=10) as writer, np.errstate(over="ignore"):
        writer.add_episode("good", **good)
        for message, change in wrong.items():
            with pytest.raises(UserError, match=message):
                writer.add_episode(**{"name": "bad"} | good | change)
        writer.add_episode("bad", **good)
    assert load_dataset_folder(tmp_path / "out")[1].episodes == ["good", "bad"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cameras": []}, "cameras is a list"),
        ({"cameras": ["a", "a"]}, "different names"),
        ({"cameras": "front"}, "cameras is a list"),
        ({"cameras": ["../../pwned", "b"]}, "letters, digits"),
        ({"cameras": ["state", "b"]}, "'state', as another column is"),
        ({"fps": 0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"action_offset": -1}, "action_offset -1"),
        ({"frame_skip": 0}, "frame_skip 0"),
        ({"action_source": "commands"}, "'commands'"),
        ({"action_source": "state", "action": Quantities(("x",), ("none",))}, "actions that are states"),
    ],
)
def test_wrong_arguments_are_refused_at_once(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        DatasetWriter(tmp_path / "out", **{"cameras": ["front"], "state": ARM, "fps": 10} | arguments)


def test_it_is_there_whole_or_as_it_was(tmp_path):
    def write(name, error=None):
        with DatasetWriter(tmp_path / "out", ["front"], ARM, fps=10) as writer:
            if name:
                writer.add_episode(name, FRAMES, STATES, STATES)
            if error:
                raise error

    with pytest.raises(UserError, match="no episode was added"):
        write(None)
    assert list(tmp_path.iterdir()) == []
    write("first")
    # What goes wrong in the caller's own code is the caller's.
    with pytest.raises(FileNotFoundError):
        write("second", FileNotFoundError("my recording"))
    assert load_dataset_folder(tmp_path / "out")[1].episodes == ["first"]
    write("third")
    assert load_dataset_folder(tmp_path / "out")[1].episodes == ["third"]
    assert {path.name for path in tmp_path.iterdir()} == {"out", "dp_hf_cache"}
    (tmp_path / "out" / "notes").touch()
    with pytest.raises(UserError, match="also holds notes"):
        write("fourth")
