"""The benchmark of few demonstrations at its smallest: two tasks that are one, and a recipe that learns nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.reach_task import copy_task

from dp_hf.errors import UserError

FOLDER = Path(__file__).parents[2] / "scripts" / "benchmarks"
MAKE = """
from reach import Reach, expert

def make(task):
    return Reach()
"""


@pytest.fixture
def benchmark_functions(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import few_demonstrations

    return few_demonstrations


def test_the_five_best_of_the_checkpoints_that_were_tried(benchmark_functions, tmp_path):
    five_best = benchmark_functions.five_best
    rows = [{"loss": 0.1}, *({"rollout": {"success_rate": rate}} for rate in (0.1, 0.9, 0.5, 0.5, 0.7, 0.4))]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert five_best(tmp_path) == pytest.approx(0.6)
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:5]))
    with pytest.raises(UserError, match="4 checkpoints were tried"):
        five_best(tmp_path)


@pytest.mark.slow
def test_a_task_is_measured_once(tmp_path):
    copy_task(tmp_path)
    (tmp_path / "two.py").write_text(MAKE)
    task = (tmp_path / "reach.yaml").read_text().replace("reach.py:Reach", "two.py:make\narguments: {task: reach}")
    (tmp_path / "two.yaml").write_text(task)
    recipe = (FOLDER.parents[1] / "configs" / "train" / "few_demonstrations.yaml").read_text()
    recipe = recipe.replace("image_size: 64", "image_size: 24").replace("num_keypoints: 32", "num_keypoints: 4")
    (tmp_path / "tiny.yaml").write_text(recipe)
    command = [sys.executable, str(FOLDER / "few_demonstrations.py"), "--tasks", "reach", "hammer"]
    command += ["--config", str(tmp_path / "tiny.yaml"), "--task_file", str(tmp_path / "two.yaml")]
    command += ["--demonstrations", "2", "--num_epochs", "1", "--episodes", "1", "--output_dir", str(tmp_path / "out")]

    def run(*more):
        done = subprocess.run(
            [*command, *more], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == (2 if more else 0), done.stderr
        return done

    assert "| medium | 1 " in run().stdout
    lines = (tmp_path / "out" / "few_demonstrations.jsonl").read_text()
    assert [json.loads(line)["task"] for line in lines.splitlines()[1:]] == ["reach", "hammer"]
    assert "recording" not in run().stderr
    assert (tmp_path / "out" / "few_demonstrations.jsonl").read_text() == lines
    assert "holds runs with another demonstrations" in run("--demonstrations", "3").stderr


def test_tasks_of_every_class_have_their_rows(benchmark_functions):
    tables = benchmark_functions.tables
    lines = [{"task": task, "seed": 0, "cpu_minutes": 1.0, "success": [1, 2]} for task in ("disassemble", "door-open")]
    of_tasks, of_classes = tables([*lines, lines[0] | {"seed": 1, "success": [2, 2], "five_best": 0.5}]).split("\n\n")
    assert [row.split(" | ")[0].strip("| ") for row in of_tasks.splitlines()[2:]] == ["door-open", "disassemble"]
    assert "3/4" in of_tasks
    assert "50.0" in of_tasks.splitlines()[3]
    assert [row.split(" | ")[0].strip("| ") for row in of_classes.splitlines()[2:]] == ["easy", "very hard"]
    assert "75.0" in of_classes
