"""The benchmark of corrections at its smallest: one round, beside a policy of two demonstrations."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "corrections.py"


@pytest.mark.slow
def test_a_round_is_measured_once(tmp_path):
    sizes = "--demonstrations 1 --beside 2 --rounds 1 --corrections 1 --episodes 1 --num_workers 1"
    lengths = "--epochs 1 --round_epochs 1 --recording=--patience=1"
    command = [sys.executable, str(SCRIPT), *sizes.split(), *lengths.split(), "--output_dir", str(tmp_path / "out")]
    command += ["--training=--config stack_fast --batch_size 64 --image_size 24 42 --horizon 8 --num_keypoints 4"]

    def run(*more):
        done = subprocess.run(
            [*command, *more], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == (2 if more else 0), done.stderr
        return done.stdout + done.stderr * bool(more)

    assert "| 1 demonstrations and 1 corrections | 1 |" in run()
    lines = (tmp_path / "out" / "results.jsonl").read_text()
    assert [json.loads(line)["policy"] for line in lines.splitlines()[1:]] == [
        "1 demonstrations",
        "1 demonstrations and 1 corrections",
        "2 demonstrations",
    ]
    assert "recording" not in run()
    assert "holds policies with another first_layout" in run("--first_layout", "5")
    assert (tmp_path / "out" / "results.jsonl").read_text() == lines
