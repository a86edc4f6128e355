import json

import pytest
import yaml
from PIL import Image

from dp_hf.cli.report import main


@pytest.fixture
def run_folders(tmp_path):
    training, evaluation = tmp_path / "policy", tmp_path / "evaluation"
    training.mkdir()
    evaluation.mkdir()
    validation = {"by_joint": {"J1": 1.25, "gripper": 3.5, "J2": 0.5}, "units": ["degrees", "0..100", "radians"]}
    rows = [
        {"step": 50, "epoch": 1, "loss": 0.5, "seconds": 30.0},
        {"step": 90, "epoch": 2, "validation": validation, "seconds": 120.0},
    ]
    (training / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (training / "train_config.yaml").write_text(yaml.safe_dump({"horizon": 16, "data_dir": "<script>"}))
    Image.new("RGB", (8, 8)).save(training / "curves.png")
    Image.new("RGB", (8, 8)).save(evaluation / "rollouts.gif")
    rate = {"successes": 17, "trials": 20, "rate": 0.85, "low": 0.64, "high": 0.95}
    results = {
        "arguments": {"pipeline": "policy/final"},
        "task": "cube_stacking",
        "fps": 10,
        "rates": {"lifted": rate, "stacked": rate},
        "mean_length": 31.0,
        "latency_p50": 0.02,
        "latency_p99": 0.05,
    }
    (evaluation / "results.json").write_text(json.dumps(results))
    return ["--training", str(training), "--evaluation", str(evaluation), "--output", str(tmp_path / "report.html")]


def test_page_holds_everything_in_one_file(run_folders, tmp_path, capsys):
    assert main(run_folders) == 0
    assert "cube_stacking: stacked 17 of 20" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    for expected in (
        "stacked: 17 of 20",
        "1.25 degrees",
        "3.50 points",
        "0.5000 radians",
        "3.1 s",
        "data:image/gif;base64,",
    ):
        assert expected in page
    assert "<script>" not in page
    assert 'src="data:' in page
    assert 'src="http' not in page


def test_results_of_before_there_were_tasks_are_read(run_folders, tmp_path, capsys):
    file = tmp_path / "evaluation" / "results.json"
    results = json.loads(file.read_text())
    del results["task"], results["fps"]
    file.write_text(json.dumps(results))
    assert main(run_folders) == 0
    assert "stacked 17 of 20" in capsys.readouterr().out
    assert "31.0 steps;" in (tmp_path / "report.html").read_text()


def test_the_table_of_disturbances_is_shown_where_there_is_one(run_folders, tmp_path):
    assert main(run_folders) == 0
    assert "changed world" not in (tmp_path / "report.html").read_text()
    rate = {"successes": 13, "trials": 40, "rate": 0.325, "low": 0.201, "high": 0.479}
    table = {"scenes": {"camera_turn 3": {"disturbances": {"camera_turn": 3.0}, "rates": {"stacked": rate}}}}
    (tmp_path / "evaluation" / "disturbances.json").write_text(json.dumps(table))
    Image.new("RGB", (8, 8)).save(tmp_path / "evaluation" / "disturbances.png")
    assert main(run_folders) == 0
    page = (tmp_path / "report.html").read_text()
    for expected in ("camera_turn 3", "13/40", "20 to 48 %", 'alt="the scenes"'):
        assert expected in page


def test_a_table_of_another_policy_is_not_shown_beside_this_ones_success(run_folders, tmp_path, capsys):
    (tmp_path / "evaluation" / "disturbances.json").write_text(json.dumps({"policy": "0815", "scenes": {}}))
    assert main(run_folders) == 2
    assert "different policies" in capsys.readouterr().err


def test_a_missing_part_is_named_and_nothing_is_written(run_folders, tmp_path, capsys):
    (tmp_path / "policy" / "curves.png").unlink()
    assert main(run_folders) == 2
    assert "curves.png" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("evaluation/results.json", "{", "results.json: not JSON, or cut"),
        ("evaluation/results.json", '{"rates": {"stacked": {"successes": "x"}}}', "hold other than dp-hf train"),
        ("evaluation/results.json", '{"rates": []}', "hold other than dp-hf train"),
        ("policy/metrics.jsonl", "3\n", "hold other than dp-hf train"),
        ("policy/metrics.jsonl", '{"step": 1}\n{"loss"', "metrics.jsonl: not JSON, or cut"),
        ("policy/train_config.yaml", "a: 1\na: 2\n", "the key 'a' is there twice"),
    ],
)
def test_damaged_parts_are_one_sentence(run_folders, tmp_path, capsys, file, content, message):
    (tmp_path / file).write_text(content)
    assert main(run_folders) == 2
    assert message in capsys.readouterr().err
