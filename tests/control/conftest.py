"""Real ROS 2 for the tests, from wheels."""

import functools
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "ros2" / "environment.sh"


_NUMBERS = itertools.count(os.getpid())


@pytest.fixture
def domain_id() -> int:
    """The ROS_DOMAIN_ID of a test. Each has its own: participants of the last one may not be gone yet, and Fast DDS
    then refused a type as inconsistent that both vendors announce. Beyond 101 its ports are any program's."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return 1 + 2 * (next(_NUMBERS) % 50) + int(worker[2:]) % 2


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
