"""Measures the simulator, in time of one core: milliseconds a camera frame in each scene, physics against real time,
seconds an expert episode.

python scripts/benchmarks/simulation.py
"""

import argparse
import os
import time

# One thread, so that the figures are those of one core.
os.environ.setdefault("LP_NUM_THREADS", "0")

import numpy as np

from dp_hf.disturbances import TABLE
from dp_hf.simulation.environment import CONTROL_HZ, HOME
from dp_hf.simulation.expert import StackingExpert
from dp_hf.simulation.rollouts import rollout
from dp_hf.simulation.stacking import make_environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200, help="frames and control steps (default: 200)")
    repeats = parser.parse_args().repeats

    for scene, disturbances in TABLE.items():
        env = make_environment(**disturbances.options()).unwrapped
        env.reset(seed=0)
        times = sorted(
            seconds(lambda env=env: env.sensor(env.renderer.render(env.data, "front"))) for _ in range(repeats)
        )
        median, p90 = 1e3 * times[repeats // 2], 1e3 * times[9 * repeats // 10]
        print(f"424x240 frame, {scene}: median {median:.1f} ms, p90 {p90:.1f} ms")
        env.close()

    env = make_environment(cameras=())
    expert = StackingExpert(env)
    env.reset(seed=0)
    duration = seconds(lambda: [env.unwrapped.step(np.array(HOME)) for _ in range(repeats)])
    print(f"physics: {repeats / CONTROL_HZ / duration:.0f} x real time")
    duration = seconds(lambda: [rollout(env, expert, seed) for seed in range(10)]) / 10
    print(f"expert episode without images: {duration:.2f} s")


def seconds(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    main()
