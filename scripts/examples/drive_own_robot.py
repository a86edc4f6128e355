"""An arm that dp_hf does not know, from its recordings to the control loop:

    python scripts/examples/drive_own_robot.py record desk_data
    python scripts/examples/train_loop.py desk_data outputs/desk 15
    python scripts/examples/drive_own_robot.py drive outputs/desk

The arm has three numbers in three units; its camera shows a bright square where it is to go. Only `DeskArm` knows how
it is reached: put your own bus and camera there. The commands drive it too, and record it:

    dp-hf run-policy --pipeline outputs/desk --robot scripts/examples/drive_own_robot.py:DeskArm --execute
"""

import logging
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing

import numpy as np

from dp_hf import DatasetWriter, Quantities
from dp_hf.arms.arm import Arm
from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.matching import require_same
from dp_hf.control.controller import Controller
from dp_hf.control.operator import on_signals
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.control.report import Report
from dp_hf.control.robot import Stamped
from dp_hf.control.warm_up import warm_up
from dp_hf.pipelines.loading import load_pipeline

FPS = 10.0
DESK_ARM = Arm(
    name="desk_arm",
    gripper=2,
    limits=SafetyLimits(
        Quantities(("pan", "reach", "jaw"), ("radians", "metres", "0..100")),
        positions={"stops": [[-1.5, 1.5], [0.0, 0.4], [0, 100]]},
        velocity=[2, 0.4, 200],  # per second
        acceleration=[8, 2, 2000],
        max_jump=[0.5, 0.1, 100],  # a command may be so far from the measured state
        start_tolerance=[0.1, 0.02, 10],
        max_frozen_age=None,  # the picture may stay the same; a real camera has noise, which shows that it is alive
    ),
)
HOME = np.array([0.0, 0.2, 100.0])


class DeskArm:
    """A `Robot` (dp_hf/control/robot.py). Its methods return at once: a thread reads the arm and the camera."""

    quantities = DESK_ARM.quantities
    limits = DESK_ARM.limits  # for the commands, where they are given no --arm
    command_rate = 50.0  # commands a second that it takes
    fault: str | None = None  # a text is an emergency stop, until it is released
    finished: str | None = None  # a text ends the run

    def __init__(self, target: Sequence[float] = (0.6, 0.3)):
        self.target = np.array([*target, 0.0])
        self.joints = HOME.copy()
        self._state = self._image = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._closing.wait(0.01):
            now = time.monotonic()
            self._state = Stamped(self.joints.copy(), now)
            self._image = Stamped(picture(self.target), now)

    def read_state(self) -> Stamped | None:
        return self._state

    def read_image(self) -> Stamped | None:
        return self._image

    def send_command(self, command: np.ndarray) -> None:
        self.joints = np.array(command)

    def hold(self) -> None:
        """Its motors hold by themselves."""

    def close(self) -> None:
        self._closing.set()
        self._thread.join()


def picture(target: np.ndarray) -> np.ndarray:
    """uint8 (48, 64, 3): a bright square at the target's pan and reach."""
    image = np.full((48, 64, 3), 40, np.uint8)
    column, row = int(30 + target[0] * 16), int(40 - target[1] * 80)
    image[row : row + 8, column : column + 8] = 250
    return image


def record(output_dir: str, num_episodes: int = 60) -> None:
    """Demonstrations: from home to a target of each one's own, in a straight line; the jaw closes at the end."""
    rng = np.random.default_rng(0)
    with DatasetWriter(output_dir, ["camera"], DESK_ARM.quantities, fps=FPS, source="desk arm") as writer:
        for episode in range(num_episodes):
            target = np.array([rng.uniform(-1, 1), rng.uniform(0.1, 0.35), 0])
            way = np.linspace(HOME, [*target[:2], 100], 16)
            states = np.concatenate([way, np.linspace(way[-1], target, 5)[1:], [target] * 4])
            actions = np.concatenate([states[1:], states[-1:]])
            writer.add_episode(f"target_{episode}", [picture(target)] * len(states), states, actions)


def drive(source: str, seconds: float = 6.0, target: tuple[float, float] = (0.6, 0.3)) -> tuple[np.ndarray, Report]:
    """Lets a trained pipeline drive the arm; returns where the arm is at the end, and how the run went."""
    pipeline = load_pipeline(source)
    settings = PolicySettings.from_config(pipeline.policy.config)
    require_same(settings, DESK_ARM.quantities, source, DESK_ARM.name)
    warm_up(pipeline, settings)
    with closing(DeskArm(target)) as robot:
        controller = Controller(
            robot, pipeline, DESK_ARM.limits, settings.fps, settings.n_obs_steps, *settings.execution()
        )
        with on_signals(controller.stop):
            report = controller.run(seconds)
        return robot.joints, report


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if sys.argv[1] == "record":
        record(sys.argv[2])
    else:
        joints, report = drive(sys.argv[2])
        print(report)
        print("at", joints.round(3), "of", DESK_ARM.quantities)
