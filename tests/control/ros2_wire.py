"""A private ROS domain on the loopback interface, and a robot on it in a process of its own."""

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
PATIENCE = 600  # seconds; what takes so long hangs, however busy the machine is
LOOPBACK = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def ros_environment() -> dict[str, str]:
    """Environment of a process that has real ROS 2: our packages are behind its own Python's."""
    # ROS's Python sets the two variables together when it starts itself anew; a child starts afresh.
    own = {name: value for name, value in os.environ.items() if name != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
    own.pop("LD_LIBRARY_PATH", None)
    return own | {"PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])}


class WireRobot:
    """Context manager: the process of a robot. `got`, with `commands` (n, 7) and `times` (n,), is there at its end.

    Args:
        domain_id: its ROS_DOMAIN_ID.
        width, height: of its camera's images.
        ros_python: a Python with rclpy, for `real_ros2_robot.py`; without, it is `fake_ros2_robot.py`.
        arguments: more of the script's.
    """

    def __init__(
        self,
        domain_id: int,
        width: int = 64,
        height: int = 48,
        ros_python: str | None = None,
        arguments: Sequence[str] = (),
    ):
        script = Path(__file__).with_name("fake_ros2_robot.py" if ros_python is None else "real_ros2_robot.py")
        self.command = [ros_python or sys.executable, str(script), str(width), str(height), *arguments]
        self.environment = ros_environment() | LOOPBACK | {"ROS_DOMAIN_ID": str(domain_id)}

    def __enter__(self) -> "WireRobot":
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, text=True, env=self.environment)
        assert self.process.stdout.readline() == "ready\n"
        return self

    def tell(self, order: str) -> None:
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def ask(self, question: str) -> str | int:
        """The robot's answer, or that of another node, in the words of its message."""
        self.tell(question)
        return json.loads(self.process.stdout.readline())

    def wait_for(self, number: int, what: str = "arm", node=None) -> None:
        """Until so many more commands have come; `node`, if given, is the `RunningNode` that they come from."""
        enough, give_up = self.ask(f"count {what}") + number, time.monotonic() + PATIENCE
        while self.ask(f"count {what}") < enough:
            assert time.monotonic() < give_up, f"no more commands: {what}"
            assert node is None or node.process.poll() is None, node.output
            time.sleep(0.05)

    def __exit__(self, *exception) -> None:
        output, _ = self.process.communicate("quit\n", timeout=PATIENCE)
        self.got = json.loads(output)

    @property
    def times(self) -> np.ndarray:
        return np.array(self.got["arm"]).reshape(-1, 7)[:, 0]

    @property
    def commands(self) -> np.ndarray:
        arm = np.array(self.got["arm"]).reshape(-1, 7)
        gripper = np.array(self.got["gripper"]).reshape(-1, 2)
        assert len(arm) == len(gripper)
        return np.column_stack([arm[:, 1:], gripper[:, 1]])
