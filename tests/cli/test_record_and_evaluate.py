import json

import pytest

from dp_hf.cli.evaluate import main as evaluate
from dp_hf.cli.record_demonstrations import main as record
from dp_hf.episodes.find import find_episodes


def test_record_then_replay(tmp_path, capsys):
    arguments = ["--output_dir", str(tmp_path / "data"), "--num_episodes", "2"]
    assert record(arguments) == 0
    assert len(find_episodes(tmp_path / "data")) == 2
    assert record(arguments) == 0
    assert "2 demonstrations, 0 of them recorded now" in capsys.readouterr().out

    assert evaluate(["--replay", str(tmp_path / "data"), "--output_dir", str(tmp_path / "replay")]) == 0
    results = json.loads((tmp_path / "replay" / "results.json").read_text())
    assert results["rates"]["stacked"]["successes"] == 2


def test_replay_of_actions_that_fail_exits_with_1(tmp_path):
    record(["--output_dir", str(tmp_path / "data"), "--num_episodes", "1"])
    states = next(tmp_path.glob("data/episode_*/states.json"))
    frames = json.loads(states.read_text())
    for frame in frames:
        frame["action"][6] = 100.0
    states.write_text(json.dumps(frames))
    assert evaluate(["--replay", str(tmp_path / "data"), "--output_dir", str(tmp_path)]) == 1


def test_the_expert_is_a_pipeline_too(tmp_path, capsys):
    arguments = ["--pipeline", "expert", "--num_episodes", "2", "--video", "1", "--video_format", "gif"]
    assert evaluate([*arguments, "--output_dir", str(tmp_path), "--num_workers", "2", "--light_jitter", "0.2"]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["rates"]["stacked"]["rate"] == 1.0
    assert [episode["seed"] for episode in results["episodes"]] == [2**30, 2**30 + 1]
    assert (tmp_path / "rollouts.gif").stat().st_size > 10_000
    assert "2/2 = 100.0%" in capsys.readouterr().out


def test_a_saved_pipeline(tmp_path, make_pipeline):
    make_pipeline(camera_names=("front", "side"), horizon=8, n_action_steps=8).save_pretrained(tmp_path / "pipeline")
    arguments = ["--num_episodes", "1", "--num_inference_steps", "1", "--video", "0"]
    assert evaluate(["--pipeline", str(tmp_path / "pipeline"), *arguments, "--output_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["rates"]["stacked"]["trials"] == 1
    assert results["latency_p99"] > 0
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (evaluate, [], "either --pipeline"),
        (evaluate, ["--pipeline", "expert", "--replay", "data"], "either --pipeline"),
        (evaluate, ["--pipeline", "expert", "--camera_names", "top"], "front, side, wrist"),
        (
            evaluate,
            ["--pipeline", "expert", "--layout_seed", "-5"],
            "0 to 1073741823 here: give a --layout_seed of at least 0",
        ),
        (evaluate, ["--pipeline", "expert", "--layout_seed", str(2**30 - 5)], "smaller --layout_seed"),
        (evaluate, ["--replay", "no_such_folder"], "no_such_folder"),
        (record, ["--output_dir", "data", "--layout_seed", "1048576"], "smaller --layout_seed"),
        (record, ["--output_dir", "data", "--layout_seed", "1048570"], "200 layouts are wanted, 6 are left"),
        (record, ["--output_dir", "data", "--layout_seed", "-1"], "at least 0"),
    ],
)
def test_wrong_input_is_one_line(command, arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(arguments) == 2
    assert message in capsys.readouterr().err
