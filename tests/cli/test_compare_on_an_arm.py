"""`dp-hf compare --score_sheet` in a terminal of its own."""

import json
import os
import pty
import termios
import threading
import time
from pathlib import Path

import pytest

from dp_hf.cli.compare import main as compare
from dp_hf.success.score_sheet import labels_of, run_number

SHEET = ["old", "new", "--score_sheet", "--output_dir", "sheet"]


@pytest.fixture
def keyboard(tmp_path, monkeypatch):
    """Two folders that look like pipelines, and a function that types as soon as keys are read one by one."""
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        Path(name).mkdir()
        Path(name, "model_index.json").write_text(name)
    keyboard, screen = pty.openpty()
    with open(screen) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)

        def type_keys(keys):
            def wait_and_type():
                while termios.tcgetattr(screen)[3] & termios.ICANON:
                    time.sleep(0.01)
                os.write(keyboard, keys.encode())

            threading.Thread(target=wait_and_type, daemon=True).start()

        yield type_keys
    os.close(keyboard)


def test_from_the_first_key_to_the_names(keyboard, capsys):
    arguments = [*SHEET, "--stages", "lifted", "stacked", "--num_episodes", "9"]
    keyboard("sxfuq")  # x is no key, u takes f back
    assert compare(arguments) == 0
    printed = capsys.readouterr().out
    assert "'x' is none of the keys 1 f q s u" in printed
    assert "pair 1 of 9: set the same scene up again, run policy " in printed
    assert "old" not in printed
    assert "new/" not in printed
    lines = [json.loads(line) for line in Path("sheet/score_sheet.jsonl").read_text().splitlines()]
    seed = lines[0]["seed"]
    labels = labels_of(seed)
    assert [line.get("reached", "undone") for line in lines[1:]] == ["stacked", None, "undone"]
    for name, label in labels.items():
        assert Path("sheet", label, "model_index.json").read_text() == {"A": "old", "B": "new"}[name]

    keys = ["s" if run_number(seed, number).policy == labels["B"] else "1" for number in range(18)]
    already = "s" if keys[0] == "1" else ""
    keyboard("u" + "".join(keys))
    assert compare(arguments) == 0
    printed = capsys.readouterr().out
    assert already == "" or "lifted" in printed
    assert printed.count("not decided yet") == 7
    assert printed.count("decided: one is better, you may stop") == 2
    assert "all 9 pairs are scored" in printed

    assert compare([*arguments, "--reveal"]) == 0
    printed = capsys.readouterr().out
    assert f"B was policy {labels['B']}" in printed
    assert "B is better: decided" in printed
    content = json.loads(Path("sheet/comparison.json").read_text())
    stages = content["scenes"]["real arm"]["stages"]
    assert stages["stacked"]["pairs"] == {"both": 0, "only_a": 0, "only_b": 9, "neither": 0}
    assert stages["lifted"]["pairs"]["both"] == 9
    assert content["policies"]["B"]["pipeline"] == "new"
    assert compare(arguments) == 2
    assert "the names were revealed" in capsys.readouterr().err


def test_what_a_sheet_cannot_do_is_one_sentence(keyboard, capsys, monkeypatch):
    Path("same").symlink_to("old")
    for arguments, message in (
        ([*SHEET, "--reveal"], "has no pair of which both runs are scored"),
        ([*SHEET, "--stop_early", "--device", "cuda"], "leave --device and --stop_early out"),
        (["old", "expert", "--score_sheet"], "expert is no pipeline's folder"),
        (["old", "same", "--score_sheet"], "are the same policy"),
        ([*SHEET, "--stages", "up", "up"], "different names"),
        (["old", "new", "--reveal"], "give --score_sheet too"),
    ):
        assert compare(arguments) == 2
        assert message in capsys.readouterr().err
    Path("sheet", "1").mkdir(parents=True)
    assert compare(SHEET) == 2
    assert "in the way of a policy's blind name" in capsys.readouterr().err
    Path("sheet", "1").rmdir()
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert compare(SHEET) == 2
    assert "run it in a terminal" in capsys.readouterr().err
