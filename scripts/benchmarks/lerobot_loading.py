"""LeRobot's data loader, to be timed: run by LeRobot's Python for `beside_lerobot.py`, which asks by lines of input.

Options: {"folder": "...", "horizon": 16, "n_obs_steps": 2, "batch_size": 32}; an epoch of one process is timed.
"""

import json
import sys
import time

import lerobot
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main() -> None:
    options = json.loads(sys.argv[1])
    meta = LeRobotDataset("benchmark/recordings", root=options["folder"]).meta
    observed = [i / meta.fps for i in range(1 - options["n_obs_steps"], 1)]
    deltas = {"action": [i / meta.fps for i in range(options["horizon"])], "observation.state": observed}
    deltas |= {camera: observed for camera in meta.camera_keys}
    dataset = LeRobotDataset("benchmark/recordings", root=options["folder"], delta_timestamps=deltas)
    loader = torch.utils.data.DataLoader(dataset, options["batch_size"], shuffle=True)
    next(iter(loader))  # opens the files
    for _ in sys.stdin:
        start = time.process_time()
        windows = sum(len(batch["action"]) for batch in loader)
        seconds = time.process_time() - start
        print(json.dumps({"version": lerobot.__version__, "windows": windows, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
