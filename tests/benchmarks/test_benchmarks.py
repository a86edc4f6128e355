"""The benchmarks run, at their smallest, and print what they promise."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from dp_hf.cli.train import parse_config

FOLDER = Path(__file__).parents[2] / "scripts" / "benchmarks"

SMALLEST = {
    "sampling": "--denoisers mlp --steps 100 --reference_steps 1 --repeats 1",
    "startup": "--num_inference_steps 10 --repeats 1",
    "augmentation": "--batch_size 2 --repeats 1",
    "training": "--episodes 1 --frames 8 --uncached_frames 10 --epochs 1 --repeats 1",
    "loading": "--episodes 1 --frames 8 --batch_size 4 --image_size 64 --repeats 1",
    "without_torch": "--calls 2 --repeats 1",
    "true_positions": "--demonstrations 1 --episodes 1 --updates 2",
    "few_steps": "--training_steps 5 --observations 2 --samples 4 --steps 5",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_benchmark_prints_tables(name):
    command = [sys.executable, str(FOLDER / f"{name}.py"), *SMALLEST[name].split(), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["machine"]["threads"] == 1
    assert results["tables"]
    for rows in results["tables"].values():
        assert len(rows) > 1
        assert all(row.keys() == rows[0].keys() for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SMALLEST, "beside_lerobot"])
def test_benchmark_explains_itself(name):
    done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--json" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stacking", "validation", "alarm"])
def test_benchmark_of_policies_explains_itself(name):
    done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_row_of_stacking_is_of_recipes_that_there_are():
    rows = runpy.run_path(str(FOLDER / "stacking.py"))["ROWS"]
    for _, training, _ in rows.values():
        assert parse_config([*training.split(), "--data_dir", "data"]).config is not None


def test_stacking_goes_on_with_lines_of_its_own_options_only(tmp_path):
    identity = {"episodes": 100, "first_demonstration": 0, "first_layout": 7}
    found = {"successes": 99, "trials": 100}
    line = {"row": "headline, U-Net", "seed": 0, "cpu_minutes": 1.0}
    line["rates"] = dict.fromkeys(("lifted", "placed", "stacked"), found)
    (tmp_path / "results.jsonl").write_text(f"{json.dumps(identity)}\n{json.dumps(line)}\n")
    command = [sys.executable, str(FOLDER / "stacking.py"), "--rows", "headline, U-Net", "--output_dir", str(tmp_path)]
    of_all = [subprocess.run([*command, "--first_layout", layout], capture_output=True, text=True) for layout in "78"]
    same, other = of_all
    assert (same.returncode, other.returncode) == (0, 2)
    assert "| headline, U-Net | 1 | 1.0 |" in same.stdout
    assert "holds runs with another first_layout" in other.stderr


@pytest.mark.slow
def test_scale_fits_exponents(tmp_path):
    arguments = ["--sizes", "2", "4", "--rollouts", "0", "--output_dir", str(tmp_path), "--json"]
    command = [sys.executable, str(FOLDER / "scale.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    steps = {"check", "convert", "cache and epoch", "epoch", "export"}
    assert {row["step"] for row in json.loads(done.stdout)["tables"]["Exponents"]} == steps
    assert {path.name for path in tmp_path.iterdir()} == {"scale.jsonl", "scale.png"}
