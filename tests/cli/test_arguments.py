"""Arguments of all commands: home folders, renamed options, recipes by name, and a reader that leaves."""

import logging
import subprocess
import sys
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.main import main
from dp_hf.cli.recipes import find_recipe, recipe_names
from dp_hf.cli.train import parse_config
from dp_hf.errors import RunFailed, UserError, failure, printable


@dataclass(frozen=True)
class Port:
    path: Path = Path("port")


@dataclass
class Example:
    pipeline: str = "~/policy"
    data_dir: str = "user/name"
    images: tuple[Path, ...] = ()
    limits: list[Path] | None = None
    port: Port = field(default_factory=Port)


def test_home_folders_in_every_place_that_names_one(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    arguments = ["--images", "~/a.png", "b~.png", "--limits", "~/l.yaml", "--port.path=~/tty"]
    parsed = parse(Example, arguments, "example")
    assert (parsed.pipeline, parsed.data_dir) == ("/home/ada/policy", "user/name")
    assert parsed.images == (Path("/home/ada/a.png"), Path("b~.png"))
    assert parsed.limits == [Path("/home/ada/l.yaml")]
    assert parsed.port.path == Path("/home/ada/tty")


def test_home_folders_in_a_yaml_file(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.yaml").write_text(
        "output_dir: ~/run\ndata_dir: ~/data\ncache_dir: ~/cache\npretrained_backbone: ~/w.pth"
    )
    config = parse_config(["--config=~/x.yaml"])
    assert (config.output_dir, config.data_dir) == (tmp_path / "run", str(tmp_path / "data"))
    assert config.loading.cache_dir == tmp_path / "cache"
    assert config.optimization.pretrained_backbone == str(tmp_path / "w.pth")


def test_an_unknown_users_home_is_one_line_and_2(capsys):
    with pytest.raises(SystemExit) as exit_:
        parse(Example, ["--images", "~nobody-of-that-name/x"], "example")
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("error: ~nobody-of-that-name/x: ~ stands for no folder")


def test_renamed_options_work_and_are_not_shown(capsys):
    old_names = {"path": "pipeline", "old_images": "images"}
    parsed = parse(Example, ["--path=x=y", "--old-images", "a", "b"], "example", old_names=old_names)
    assert (parsed.pipeline, parsed.images) == ("x=y", (Path("a"), Path("b")))
    with pytest.raises(SystemExit):
        parse(Example, ["--help"], "example", old_names=old_names)
    assert "--path" not in capsys.readouterr().out.replace("--port.path", "")


OLD = {
    "evaluate": ["--pipeline", "nowhere", "--episodes", "1", "--seed", "3", "--cameras", "front"],
    "record-demonstrations": ["--output_dir", "x", "--seed", "-1", "--cameras", "front"],
    "export-policy": ["--pipeline", "nowhere", "--output", "x"],
    "push-to-hub": ["--path", "nowhere", "--repo_id", "me/x"],
    "report": ["--training", "x", "--evaluation", "y", "--dataset", "z", "--output", "r.html"],
    "import-checkpoint": ["nowhere.pth", "x"],
    "inspect-checkpoint": ["nowhere.pth"],
    "convert-episodes": ["--from", "lerobot", "--data_dir", "nowhere", "--output_dir", "x", "--cameras", "top"],
}


@pytest.mark.parametrize("command", OLD)
def test_commands_as_they_were_written_before(command, tmp_path, monkeypatch, capsys):
    """They get as far as the missing input."""
    monkeypatch.chdir(tmp_path)
    assert main([command, *OLD[command]]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_recipes_are_found_by_name_or_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stacking = ["stack_cpu", "stack_fast", "stack_gpu", "stack_robust"]
    assert recipe_names("train") == ["few_demonstrations", "real_robot", "reference", *stacking]
    assert parse_config(["--config", "stack_cpu", "--horizon", "32"]).policy.horizon == 32
    assert find_recipe("control", "mycobot_280_slow").read_text().startswith("# For first runs on a real arm")
    for path in ("stack_cpu.yaml", "folder/stack_cpu"):
        assert find_recipe("train", path) == Path(path)
    (tmp_path / "stack_cpu").write_text("horizon: 3")
    assert find_recipe("train", "stack_cpu") == Path("stack_cpu")
    with pytest.raises(
        UserError, match=r"stak_cpu: no such file, .* reference, stack_cpu, stack_fast, stack_gpu, stack_robust"
    ):
        find_recipe("train", "stak_cpu")


def test_the_first_help_says_what_recipes_there_are(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for kind in ("train", "control", "accelerate"):
        assert ", ".join(recipe_names(kind)) in shown


def without_a_reader(*arguments):
    """(exit code, standard error) of a command whose standard output is closed before anything is written."""
    code = "import sys; sys.stdin.read(); from dp_hf.cli.main import main; sys.exit(main(sys.argv[1:]))"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, **pipes)
    process.stdout.close()
    process.stdin.close()
    error = process.stderr.read()
    return process.wait(), error


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["evaluate", "--help"]])
def test_help_that_nobody_reads_is_no_error(arguments):
    assert without_a_reader(*arguments) == (0, "")


