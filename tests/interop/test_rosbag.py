import json
import subprocess
import sys
import time

import numpy as np
import pytest
from bags import PLUGINS, START, STORE, compressed, header, image, joints, recording, write_bag
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from dp_hf.arms.mycobot_280 import JOINT_NAMES
from dp_hf.cli.convert_episodes import main
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.errors import UserError
from dp_hf.interop.rosbag.alignment import align, nearest
from dp_hf.interop.rosbag.importing import import_bags


def frames_of(episode):
    return json.loads((episode / "states.json").read_text())


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("image_of", [image, compressed, lambda *of: image(*of, encoding="bgr8")])
def test_a_bag_becomes_an_episode(tmp_path, plugin, image_of):
    write_bag(tmp_path / "bag", recording(image_of=image_of), plugin)
    (report,) = import_bags(tmp_path / "bag", tmp_path / "out")
    frames = frames_of(report.episode)
    assert (report.episode.name, report.num_frames, report.gaps, report.broken) == ("episode_bag", 21, [], 0)
    assert report.clock == "times of the headers"
    for index, frame in enumerate(frames):
        assert np.asarray(Image.open(report.episode / frame["image"]))[0, 0].tolist() == [3 * index, 0, 0]
        assert frame["timestamp"] == pytest.approx(index / 10, abs=1e-6)
        assert np.allclose(frame["angles"], np.degrees(index / 10), atol=1e-3)
        assert np.allclose(frame["gripper_value"], 100 - 50 * index / 10, atol=0.01)
    converted = convert_episodes(tmp_path / "out", tmp_path / "dataset")
    assert (converted.meta.fps, converted.meta.num_frames) == (10, 21)


def test_a_single_file_and_a_folder_of_bags(tmp_path):
    for name in ("first", "second"):
        write_bag(tmp_path / "bags" / name, recording(1.0), "mcap")
    (file,) = (tmp_path / "bags" / "first").glob("*.mcap")
    assert import_bags(file, tmp_path / "one")[0].num_frames == 11
    reports = import_bags(tmp_path / "bags", tmp_path / "all")
    assert [report.episode.name for report in reports] == ["episode_first", "episode_second"]


def test_several_cameras_take_the_images_nearest_in_time(tmp_path):
    wrist = [
        ("/wrist/image_raw", START + 0.01 + step / 10, image(START + 0.01 + step / 10, 100 + step))
        for step in range(21)
    ]
    write_bag(tmp_path / "bag", recording() + wrist)
    topics = ("/camera_head/color/image_raw", "/wrist/image_raw")
    (report,) = import_bags(tmp_path / "bag", tmp_path / "out", image_topics=topics)
    assert report.cameras == {topics[0]: "camera_head", topics[1]: "wrist"}
    for index, frame in enumerate(frames_of(report.episode)):
        red = {name: np.asarray(Image.open(report.episode / path))[0, 0, 0] for name, path in frame["images"].items()}
        assert red["wrist"] - 100 == index
        assert red["camera_head"] == 3 * index
    with pytest.raises(UserError, match="name the topics"):
        import_bags(tmp_path / "bag", tmp_path / "other")


def test_gaps_are_left_out_and_reported(tmp_path, capsys):
    write_bag(tmp_path / "bag", recording(lost=[(0.55, 1.05)]))
    arguments = ["--from", "rosbag", "--data_dir", str(tmp_path / "bag"), "--output_dir", str(tmp_path / "out")]
    assert main([*arguments, "--strict"]) == 2
    assert not (tmp_path / "out").exists()
    assert main(arguments) == 0
    assert "gap 0.60 s to 1.10 s: no /camera_head/color/image_raw within 0.05 s" in capsys.readouterr().out
    times = [frame["timestamp"] for frame in frames_of(tmp_path / "out" / "episode_bag")]
    assert np.allclose(times, [*np.arange(6) / 10, *np.arange(11, 21) / 10], atol=0.04)


def test_without_header_times_those_of_the_recorder_serve(tmp_path):
    messages = [
        (topic, received, STORE.types[message.__msgtype__](header(0), *list(vars(message).values())[1:]))
        for topic, received, message in recording(1.0)
    ]
    write_bag(tmp_path / "bag", messages)
    (report,) = import_bags(tmp_path / "bag", tmp_path / "out")
    assert (report.clock, report.num_frames) == ("times of the recorder", 11)


