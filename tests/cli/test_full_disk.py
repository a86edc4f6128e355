"""Disks that are full and places that are closed: one sentence with the path, and nothing half written."""

import errno
import os
import shlex
import subprocess
import sys

import pytest

from dp_hf.cli.arguments import run
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside, folder_written_beside


def write(path):
    with file_written_beside(path), open("/dev/full", "w") as file:
        file.write("x")


def write_below_a_file(path):
    path.touch()
    with folder_written_beside(path / "folder"):
        pass


def wrapped(path):
    try:
        write(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: convert it again") from error


def in_the_words_of_a_library(path):
    with file_written_beside(path):
        raise RuntimeError(f"I/O error: {os.strerror(errno.EFBIG)} (os error 27)")


@pytest.mark.parametrize(
    ("function", "code", "reason"),
    [
        (write, 1, "No space left on device; free space there"),
        (wrapped, 1, "No space left on device; free space there"),
        (in_the_words_of_a_library, 1, "File too large; allow larger files"),
        (write_below_a_file, 2, "File exists; choose another place"),
    ],
)
def test_one_sentence_with_the_path(function, code, reason, tmp_path, capsys):
    assert run(function, tmp_path / "target") == code
    output = capsys.readouterr().err
    assert output.startswith(f"error: {tmp_path / 'target'}")
    assert reason in output
    assert output.count("\n") == 1
    assert not list(tmp_path.glob(".*"))


def test_other_errors_keep_their_traceback(tmp_path):
    def fail(path):
        with file_written_beside(path):
            path.with_name("absent").read_text()

    with pytest.raises(FileNotFoundError):
        run(fail, tmp_path / "target")


RUN = ["-c", "from dp_hf.cli.arguments import run; exit(run(print, 'x'))"]
DP_HF = ["-m", "dp_hf.cli.main"]


@pytest.mark.parametrize("arguments", [RUN, [*DP_HF, "--help"], [*DP_HF, "inspect-checkpoint", "--help"]])
def test_standard_output_that_is_full(arguments):
    with open("/dev/full", "w") as full:
        outcome = subprocess.run([sys.executable, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (outcome.returncode, outcome.stderr.count("\n")) == (1, 1)
    assert outcome.stderr.startswith("error: standard output: No space left on device")


SMALL = "--image_encoder small_cnn --pretrained_backbone none --image_size 32 --hidden_dim 32 --num_epochs 2"
COMMANDS = [
    ("100k", "convert-episodes --data_dir {data} --output_dir {disk}/dataset"),
    ("100k", "convert-episodes to-lerobot --data_dir {data} --output_dir {disk}/lerobot"),
    ("100k", "record-demonstrations --num_episodes 1 --output_dir {disk}"),
    ("4k", "evaluate --pipeline expert --num_episodes 1 --output_dir {disk}"),
    ("4k", "infer --pipeline {pipeline} --episode {data} --output_dir {disk}"),
    ("100k", "export-policy --pipeline {pipeline} --output_dir {disk}/onnx"),
    ("40k", "push-to-hub --pipeline {pipeline} --repo_id me/policy"),  # which is saved beside temporary files first
    ("100k", f"train --data_dir {{data}} --output_dir {{disk}} {SMALL}"),
    ("100k", f"train --data_dir {{data}} --output_dir {{home}}/run --cache_dir {{disk}} {SMALL}"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "command"), COMMANDS)
def test_commands_on_a_small_disk(size, command, tmp_path, record_episode, make_pipeline):
    disk = tmp_path / "disk"
    disk.mkdir()
    for seed in range(4):
        record_episode(tmp_path / "data", num_frames=40, seed=seed, fps=10)
    make_pipeline().save_pretrained(tmp_path / "pipeline")
    places = {"data": tmp_path / "data", "pipeline": tmp_path / "pipeline", "disk": disk, "home": tmp_path}
    mount = f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(disk))}"
    shell = ["unshare", "-rm", "bash", "-c"]
    if subprocess.run([*shell, mount], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    dp_hf = f"{shlex.quote(sys.executable)} -m dp_hf.cli.main {command.format(**places)}"
    temporary = f"TMPDIR={shlex.quote(str(disk))}" if command.startswith("push-to-hub") else ""
    left = f"find {shlex.quote(str(disk))} -name '*.new-*'"
    outcome = subprocess.run(
        [*shell, f"{mount} && {temporary} {dp_hf}; code=$?; {left}; exit $code"], capture_output=True, text=True
    )
    assert outcome.returncode == 1, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert f"error: {disk}" in outcome.stderr
    assert "No space left on device" in outcome.stderr
    assert ".new-" not in outcome.stdout