def test_the_work_is_done_although_nobody_reads(tmp_path, record_episode):
    record_episode(tmp_path / "in")
    assert without_a_reader("convert-episodes", "--data_dir", tmp_path / "in", "--output_dir", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "meta.json").exists()


@pytest.mark.parametrize(
    ("error", "code"), [(UserError("no"), 2), (RunFailed("no"), 1), (failure("it", OSError("no")), 1)]
)
def test_errors_are_one_sentence_and_their_traceback_is_for_who_asks(error, code, capsys, caplog):
    def fail(arguments):
        raise error

    caplog.set_level(logging.DEBUG, "dp_hf")
    assert run(fail, None) == code
    assert capsys.readouterr().err == f"error: {error}\n"
    (record,) = caplog.records
    assert record.levelname == "DEBUG"
    assert record.exc_info[1] is error


@pytest.mark.parametrize("cause", ["itself", "one that it caused"])
def test_an_error_that_goes_round_in_a_circle_ends_the_command(cause, capsys):
    def command(_):
        error, other = UserError("rounds.txt: turns"), ValueError("behind it")
        other.__cause__ = error
        raise error from (error if cause == "itself" else other)

    assert run(command, None) == 2
    assert capsys.readouterr().err == "error: rounds.txt: turns\n"


def test_text_of_files_does_not_steer_the_terminal(capsys):
    def speak(arguments):
        print("a name \x1b[2J\x07 \u202eof\tsome é 目 🤖 episode\nand a line")
        raise UserError("\x1b]0;title\x07: cannot be read \udcff")

    assert run(speak, None) == 2
    said = capsys.readouterr()
    assert said.out == "a name \\x1b[2J\\x07 \\u202eof\tsome é 目 🤖 episode\nand a line\n"
    assert said.err == "error: \\x1b]0;title\\x07: cannot be read \\udcff\n"


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Cc", "Cf", "Cs", "Zs"])))
def test_what_is_printable_stays_and_all_of_it_can_be_written(text):
    shown = printable(text)
    shown.encode("utf-8")
    assert not [char for char in shown if unicodedata.category(char)[0] == "C" and char not in "\n\t"]
    assert printable(shown) == shown


def test_ctrl_c_while_a_command_is_imported_is_no_traceback(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("dp_hf.cli.main.import_module", interrupted)
    assert main(["infer"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_error_that_stands_behind_itself_is_told_like_any_other(capsys):
    def fail(arguments):
        first, second = UserError("the camera squashes"), RunFailed("the run ended")
        first.__cause__, second.__context__ = second, first
        raise first

    assert run(fail, None) == 2
    assert "the camera squashes" in capsys.readouterr().err
