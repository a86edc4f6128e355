import json
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from dp_hf.cli.convert_episodes import main


def convert(tmp_path, *arguments):
    return main(["--data_dir", str(tmp_path / "in"), "--output_dir", str(tmp_path / "out"), *arguments])


def test_converts_and_prints_a_summary(tmp_path, record_episode, capsys):
    record_episode(tmp_path / "in", "episode1")
    record_episode(tmp_path / "in", "episode2", num_frames=2)
    assert convert(tmp_path, "--fps", "20", "--frame-skip", "2", "--action_offset", "0") == 0
    out = capsys.readouterr().out
    for text in ("episodes: 1, rows: 4", "recorded in degrees", "10 rows a second", "1 episodes skipped", "episode2"):
        assert text in out
    rows = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert rows["state"][:] == rows["action"][:]


def test_grippers_of_other_robots(tmp_path, record_episode):
    episode = record_episode(tmp_path / "in", "episode1")
    rows = json.loads((episode / "states.json").read_text())
    for index, row in enumerate(rows):
        row["gripper_value"] = [-0.5 + index / 14]
    (episode / "states.json").write_text(json.dumps(rows))
    assert convert(tmp_path, "--gripper_range", "-0.5", "0", "--gripper_open", "low") == 0
    states = datasets.load_dataset(str(tmp_path / "out"), split="train")["state"]
    assert [round(state[6], 3) for state in states] == [round(100 - index * 100 / 7, 3) for index in range(8)]


def test_wrong_input(tmp_path, record_episode, capsys):
    assert convert(tmp_path) == 2
    assert "is not a folder" in capsys.readouterr().err
    record_episode(tmp_path / "in", "episode1", num_frames=2)
    assert convert(tmp_path) == 2
    assert "has 2 usable frames" in capsys.readouterr().err
    record_episode(tmp_path / "in", "episode2")
    assert convert(tmp_path, "--strict") == 2
    assert "without --strict" in capsys.readouterr().err
    assert convert(tmp_path, "--gripper_range", "100", "0") == 2
    assert convert(tmp_path) == 0
    with pytest.raises(SystemExit, match="2"):
        convert(tmp_path, "--angle_unit", "gradians")


def test_an_upload_that_fails_leaves_the_dataset(tmp_path, record_episode, capsys):
    record_episode(tmp_path / "in")
    assert convert(tmp_path, "--push_to_hub", "me/cubes") == 2
    assert "out is complete, but was not uploaded to me/cubes" in capsys.readouterr().err
    assert (tmp_path / "out/meta.json").exists()


HELP = """
import atexit, runpy, sys
atexit.register(lambda: print(sorted({"torch", "datasets"} & set(sys.modules))))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("script", ["check_episodes", "convert_episodes"])
def test_the_doors_give_help_without_loading_heavy_libraries(script):
    path = Path(__file__).parents[2] / "scripts" / f"{script}.py"
    result = subprocess.run([sys.executable, "-c", HELP, str(path), "--help"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout
    assert result.stdout.endswith("[]\n")


def test_to_lerobot_and_from_lerobot(tmp_path, record_episode, capsys):
    record_episode(tmp_path / "in", "episode1")
    assert convert(tmp_path, "--to", "lerobot", "--task", "stack the cubes") == 0
    assert "LeRobot v3.0, episodes: 1, rows: 8" in capsys.readouterr().out
    arguments = ["--data_dir", str(tmp_path / "out"), "--output_dir", str(tmp_path / "back"), "--from", "lerobot"]
    assert main(arguments) == 0
    assert "tasks    stack the cubes" in capsys.readouterr().out
    assert main([*arguments, "--to", "lerobot"]) == 2
    assert main(["from-lerobot", *arguments[:4]]) == 0


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["from-zarr"], "from-zarr"),  # first: after another refusal in the same process tyro 0.9 repeats that one
        (["from-lerobot", "--fps", "5"], "--fps"),
        (["--from", "lerobot", "--fps", "5"], "--fps"),
        (["from-rosbag", "--action_offset", "0"], "--action_offset"),
        (["to-lerobot", "--push_to_hub", "me/cubes"], "--push_to_hub"),
        (["--task", "stack"], "--task"),
    ],
)
def test_options_of_one_format_are_none_of_another(arguments, wrong, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--data_dir", "in", "--output_dir", "out"])
    assert exit_.value.code == 2
    assert wrong in "".join(capsys.readouterr())


def test_a_converted_dataset_goes_to_lerobot_without_options_of_recordings(tmp_path, record_episode, capsys):
    record_episode(tmp_path / "in", "episode1")
    assert convert(tmp_path) == 0
    arguments = ["to-lerobot", "--data_dir", str(tmp_path / "out"), "--output_dir", str(tmp_path / "lerobot")]
    assert main([*arguments, "--angle_unit", "radians", "--gripper_open", "low"]) == 2
    assert "is converted already: angle_unit, gripper cannot be chosen any more" in capsys.readouterr().err
    assert main(arguments) == 0
