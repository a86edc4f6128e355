import json

import numpy as np
import pytest
from PIL import Image

from dp_hf.arms.mycobot_280 import QUANTITIES
from dp_hf.cli.infer import main
from dp_hf.episodes.writer import EpisodeWriter


@pytest.fixture
def episode(tmp_path, frame):
    with EpisodeWriter(tmp_path / "recording") as writer:
        for step in range(12):
            writer.add_frame(np.roll(frame, step, axis=1), np.arange(7) + step)
    return writer.path


def test_image(make_pipeline, frame, tmp_path, capsys):
    make_pipeline(horizon=2, use_proprioception=True).save_pretrained(tmp_path / "pipeline")
    Image.fromarray(frame).save(tmp_path / "frame.png")
    call = ["--pipeline", str(tmp_path / "pipeline"), "--image", str(tmp_path / "frame.png")]
    assert main([*call, "--state", *["1", "2", "3", "4", "5", "6", "70"]]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["step", *QUANTITIES.names]
    assert [row[0] for row in rows[1:3]] == ["0", "1"]
    assert all(abs(float(value)) <= 161 for row in rows[1:3] for value in row[1:])
    assert main(call) == 2
    assert "state" in capsys.readouterr().err


def test_episode(make_pipeline, episode, tmp_path, capsys):
    make_pipeline(n_obs_steps=2, horizon=3, use_proprioception=True, fps=5.0).save_pretrained(tmp_path / "pipeline")
    output = tmp_path / "out"
    call = ["--pipeline", str(tmp_path / "pipeline"), "--episode", str(episode), "--output_dir", str(output)]
    assert main(call) == 0
    result = json.loads((output / "predictions.json").read_text())
    # The policy acts 5 times a second, the recording has 10 frames a second: every second frame.
    assert np.shape(result["predicted"]) == (6, 3, 7)
    np.testing.assert_allclose(np.array(result["recorded"])[:, 0], [2, 4, 6, 8, 10, 10])
    error = np.abs(np.array(result["predicted"])[:, 0] - result["recorded"]).mean(0)
    np.testing.assert_allclose(list(result["mean_absolute_error"].values()), error, rtol=1e-5)
    assert Image.open(output / "predictions.png").size[1] > 1000
    printed = capsys.readouterr()
    assert f"{error[0]:.2f}" in printed.out
    assert "warning: " in printed.err
    assert "10 rows a second (assumed" in printed.err
    assert main(call) == 0  # from the converted copy
    assert "warning: " in capsys.readouterr().err


def test_an_episode_is_cut_at_its_holes_as_a_conversion_cuts_it(make_pipeline, episode, tmp_path):
    for number in range(5, 9):
        (episode / f"frame_dir/image_{number:05d}.png").unlink()
    with EpisodeWriter(tmp_path / "recording", episode.name + "_2") as writer:
        for step in range(6):
            writer.add_frame(np.zeros((24, 42, 3), np.uint8), np.arange(7) + 20 + step)
    make_pipeline(horizon=3, fps=10.0).save_pretrained(tmp_path / "pipeline")
    call = ["--pipeline", str(tmp_path / "pipeline"), "--output_dir", str(tmp_path / "out")]
    assert main([*call, "--episode", str(tmp_path / "recording")]) == 0
    result = json.loads((tmp_path / "out/predictions.json").read_text())
    assert result["episodes"] == [f"{episode.name}.part1"] * 5 + [f"{episode.name}_2"] * 6
    np.testing.assert_allclose(np.array(result["recorded"])[:, 0], [1, 2, 3, 4, 4, 21, 22, 23, 24, 25, 25])


@pytest.mark.parametrize("what", [[], ["--image", "a.png", "--episode", "b"]])
def test_neither_or_both_are_refused(what, capsys):
    assert main(["--pipeline", "x", *what]) == 2
    assert "either --image" in capsys.readouterr().err


def test_a_missing_episode_is_named(make_pipeline, tmp_path, capsys):
    make_pipeline().save_pretrained(tmp_path / "pipeline")
    assert main(["--pipeline", str(tmp_path / "pipeline"), "--episode", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.fixture
def commanded(tmp_path, frame):
    """Commands are 100 from the states."""
    with EpisodeWriter(tmp_path / "commanded") as writer:
        for step in range(6):
            writer.add_frame(np.roll(frame, step, axis=1), np.arange(7) + step, action=np.arange(7) + step + 100)
    return writer.path


LATER, COMMANDS = [1, 2, 3, 4, 5, 5], [100, 101, 102, 103, 104, 105]


@pytest.mark.parametrize(
    ("learned", "options", "expected", "said"),
    [
        ({"action_source": "state", "action_offset": 0}, [], [0, 1, 2, 3, 4, 5], "against the row's own state"),
        ({"action_source": "state", "action_offset": 2}, [], [2, 3, 4, 5, 5, 5], "against the state 2 rows later"),
        ({"action_source": "recorded"}, [], COMMANDS, "against the command given at this frame"),
        ({}, [], COMMANDS, "does not say what its actions were (it was made before): compared with recorded commands"),
        ({"action_source": "recorded"}, ["--action_offset", "1"], LATER, "against the next row's state"),
    ],
)
def test_predictions_are_compared_with_what_was_learned(
    make_pipeline, commanded, tmp_path, capsys, learned, options, expected, said
):
    make_pipeline(**learned).save_pretrained(tmp_path / "pipeline")
    output = tmp_path / "out"
    call = ["--pipeline", str(tmp_path / "pipeline"), "--episode", str(commanded), "--output_dir", str(output)]
    assert main([*call, *options]) == 0
    result = json.loads((output / "predictions.json").read_text())
    np.testing.assert_allclose(np.array(result["recorded"])[:, 0], expected)
    assert said in capsys.readouterr().out


def test_a_recording_without_the_commands_or_the_rate_that_were_learned_is_said(
    make_pipeline, episode, tmp_path, capsys
):
    make_pipeline(action_source="recorded", fps=30.0).save_pretrained(tmp_path / "pipeline")
    call = ["--pipeline", str(tmp_path / "pipeline"), "--episode", str(episode), "--output_dir", str(tmp_path / "out")]
    assert main(call) == 0
    output = capsys.readouterr()
    assert "learned commands, which this recording lacks: compared with the next state" in output.out
    assert "has 10 frames a second, and the policy acts 30 times a second" in output.err


def test_a_recording_without_the_policys_camera_is_refused(make_pipeline, record_episode, tmp_path, capsys):
    record_episode(tmp_path / "recording", cameras=("front", "wrist"))
    make_pipeline().save_pretrained(tmp_path / "pipeline")
    assert main(["--pipeline", str(tmp_path / "pipeline"), "--episode", str(tmp_path / "recording")]) == 2
    assert "recording has no camera image; it has front, wrist" in capsys.readouterr().err
