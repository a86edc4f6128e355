"""A Hub on the loopback, and fresh processes that know no other."""

import os
import subprocess
import sys

import pytest
from local_hub import serve_hub


@pytest.fixture
def hub():
    with serve_hub() as (hub, address):
        yield hub, address


@pytest.fixture
def client(hub, tmp_path):
    """Runs Python code in a fresh process whose Hub is the local one and whose cache is empty."""

    def run(*arguments: str, offline: bool = False) -> str:
        environment = os.environ | {
            "HF_ENDPOINT": hub[1],
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": "hf_test",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "1" if offline else "0",
        }
        result = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run
