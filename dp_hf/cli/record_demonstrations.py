"""`dp-hf record-demonstrations`: fill a folder with demonstrations of the simulated expert, or of a real robot."""

import contextlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.environment_arguments import EnvironmentArguments
from dp_hf.cli.given import options_given
from dp_hf.cli.robot_arguments import RobotArguments
from dp_hf.cli.task_arguments import TaskArguments
from dp_hf.cli.worker_arguments import WorkerArguments
from dp_hf.errors import UserError
from dp_hf.models.policy_config import require_different
from dp_hf.ranges import Range

ROBOTS = ("sim", "mycobot", "ros2")


@dataclass(kw_only=True)
class RecordDemonstrations(TaskArguments, EnvironmentArguments, RobotArguments, WorkerArguments):
    """Record demonstrations as episode folders; those of a --task_file become a dataset.

    In the simulator, a run that was cut off goes on when it is started again: what OUTPUT_DIR holds already is counted.
    With --limits its expert keeps those, so that an arm that has them can follow what is learned from it.
    With a real robot, which somebody else moves, space starts and finishes an episode, d discards it, q ends the
    session; with --robot ros2 so do true and false on the topic /record_episode (std_msgs/Bool).
    """

    output_dir: Path
    """folder of episodes, or of the dataset"""
    num_episodes: Annotated[int, Range(1)] = 200
    """demonstrations that the folder shall hold; those that failed are marked as failed and not counted"""
    robot: str = "sim"
    """what is recorded: sim, the expert in the simulator; mycobot, at a serial port; ros2, behind ROS 2 topics; or a
    class of your own, MODULE:CLASS or FILE.py:CLASS, which is code that is run"""
    fps: Annotated[float, Range(above=0, high=1000)] = 10.0
    """frames per second, of a real robot"""
    relaxed: bool = False
    """with --robot mycobot: switch the joints' motors off, to guide the arm by hand; it drops, so hold it"""
    layout_seed: Annotated[int, Range()] = 0
    """first layout; each demonstration takes the next one (0 to 1048575: evaluation never uses these)"""
    noise: Annotated[float, Range(0)] | None = None
    """standard deviation of the noise on the executed actions, in their unit; the clean action is recorded, and a
    gripper has none; default 0.5 degrees, or as the task file says"""
    noise_phases: Literal["all", "place"] = "all"
    """when there is noise: all the time, or while the cube is carried and placed"""
    success_steps: Annotated[int, Range(1)] | None = None
    """with --task_file: steps in a row that success must hold before a demonstration ends and counts; default as the
    task file says"""
    camera_names: tuple[str, ...] | None = None
    """of front, side, wrist, default front; with --task_file of the task's, default all"""


OF_SIMULATOR = (
    *(entry.name for owner in (TaskArguments, EnvironmentArguments, WorkerArguments) for entry in fields(owner)),
    *("num_episodes", "layout_seed", "noise", "noise_phases", "success_steps", "camera_names"),
)
OF_ROBOT = ("fps", "relaxed")


def main(argv: list[str] | None = None) -> int:
    old_names = {"seed": "layout_seed", "cameras": "camera_names"}
    return run(record, parse(RecordDemonstrations, argv, "dp-hf record-demonstrations", old_names=old_names))


def record(arguments: RecordDemonstrations) -> int:
    arguments.require_fitting(arguments.robot, ROBOTS)
    others, whose = (OF_ROBOT, "a real robot") if arguments.robot == "sim" else (OF_SIMULATOR, "the simulator")
    if given := options_given(arguments, others):
        raise UserError(f"--{given[0]} is for {whose}; with --robot {arguments.robot} nobody looks at it: leave it out")
    if arguments.robot != "sim":
        return record_real_robot(arguments)
    workers = arguments.workers(writes=[arguments.output_dir])
    if arguments.camera_names == ():
        raise UserError("--camera_names is empty: a demonstration has the pictures of at least one camera")
    require_different("camera_names", arguments.camera_names or ())
    task = arguments.task(arguments.success_steps)
    arguments.require_own_scene(options_given(arguments, ("noise_phases", "limits")))
    if arguments.task_file is not None:
        from dp_hf.tasks.recording import record_dataset

        report = record_dataset(
            task,
            arguments.output_dir,
            arguments.num_episodes,
            arguments.layout_seed,
            arguments.noise,
            arguments.camera_names or (),
            workers,
        )
    else:
        from dp_hf.simulation.recording import record_demonstrations

        report = record_demonstrations(
            arguments.output_dir,
            arguments.num_episodes,
            arguments.layout_seed,
            0.5 if arguments.noise is None else arguments.noise,
            arguments.noise_phases,
            arguments.environment(arguments.camera_names or task.cameras),
            workers,
            None if arguments.limits is None else arguments.safety_limits("sim"),
        )
    print(
        f"{arguments.output_dir}: {report.num_episodes} demonstrations, {report.num_recorded} of them recorded now; "
        f"{report.num_failed} failed"
    )
    return 0


def record_real_robot(arguments: RecordDemonstrations) -> int:
    from dp_hf.control.operator import Keyboard, on_signals
    from dp_hf.control.recorder import Orders, record_episodes
    from dp_hf.control.robots.ros2 import Ros2Robot

    limits = arguments.safety_limits(arguments.robot)
    robot = arguments.connect(arguments.robot, arguments.relaxed)
    with contextlib.closing(robot), Keyboard() as keyboard:
        orders = Orders(keyboard.pressed)
        if isinstance(robot, Ros2Robot):
            robot.on_record_topic(lambda record: orders.give("start" if record else "finish"))
        print("space starts and finishes an episode, d discards it, q quits", flush=True)
        with on_signals(lambda name: orders.give("quit")):
            record_episodes(robot, arguments.output_dir, arguments.fps, orders.next, limits, print)
    return 0
