"""Folders that a worker has to see."""

import os
from pathlib import Path

import pytest

from dp_hf.errors import UserError
from dp_hf.workers.shared_disk import require_seen, witnesses


def test_what_is_read_and_where_is_written_has_to_be_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, other = tmp_path / "data", tmp_path / "other"
    (data / "episode_1").mkdir(parents=True)
    other.mkdir()
    with witnesses([data], [tmp_path / "out" / "new", other]) as paths:
        require_seen(paths)
        assert len(paths) == 3
        for path in paths:
            os.rename(path, f"{path}_elsewhere")
            with pytest.raises(UserError, match=f"a worker does not see {os.path.dirname(path)} as the command does"):
                require_seen(paths)
            os.rename(f"{path}_elsewhere", path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "other"]
    assert not [*other.iterdir()]


def test_a_folder_that_is_replaced_meanwhile(tmp_path):
    (tmp_path / "out").mkdir()
    with witnesses([], [tmp_path / "out"]):
        os.rename(tmp_path / "out", tmp_path / "before")
    with witnesses([tmp_path / "absent"], []) as paths:
        assert paths == []


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data" / "episode").mkdir(parents=True)
    with witnesses([Path("~/data")], [Path("~/out")]) as paths:
        assert [Path(path).parent for path in paths] == [tmp_path / "data", tmp_path]
