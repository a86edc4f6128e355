"""A list in an unnamed file: it holds what it was given, leaves nothing behind, and says where a disk is full."""

import os
import pickle
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from dp_hf.cli.arguments import run
from dp_hf.list_on_disk import ListOnDisk


def test_what_is_appended_is_read_back(tmp_path):
    values = ListOnDisk(tmp_path)
    for size in (3, 100_000, 0, 7):
        values.append(np.arange(size))
        assert len(values[-1]) == size
    assert [len(each) for each in values] == [3, 100_000, 0, 7]
    part = values[1:]
    assert (len(part), len(part[-1]), len(part[1:][1])) == (3, 7, 7)
    sent = pickle.loads(pickle.dumps(part))
    assert isinstance(sent, list)
    assert [len(each) for each in sent] == [100_000, 0, 7]
    with pytest.raises(IndexError):
        values[4]
    assert list(tmp_path.iterdir()) == []


def test_a_part_outlives_the_list():
    values = ListOnDisk()
    values.append("kept")
    part = values[:]
    del values
    assert [*part] == ["kept"]


KILLED = """
import os, signal, sys
from pathlib import Path
from dp_hf.list_on_disk import ListOnDisk

values = ListOnDisk(Path(sys.argv[1]))
values.append("x" * 1_000_000)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_who_is_killed_leaves_nothing_behind(tmp_path):
    outcome = subprocess.run([sys.executable, "-c", KILLED, tmp_path])
    assert outcome.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="/dev/full")
def test_a_full_disk_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: open("/dev/full", "r+b"))  # noqa: SIM115
    values = ListOnDisk(tmp_path)
    assert run(values.append, "x" * 100_000) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}: No space left on device; free space there")
    assert error.count("\n") == 1
    values.close()


@pytest.mark.skipif(sys.platform == "win32", reason="TMPDIR")
def test_no_place_for_temporary_files_is_one_sentence(tmp_path):
    code = "from dp_hf.cli.arguments import run; from dp_hf.list_on_disk import ListOnDisk; exit(run(ListOnDisk, None))"
    closed = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/absent']\n"
    outcome = subprocess.run([sys.executable, "-c", closed + code], capture_output=True, text=True, env=os.environ)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: temporary files have no place")
    assert outcome.stderr.count("\n") == 1