def test_images_of_another_kind_are_left_out(tmp_path):
    messages = recording(1.0)
    for _, _, message in [entry for entry in messages if entry[0].startswith("/camera")][6:10]:
        message.encoding = "16UC1"
    write_bag(tmp_path / "bag", messages)
    (report,) = import_bags(tmp_path / "bag", tmp_path / "out")
    assert report.num_frames == 9
    assert "encoded as '16UC1'" in str(report)


def no_gripper(messages):
    names = (*JOINT_NAMES, "left_finger")
    return [
        (topic, time, joints(time, np.zeros(6), 0.0, names) if topic == "/joint_states" else message)
        for topic, time, message in messages
    ]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda m: [e for e in m if e[0] != "/joint_states"], {}, "which topic has the joint states"),
        (lambda m: [e for e in m if e[0] == "/joint_states"], {}, "which topic has the camera images"),
        (no_gripper, {}, "joint states lack gripper_controller; they have link1"),
        (lambda m: m, {"image_topics": ["/nose"]}, "no camera images on /nose; there are /camera_head"),
        (lambda m: m, {"gripper_joint": "claw"}, "joint states lack claw"),
        (lambda m: m, {"fps": 0.05}, "fps is at least 0.1 and at most 240, a number; got 0.05"),
        (lambda m: m, {"fps": 300.0}, "fps is at least 0.1 and at most 240, a number; got 300.0"),
        (lambda m: m, {"tolerance": 0.0}, "tolerance is above 0 and at most 10, a number; got 0.0"),
    ],
)
def test_says_what_a_bag_lacks(tmp_path, change, options, message):
    write_bag(tmp_path / "bag", change(recording(0.5)))
    with pytest.raises(UserError, match=message):
        import_bags(tmp_path / "bag", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [["--fps", "300"], ["--fps", "0.05"], ["--tolerance", "0"], ["--tolerance", "11"]])
def test_flags_have_the_ranges_of_the_import(option, capsys):
    with pytest.raises(SystemExit):
        main(["from-rosbag", "--data_dir", "nowhere", "--output_dir", "x", *option])
    assert "nowhere" not in (error := capsys.readouterr().err)
    assert f"{option[0][2:]} is " in error


def test_a_damaged_bag_is_one_error_and_the_others_are_converted(tmp_path):
    write_bag(tmp_path / "bags" / "good", recording(1.0), "mcap")
    write_bag(tmp_path / "bags" / "bad", recording(1.0), "mcap")
    (file,) = (tmp_path / "bags" / "bad").glob("*.mcap")
    file.write_bytes(file.read_bytes()[:5000])
    reports = import_bags(tmp_path / "bags", tmp_path / "out")
    assert [report.problem is None for report in reports] == [False, True]
    assert "ros2 bag reindex" in reports[0].problem
    with pytest.raises(UserError, match="no ROS 2 bag"):
        import_bags(tmp_path / "out", tmp_path / "other")


def at(message, seconds):
    """The message with another time in its header."""
    return STORE.types[message.__msgtype__](header(seconds), *list(vars(message).values())[1:])


