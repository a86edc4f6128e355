import json
import re

import pytest
from PIL import Image

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


@pytest.mark.parametrize(("cameras", "message"), [([], "is empty"), (["front", "front"], "'front' twice")])
def test_demonstrations_have_pictures_of_different_cameras(cameras, message, tmp_path, capsys):
    assert record(["--output_dir", str(tmp_path / "data"), "--camera_names", *cameras]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


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


def test_an_evaluation_goes_on_where_it_was_cut_off(tmp_path, capsys, monkeypatch):
    arguments = ["--pipeline", "expert", "--num_episodes", "3", "--video", "1", "--video_format", "gif"]
    arguments += ["--output_dir", str(tmp_path), "--camera_names", "wrist"]
    assert evaluate(arguments) == 0
    whole = json.loads((tmp_path / "results.json").read_text())
    with monkeypatch.context() as context:
        context.setattr("dp_hf.cli.evaluate._write_results", interrupt)
        assert evaluate(arguments) == 130
    lines = (tmp_path / "unfinished.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 4
    (tmp_path / "unfinished.jsonl").write_text("".join(lines[:-1]) + lines[-1][:20])  # killed as it wrote
    assert evaluate([*arguments, "--light_jitter", "0.2"]) == 2
    assert "unfinished.jsonl holds rollouts with another scene" in capsys.readouterr().err
    (tmp_path / "results.json").unlink()
    assert evaluate([*arguments, "--num_workers", "2"]) == 0
    assert "2/2" in capsys.readouterr().err  # what had been cut, and what the video shows
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["episodes"] == whole["episodes"]
    assert (tmp_path / "rollouts.gif").exists()
    assert not (tmp_path / "unfinished.jsonl").exists()


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_a_table_of_disturbances_goes_on_where_it_was_cut_off(tmp_path, capsys):
    arguments = ["--pipeline", "expert", "--output_dir", str(tmp_path), "--camera_names", "wrist"]
    assert evaluate([*arguments, "--num_episodes", "2", "--disturbances", "nominal", "push"]) == 0
    lines = (tmp_path / "disturbances.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 5
    (tmp_path / "disturbances.jsonl").write_text("".join(lines[:-1]) + lines[-1][:20])
    assert evaluate([*arguments, "--num_episodes", "2", "--num_workers", "2", "--disturbances", "light_jitter"]) == 0
    assert "push" not in capsys.readouterr().out.splitlines()[-3]

    assert evaluate([*arguments, "--num_episodes", "2", "--disturbances", "push"]) == 0
    output = capsys.readouterr()
    for scene in ("nominal", "light_jitter 0.3", "push 20"):
        assert re.search(rf"^{scene} +2/2 = 100.0% \[34.2%, 100.0%\]$", output.out, re.MULTILINE)
    assert "1/1" in output.err  # only what had been cut
    table = json.loads((tmp_path / "disturbances.json").read_text())
    assert table["policy"] == json.loads((tmp_path / "results.json").read_text())["policy"] == "expert"
    assert list(table["scenes"]) == ["nominal", "light_jitter 0.3", "push 20"]
    assert table["scenes"]["push 20"]["disturbances"] == {"push": 20.0}
    assert table["scenes"]["push 20"]["rates"]["stacked"]["successes"] == 2
    assert json.loads((tmp_path / "results.json").read_text())["rates"]["stacked"]["trials"] == 2
    assert Image.open(tmp_path / "disturbances.png").width > 800

    assert evaluate([*arguments[:-2], "--disturbances", "push", "--temporal_ensemble", "0.1"]) == 2
    assert "holds rollouts with another temporal_ensemble, cameras" in capsys.readouterr().err


def test_a_damaged_table_is_named(tmp_path, capsys):
    arguments = ["--pipeline", "expert", "--output_dir", str(tmp_path), "--num_episodes", "1", "--disturbances", "nom"]
    assert evaluate(arguments) == 0
    file = tmp_path / "disturbances.jsonl"
    file.write_text(file.read_text().replace('"length"', '"width"'))
    assert evaluate(arguments) == 2
    assert "disturbances.jsonl is damaged" in capsys.readouterr().err


def test_demonstrations_of_disturbed_scenes_are_recorded_and_replayed(tmp_path, capsys):
    data = str(tmp_path / "data")
    arguments = ["--output_dir", data, "--num_episodes", "2", "--push", "20", "--surfaces", "10"]
    assert record([*arguments, "--disturbed_share", "0.5"]) == 0
    assert evaluate(["--replay", data, "--output_dir", str(tmp_path)]) == 0
    assert record(arguments) == 2
    assert "give the same arguments" in capsys.readouterr().err


def test_a_recording_from_before_a_disturbance_was_an_option_goes_on(tmp_path, capsys):
    arguments = ["--output_dir", str(tmp_path), "--num_episodes", "1", "--light_jitter", "0.2"]
    assert record(arguments) == 0
    origin = next(tmp_path.glob("episode_*/simulation.json"))
    content = json.loads(origin.read_text())
    del content["settings"]["environment"]["push"], content["settings"]["environment"]["surfaces"]
    origin.write_text(json.dumps(content))
    assert record(arguments) == 0
    assert "1 demonstrations, 0 of them recorded now" in capsys.readouterr().out


def test_a_saved_pipeline(tmp_path, make_pipeline):
    make_pipeline(camera_names=("front", "side"), horizon=8, n_action_steps=8).save_pretrained(tmp_path / "pipeline")
    arguments = ["--num_episodes", "1", "--num_inference_steps", "1", "--video", "0"]
    assert evaluate(["--pipeline", str(tmp_path / "pipeline"), *arguments, "--output_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["rates"]["stacked"]["trials"] == 1
    assert results["latency_p99"] > 0
    assert not list(tmp_path.glob("*.mp4"))


def test_a_table_is_of_one_policy(tmp_path, make_pipeline, capsys):
    arguments = ["--pipeline", str(tmp_path / "pipeline"), "--output_dir", str(tmp_path), "--num_inference_steps", "1"]
    arguments += ["--num_episodes", "1", "--disturbances", "nominal"]
    pipeline = make_pipeline(horizon=16, n_action_steps=16)
    pipeline.save_pretrained(tmp_path / "pipeline")
    assert evaluate(arguments) == 0
    assert evaluate(arguments) == 0
    next(pipeline.policy.parameters()).data += 1
    pipeline.save_pretrained(tmp_path / "pipeline")
    assert evaluate(arguments) == 2
    assert "holds rollouts with another policy" in capsys.readouterr().err


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
        (evaluate, ["--replay", "data", "--push", "20"], "leave --push out"),
        (evaluate, ["--pipeline", "expert", "--disturbances", "--shadows"], "leave --shadows out"),
        (evaluate, ["--pipeline", "expert", "--disturbances", "fog"], "no scene fog: there are nominal, light_jitter"),
        (record, ["--output_dir", "data", "--layout_seed", "1048576"], "smaller --layout_seed"),
        (record, ["--output_dir", "data", "--layout_seed", "1048570"], "200 layouts are wanted, 6 are left"),
        (record, ["--output_dir", "data", "--layout_seed", "-1"], "at least 0"),
        (record, ["--output_dir", "data", "--fps", "20"], "--fps is for a real robot"),
        (
            record,
            ["--output_dir", "data", "--task_file", "reach", "--limits", "mycobot_280"],
            "--limits change the scene of cube stacking: leave out with --task_file",
        ),
        (record, ["--output_dir", "data", "--robot", "mycobot", "--noise", "1"], "--noise is for the simulator"),
        (record, ["--output_dir", "data", "--robot", "ros2", "--shadows"], "--shadows is for the simulator"),
    ],
)
def test_wrong_input_is_one_line(command, arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(arguments) == 2
    assert message in capsys.readouterr().err
