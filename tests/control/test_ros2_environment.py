"""The environments that `scripts/ros2/environment.sh` leaves in the cache, with a Python that installs nothing."""

import fcntl
import os
import subprocess
import time
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "ros2" / "environment.sh"
PYTHON = """#!/bin/sh
[ "$2" = venv ] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
exit 0
"""


def test_old_environments_of_the_distribution_are_removed_but_not_one_that_is_made(tmp_path):
    python, cache = tmp_path / "python", tmp_path / "cache" / "ros2"
    python.write_text(PYTHON)
    python.chmod(0o755)
    two_days_ago = time.time() - 2 * 86400
    for name, is_old in {"kilted-old": True, "kilted-made": True, "jazzy-old": True, "kilted-new": False}.items():
        (cache / name).mkdir(parents=True)
        if is_old:
            os.utime(cache / name, (two_days_ago, two_days_ago))
    environment = os.environ | {"DP_HF_CACHE": str(tmp_path / "cache")}

    def ask() -> str:
        command = ["bash", str(SCRIPT), "kilted", str(python)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    with open(cache / "kilted-made.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        own = Path(ask())
    folders = {path.name for path in cache.iterdir() if path.is_dir()}
    assert folders == {own.name, "kilted-made", "jazzy-old", "kilted-new"}
    os.utime(own, (two_days_ago, two_days_ago))
    assert Path(ask()) == own
    assert {path.name for path in cache.iterdir() if path.is_dir()} == {own.name, "jazzy-old", "kilted-new"}
