"""Real ROS 2 for the tests, from wheels."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "ros2" / "environment.sh"


@pytest.fixture(scope="session")
def ros_python():
    """A function from the name of a ROS 2 distribution, and maybe `control_msgs`, to a Python that has them.

    Where its wheels cannot be had the test is skipped, and fails in CI.
    """

    environment = dict(os.environ)  # with the user's cache: that of a test is its own

    @functools.cache
    def make(distribution: str, *extra: str) -> str:
        command = ["bash", str(SCRIPT), distribution, sys.executable, *extra]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(done.stderr.strip())
        return f"{done.stdout.strip()}/bin/python"

    return make
