"""`dp-hf record-demonstrations`: fill a folder with demonstrations of the simulated expert."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.environment_arguments import EnvironmentArguments


@dataclass(kw_only=True)
class RecordDemonstrations(EnvironmentArguments):
    """Record demonstrations as episode folders.

    A run that was cut off goes on when it is started again: what OUTPUT_DIR holds already is counted.
    """

    output_dir: Path
    """folder of episodes"""
    num_episodes: int = 200
    """demonstrations that the folder shall hold; those that failed are marked as failed and not counted"""
    robot: Literal["sim"] = "sim"
    """what is recorded: sim, the expert in the simulator"""
    seed: int = 0
    """first layout; each demonstration takes the next one (0 to 1048575: evaluation never uses these)"""
    noise: float = 0.5
    """standard deviation of the noise on the executed joint angles, degrees; the clean action is recorded"""
    noise_phases: Literal["all", "place"] = "all"
    """when there is noise: all the time, or while the cube is carried and placed"""
    cameras: tuple[str, ...] = ("front",)
    """of front, side, wrist"""
    num_workers: int = 1
    """processes that record at the same time"""


def main(argv: list[str] | None = None) -> int:
    return run(record, parse(RecordDemonstrations, argv, "record-demonstrations"))


def record(arguments: RecordDemonstrations) -> int:
    from dp_hf.simulation.recording import record_demonstrations

    report = record_demonstrations(
        arguments.output_dir,
        arguments.num_episodes,
        arguments.seed,
        arguments.noise,
        arguments.noise_phases,
        arguments.environment(arguments.cameras),
        arguments.num_workers,
    )
    print(
        f"{arguments.output_dir}: {report.num_episodes} demonstrations, {report.num_recorded} of them recorded now; "
        f"{report.num_failed} failed"
    )
    return 0
