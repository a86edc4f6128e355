"""A private DDS domain on the loopback interface, and a robot on it in a process of its own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

LOOPBACK = """<CycloneDDS><Domain>
<General><Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces>
<AllowMulticast>false</AllowMulticast></General>
<Discovery><ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>20</MaxAutoParticipantIndex>
<Peers><Peer Address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>"""


class WireRobot:
    """Context manager: the process of `fake_ros2_robot.py`. `commands` (n, 7) and `times` (n,) are there at its end."""

    def __init__(self, domain_id: int, width: int = 64, height: int = 48):
        self.arguments = [str(domain_id), str(width), str(height)]

    def __enter__(self) -> "WireRobot":
        script = Path(__file__).with_name("fake_ros2_robot.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"CYCLONEDDS_URI": LOOPBACK},
        )
        assert self.process.stdout.readline() == "ready\n"
        return self

    def tell(self, order: str) -> None:
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def wait_for_commands(self, count: int) -> int:
        """Until it has had `count` commands; how many they are then."""
        give_up = time.monotonic() + 60
        while True:
            self.tell("count")
            if (had := int(self.process.stdout.readline())) >= count:
                return had
            assert time.monotonic() < give_up, f"{had} commands in a minute, not {count}"
            time.sleep(0.05)

    def __exit__(self, *exception) -> None:
        output, _ = self.process.communicate("quit\n", timeout=20)
        commands = json.loads(output)
        arm = np.array(commands["arm"]).reshape(-1, 7)
        gripper = np.array(commands["gripper"]).reshape(-1, 2)
        assert len(arm) == len(gripper)
        self.times = arm[:, 0]
        self.commands = np.column_stack([arm[:, 1:], gripper[:, 1]])
