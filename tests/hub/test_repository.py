"""What a user reads when the Hub does not give or take a repository."""

import os
import subprocess
import sys

import pytest

from dp_hf.errors import UserError
from dp_hf.hub.repository import download_snapshot, latest_commit, require_hub
from dp_hf.hub.upload import upload_folder


def test_offline_is_one_sentence_at_every_door(tmp_path):
    (tmp_path / "meta.json").write_text("{}")
    doors = {
        "there is no folder me/absent, and no such dataset": lambda: download_snapshot("me/absent", "dataset"),
        "me/absent is no dataset": lambda: latest_commit("me/absent", "dataset"),
        "not uploaded to me/absent": lambda: upload_folder(tmp_path, "me/absent"),
        "no weights": lambda: require_hub("no weights", "give a file"),
    }
    for begin, call in doors.items():
        with pytest.raises(UserError, match=r"the Hub is out of reach \(HF_HUB_OFFLINE is set\); connect, or") as error:
            call()
        assert str(error.value).startswith(begin)
        assert "\n" not in str(error.value)


def test_a_name_that_cannot_be_one(tmp_path):
    with pytest.raises(UserError, match="me/x/y"):
        download_snapshot("me/x/y")


CALL = """
import sys
from dp_hf.errors import UserError
from dp_hf.hub import repository
try:
    getattr(repository, sys.argv[1])(*sys.argv[2:])
except UserError as error:
    print(error)
"""


def test_the_hub_says_no(hub, client):
    key = ("models", "me/policy")
    hub[0].repos[key], hub[0].private[key] = {"main": {"model_index.json": b"{}"}}, False
    assert "none of that name that you may read" in client("-c", CALL, "download_snapshot", "me/nothing")
    assert "no such revision" in client("-c", CALL, "download_snapshot", "me/policy", "model", "trial")
    assert "me/policy is no dataset" in client("-c", CALL, "latest_commit", "me/policy", "dataset")


def test_nobody_answers(tmp_path):
    (tmp_path / "meta.json").write_text("{}")
    environment = os.environ | {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": "hf_test"}
    push = ["-m", "dp_hf.cli.main", "push-to-hub", "--path", str(tmp_path), "--repo_id", "me/cubes"]
    result = subprocess.run([sys.executable, *push], env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: not uploaded to me/cubes: the Hub is out of reach (")
    assert result.stderr.count("\n") == 1
