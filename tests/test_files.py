import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.errors import UserError
from dp_hf.files import (
    cache_root,
    file_written_beside,
    folder_written_beside,
    inside,
    leads_out,
    read_json,
    recover,
    user_path,
)
from dp_hf.pictures import as_pil


def test_a_new_folder_takes_the_place_of_the_old(tmp_path):
    target = tmp_path / "new" / "target"
    for content in ("first", "second"):
        with folder_written_beside(target) as folder:
            (folder / "file").write_text(content)
            assert not target.exists() or (target / "file").read_text() == "first"
        assert (target / "file").read_text() == content
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_one_alone(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "file").write_text("first")

    def write():
        with folder_written_beside(tmp_path / "target") as folder:
            (folder / "file").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [path.name for path in tmp_path.rglob("*")] == ["target", "file"]
    assert (tmp_path / "target" / "file").read_text() == "first"


def test_a_new_file_takes_the_place_of_the_old_with_the_usual_permissions(tmp_path):
    target = tmp_path / "new" / "curves.png"
    for content in ("first", "second"):
        with file_written_beside(target) as path:
            assert path.name == target.name
            path.write_text(content)
            assert not target.exists() or target.read_text() == "first"
        assert target.read_text() == content
    (tmp_path / "plain").touch()
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode

    def write():
        with file_written_beside(target) as path:
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert target.read_text() == "second"
    assert list(target.parent.iterdir()) == [target]


KILLED = """
import os, signal, sys
from pathlib import Path
from dp_hf.files import file_written_beside, folder_written_beside

kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
target, moment = Path(sys.argv[1]), sys.argv[2]
rename = Path.rename

def killed_after_rename(path, new):
    rename(path, new)
    kill()

if moment == "between the renames":
    Path.rename = killed_after_rename
is_file = target.suffix == ".txt"
with (file_written_beside if is_file else folder_written_beside)(target) as path:
    (path if is_file else path / "file").write_text("second")
    if moment == "while writing":
        kill()
    if moment == "alive":
        print("writing", flush=True)
        sys.stdin.read()
"""


def run_killed(target, moment):
    command = [sys.executable, "-c", KILLED, str(target), moment]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("name", ["folder", "file.txt", "[odd]*? folder"])
def test_what_a_killed_writer_left_goes_with_the_next_writing(tmp_path, name):
    assert run_killed(tmp_path / name, "while writing").wait() == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    assert not (tmp_path / name).exists()
    with file_written_beside(tmp_path / "other") as path:
        path.write_text("third")
    assert list(tmp_path.iterdir()) == [tmp_path / "other"]


def test_hidden_folders_of_others_are_left_alone(tmp_path):
    others = [tmp_path / ".name.new-12345678", tmp_path / ".config.new-2"]
    for other in others:
        other.mkdir()
    recover(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_a_folder_is_there_after_a_kill_between_its_two_renames(tmp_path):
    with folder_written_beside(tmp_path / "target") as folder:
        (folder / "file").write_text("first")
    assert run_killed(tmp_path / "target", "between the renames").wait() == -signal.SIGKILL
    assert not (tmp_path / "target").exists()
    recover(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "target"]
    assert (tmp_path / "target" / "file").read_text() == "first"


def test_an_error_between_the_renames_puts_the_old_one_back(tmp_path):
    with folder_written_beside(tmp_path / "target") as folder:
        (folder / "file").write_text("first")

    def write():
        with folder_written_beside(tmp_path / "target") as folder:
            (folder / "file").write_text("second")
            rename = Path.rename

            def interrupted_after_rename(path, new):
                context.undo()
                rename(path, new)
                raise KeyboardInterrupt

            context.setattr(Path, "rename", interrupted_after_rename)

    with pytest.MonkeyPatch.context() as context, pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == [tmp_path / "target"]
    assert (tmp_path / "target" / "file").read_text() == "first"


def test_what_a_living_writer_writes_is_left_alone(tmp_path):
    writer = run_killed(tmp_path / "target", "alive")
    assert writer.stdout.readline() == "writing\n"
    recover(tmp_path)
    with folder_written_beside(tmp_path / "target") as folder:
        (folder / "file").write_text("third")
    writer.communicate()
    assert writer.returncode == 0
    assert (tmp_path / "target" / "file").read_text() == "second"
    assert list(tmp_path.iterdir()) == [tmp_path / "target"]


def test_tilde_is_the_home_folder_and_the_cache_moves(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DP_HF_CACHE", raising=False)
    assert user_path("~/run") == tmp_path / "run"
    assert user_path("a/~/b") == Path("a/~/b")
    with pytest.raises(UserError, match="~no-such-user"):
        user_path("~no-such-user/run")
    assert cache_root() == tmp_path / ".cache" / "dp_hf"
    monkeypatch.setenv("DP_HF_CACHE", "~/elsewhere")
    assert cache_root() == tmp_path / "elsewhere"
    assert cache_root("~/here") == tmp_path / "here"


@pytest.mark.parametrize("path", ["a\0b.png", "\ud800.png"], ids=["null character", "no bytes for it"])
def test_what_is_no_path_is_refused_at_the_doors_of_paths(path):
    for door in (user_path, as_pil, load_dataset_folder):
        with pytest.raises(UserError, match="is no path"):
            door(path)


@pytest.mark.parametrize("name", ["..", "../x", "a/../../x", "/etc/passwd", "a\0b", "link/x"])
def test_nothing_is_built_that_leaves_its_folder(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"leaves the folder|is no path"):
        inside(tmp_path / "in", name)


@given(st.lists(st.sampled_from(["..", "/", "a", ".", "~", "\0", "b c", "é"])).map("".join))
def test_a_name_that_does_not_lead_out_stays_in(name):
    if leads_out(name):
        return
    assert inside("/data/set", name).resolve().is_relative_to("/data/set")


def test_the_hubs_links_to_blobs_count_as_inside(tmp_path):
    snapshot, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "123").write_text("x")
    (snapshot / "file").symlink_to("../../blobs/123")
    (snapshot / "other").symlink_to("/etc/hostname")
    assert inside(snapshot, "file").read_text() == "x"
    for name in ("other", "../../blobs/123"):
        with pytest.raises(UserError, match="leaves the folder"):
            inside(snapshot, name)


def test_a_whole_number_that_no_float_holds_is_infinite(tmp_path):
    (tmp_path / "file.json").write_text(f'{{"a": {10**400}, "b": -{"9" * 5000}, "c": {10**19}}}')
    assert read_json(tmp_path / "file.json") == {"a": math.inf, "b": -math.inf, "c": 10**19}