def from_rosbag(tmp_path, *options):
    return main(["from-rosbag", "--data_dir", str(tmp_path / "bag"), "--output_dir", str(tmp_path / "out"), *options])


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("jump", [-2.1, 3600.0, 1.79e9 - START])
def test_a_bag_is_split_where_the_clock_jumps(tmp_path, plugin, jump, capsys):
    """The passes have other images and joints, and over a clock that was set back the same times."""
    second = recording(image_of=lambda seconds, step: image(seconds, 100 + step))
    messages = sorted(recording(), key=lambda entry: entry[1])
    for topic, received, message in sorted(second, key=lambda entry: entry[1]):
        if topic == "/joint_states":
            message.position[:] = -message.position
        later = 2.1 + jump
        stamp = message.header.stamp
        messages.append((topic, received + later, at(message, stamp.sec + stamp.nanosec / 1e9 + later)))
    write_bag(tmp_path / "bag", messages, plugin, as_given=True)
    assert from_rosbag(tmp_path) == 0
    printed = capsys.readouterr().out
    assert ("the clock was set back by 2.0" if jump < 0 else "s without a message") in printed
    parts = [frames_of(tmp_path / "out" / f"episode_bag_part{part}") for part in (1, 2)]
    for number, frames in enumerate(parts):
        assert 18 <= len(frames) <= 21
        folder = tmp_path / "out" / f"episode_bag_part{number + 1}"
        reds = np.array([np.asarray(Image.open(folder / frame["image"]))[0, 0, 0] for frame in frames], dtype=float)
        moments = (reds - 100 * number) / 30
        sign = -1 if number else 1
        assert np.abs(np.radians([frame["angles"][0] for frame in frames]) - sign * moments).max() < 0.05
        assert np.allclose([frame["timestamp"] for frame in frames], moments - moments[0], atol=0.01)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_messages_without_a_time_are_left_out_and_counted(tmp_path, capsys):
    """What `ros2 bag record --use-sim-time` writes before the clock begins has time 0, in header and bag."""
    messages = recording(1.0)
    for index in (0, 1, 40, 41):
        topic, _, message = messages[index]
        messages[index] = (topic, 0.0, at(message, 0.0))
    write_bag(tmp_path / "bag", messages)
    assert from_rosbag(tmp_path) == 0
    assert "4 messages without a time are left out" in capsys.readouterr().out
    frames = frames_of(tmp_path / "out" / "episode_bag")
    assert [frame["timestamp"] for frame in frames] == sorted(frame["timestamp"] for frame in frames)
    for frame in frames:
        red = np.asarray(Image.open(tmp_path / "out" / "episode_bag" / frame["image"]))[0, 0, 0]
        assert abs(np.radians(frame["angles"][0]) - red / 30) < 0.03
    assert 8 <= len(frames) <= 10


def test_degrees_are_refused_until_they_are_stated(tmp_path, capsys):
    messages = recording(2.0)
    for topic, _, message in messages:
        if topic == "/joint_states":
            for name in JOINT_NAMES:
                message.position[message.name.index(name)] *= 45
    write_bag(tmp_path / "bag", messages)
    assert from_rosbag(tmp_path) == 2
    error = capsys.readouterr().err
    assert "would be at 5156.62 degrees if the joint states were radians" in error
    assert "--angle_unit degrees" in error
    assert from_rosbag(tmp_path, "--angle_unit", "degrees") == 0
    assert frames_of(tmp_path / "out" / "episode_bag")[-1]["angles"] == [90] * 6


def test_degrees_that_would_be_read_as_radians_are_named(tmp_path, capsys):
    write_bag(tmp_path / "bag", recording(0.1))
    assert from_rosbag(tmp_path) == 0
    assert "no angle exceeds 5.73 degrees, which look like radians: convert with --angle_unit degrees" in (
        capsys.readouterr().out
    )


def test_a_gripper_of_another_range_is_named(tmp_path, capsys):
    write_bag(tmp_path / "bag", recording(1.0))
    assert from_rosbag(tmp_path, "--gripper_range", "0", "0.8") == 0
    assert "lie beyond 0..0.8 and are clipped; --gripper_range" in capsys.readouterr().out


def test_only_the_topics_that_are_read_have_to_be_readable(tmp_path):
    """`ros2 bag record -a` stores the events of a service by the service's own text, which defines no message."""

    def service(writer):
        text = "float64 width\n---\nbool ok\n"
        writer.add_connection(
            "/grasp/_service_event", "my_hand/srv/Grasp_Event", msgdef=text, rihs01="RIHS01_" + 64 * "0"
        )

    write_bag(tmp_path / "bag", recording(1.0), "mcap", also=service)
    assert from_rosbag(tmp_path) == 0


