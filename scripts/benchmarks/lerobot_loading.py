"""Times LeRobot's data loader; run by the Python of --lerobot_python, prints JSON.

python scripts/benchmarks/lerobot_loading.py FOLDER '{"horizon": 16, "n_obs_steps": 2, "batch_size": 32}'
"""

import json
import sys
import time

import lerobot
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main() -> None:
    options = json.loads(sys.argv[2])
    meta = LeRobotDataset("benchmark/recordings", root=sys.argv[1]).meta
    observed = [i / meta.fps for i in range(1 - options["n_obs_steps"], 1)]
    deltas = {"action": [i / meta.fps for i in range(options["horizon"])], "observation.state": observed}
    deltas |= {camera: observed for camera in meta.camera_keys}
    dataset = LeRobotDataset("benchmark/recordings", root=sys.argv[1], delta_timestamps=deltas)
    loader = iter(torch.utils.data.DataLoader(dataset, options["batch_size"], shuffle=True))
    next(loader)  # opens the files
    start = time.perf_counter()
    windows = sum(len(batch["action"]) for batch in loader)
    rate = windows / (time.perf_counter() - start)
    print(json.dumps({"version": lerobot.__version__, "windows a second": rate}))


if __name__ == "__main__":
    main()
