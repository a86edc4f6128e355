"""The nodes of the ROS 2 package as processes of a Python that has ROS."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

from ros2_wire import LOOPBACK, PATIENCE, ROOT, ros_environment

PACKAGE = ROOT / "scripts" / "ros2" / "diffusion_policy_inference"


class RunningNode:
    """Context manager: a node of the package; what is still running at the end is killed.

    Args:
        ros_python: a Python with rclpy and control_msgs.
        domain_id: its ROS_DOMAIN_ID.
        name: of its module.
        parameters: as `ros2 run ... -p NAME:=VALUE` gives them.
    """

    def __init__(self, ros_python: str, domain_id: int, name: str, *parameters: str, more: Sequence[str] = ()):
        given = [word for parameter in parameters for word in ("-p", parameter)]
        command = [ros_python, "-m", f"diffusion_policy_inference.{name}", "--ros-args", *given, *more]
        environment = ros_environment() | LOOPBACK | {"ROS_DOMAIN_ID": str(domain_id), "PYTHONUNBUFFERED": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), environment["PYTHONPATH"]])
        self._start = lambda: subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""

    def __enter__(self) -> "RunningNode":
        self.process = self._start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        for line in self.process.stdout:
            self.output += line

    def wait_for(self, pattern: str, timeout: float = PATIENCE) -> None:
        give_up = time.monotonic() + timeout
        while not re.search(pattern, self.output):
            assert time.monotonic() < give_up, f"no {pattern!r}: {self.output}"
            assert self.process.poll() is None or re.search(pattern, self.output), self.output
            time.sleep(0.02)

    def end(self, number: int = signal.SIGINT) -> int:
        """Sends a signal to a node that still runs; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(timeout=PATIENCE)
        self._reader.join()
        assert "Traceback" not in self.output, self.output
        return code

    def __exit__(self, *exception) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