def test_bags_of_one_name_keep_their_folders_names(tmp_path):
    for name in ("monday/run.1", "monday/run.2", "tuesday/run.1"):
        write_bag(tmp_path / "bag" / name, recording(0.5))
    assert from_rosbag(tmp_path) == 0
    names = ["episode_monday_run_1", "episode_monday_run_2", "episode_tuesday_run_1"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names


def test_names_that_become_one_are_refused_before_anything_is_written(tmp_path, capsys):
    for name in ("run.1", "run_1"):
        write_bag(tmp_path / "bag" / name, recording(0.5))
    assert from_rosbag(tmp_path) == 2
    assert "run.1 and " in (error := capsys.readouterr().err)
    assert "would both become episode_run_1" in error
    assert not (tmp_path / "out").exists()


def test_a_killed_import_is_repeated(tmp_path, capsys):
    for name in ("a", "b"):
        write_bag(tmp_path / "bag" / name, recording(2.4))
    options = ["--data_dir", str(tmp_path / "bag"), "--output_dir", str(tmp_path / "out"), "--fps", "30"]
    code = "import sys; from dp_hf.cli.main import main; main(['convert-episodes', 'from-rosbag', *sys.argv[1:]])"
    process = subprocess.Popen([sys.executable, "-c", code, *options])
    while process.poll() is None and not list(tmp_path.glob("out/.episode_b.new-*/episode_b/frame_dir/*.png")):
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert [path.name for path in (tmp_path / "out").glob("*") if not path.name.startswith(".")] == ["episode_a"]
    assert from_rosbag(tmp_path, "--fps", "30") == 0
    assert "episode_a exists: give another --output_dir, or move it away" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["episode_a", "episode_b"]
    assert len(frames_of(tmp_path / "out" / "episode_b")) == 73
    assert from_rosbag(tmp_path, "--fps", "30") == 2


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_bag_that_does_not_say_how_it_is_stored_is_read_by_its_files_names(tmp_path, plugin):
    write_bag(tmp_path / "bag", recording(1.0), plugin)
    metadata = tmp_path / "bag" / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace(f"storage_identifier: {plugin}", "storage_identifier: ''"))
    assert "storage_identifier: ''" in metadata.read_text()
    assert from_rosbag(tmp_path) == 0


def test_a_path_is_no_uri(tmp_path):
    write_bag(tmp_path / "bag" / "run", recording(0.5)).rename(tmp_path / "bag" / "run#1 50%41?")
    assert from_rosbag(tmp_path) == 0


@pytest.mark.parametrize("topics", [("/joint_states", "/joint_states"), ("/arm/joint_states", "/gripper/joint_states")])
def test_arm_and_gripper_have_messages_of_their_own(tmp_path, topics):
    messages = []
    for topic, received, message in recording(1.0):
        if topic != "/joint_states":
            messages.append((topic, received, message))
            continue
        values = dict(zip(message.name, message.position, strict=True))
        for name_of_topic, names in zip(topics, (JOINT_NAMES, ("gripper_controller",)), strict=True):
            positions = np.array([values[name] for name in names])
            part = STORE.types["sensor_msgs/msg/JointState"](
                message.header, list(names), positions, np.zeros(0), np.zeros(0)
            )
            messages.append((name_of_topic, received, part))
    write_bag(tmp_path / "bag", messages)
    assert from_rosbag(tmp_path, "--joint_topic", *dict.fromkeys(topics)) == 0
    frames = frames_of(tmp_path / "out" / "episode_bag")
    assert len(frames) == 11
    for index, frame in enumerate(frames):
        assert np.allclose(frame["angles"], np.degrees(index / 10), atol=1e-3)
        assert np.allclose(frame["gripper_value"], 100 - 50 * index / 10, atol=0.01)


TIMES = st.lists(st.integers(0, 200).map(lambda value: value / 10), min_size=1, max_size=30)


@given(TIMES, st.lists(st.integers(-50, 250).map(lambda value: value / 10), max_size=20))
def test_nearest_is_nearest(times, at):
    times, at = np.array(times), np.array(at)
    distances = np.abs(times[None] - at[:, None])
    chosen = nearest(times, at)
    assert np.array_equal(distances[np.arange(len(at)), chosen], distances.min(axis=1, initial=np.inf))


@given(TIMES, TIMES, st.sampled_from([0.05, 0.3, 1.0]))
@example([0.0], [0.1], 0.05)
@example([0.0], [0.1], 0.3)
def test_every_tick_is_a_frame_or_in_a_gap(leading, other, tolerance):
    leading, other = np.array(leading), np.array(other)
    alignment = align({"image": leading, "joint": other}, 10.0, tolerance)
    ticks = max(0, round((min(leading.max(), other.max()) - max(leading.min(), other.min())) * 10) + 1)
    missing = sum(round((gap.end - gap.start) * 10) for gap in alignment.gaps)
    assert len(alignment.times) + missing == ticks
    assert (np.diff(alignment.times) >= 0).all()
    assert (np.abs(other[alignment.chosen["joint"]] - alignment.times) <= tolerance + 1e-9).all()
    assert len(set(alignment.chosen["image"].tolist())) == len(alignment.times)


def test_a_stream_of_broken_messages_shares_no_time():
    alignment = align({"image": np.array([-np.inf]), "joint": np.array([1.0, 2.0])}, 10.0, 0.05)
    assert (len(alignment.times), alignment.gaps) == (0, [])
