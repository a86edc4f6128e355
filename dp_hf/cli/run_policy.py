"""`dp-hf run-policy`: drive a robot with a policy in real time."""

import contextlib
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dp_hf.cli.arguments import log_to_stderr, parse, run
from dp_hf.cli.given import options_given
from dp_hf.cli.policy_arguments import PolicyArguments
from dp_hf.cli.robot_arguments import NO_ARM, RobotArguments
from dp_hf.cli.watch_camera import require_nothing_of_an_arm, watch_camera
from dp_hf.errors import UserError
from dp_hf.ranges import Range

if TYPE_CHECKING:
    from dp_hf.alarm.limits import AlarmLimits
    from dp_hf.control.controller import Controller
    from dp_hf.control.planner import Policy
    from dp_hf.control.policy_settings import PolicySettings
    from dp_hf.control.recorder import FrameRecorder
    from dp_hf.control.robot import Robot
    from dp_hf.control.robots.simulated import SimulatedRobot
    from dp_hf.control.run_log import RunLog
    from dp_hf.control.tick import Tick
    from dp_hf.episodes.recording import Recording
    from dp_hf.episodes.writer import EpisodeWriter

ROBOTS = ("sim", "mycobot", "ros2", NO_ARM)


@dataclass(kw_only=True)
class RunPolicy(RobotArguments, PolicyArguments):
    """Drive a robot with a policy in real time.

    A real robot only moves with --execute; without it the commands are logged. In the terminal: space is an emergency
    stop, r releases it, t hands the arm to a person and gives it back, q ends the run. Ctrl-C and `kill` end it too;
    the arm brakes first. Exit code 1 when the run ended while the arm was held (an emergency stop that was not
    released, a camera that is late), when nothing that the policy predicted could be executed, and when the policy or
    the robot failed.
    """

    robot: str = "sim"
    """sim, the simulated arm; mycobot, a myCobot 280 at a serial port; ros2, an arm behind ROS 2 topics; none, a camera
    without an arm, for which actions are printed; or a class of your own, MODULE:CLASS or FILE.py:CLASS, which is code
    that is run"""
    pipeline: str | None = None
    """pipeline folder or Hub repository"""
    remote: str | None = None
    """ws://HOST:PORT of a `dp-hf serve-policy`, in place of --pipeline"""
    execute: bool = False
    """send commands to a real robot"""
    dry_run: bool = False
    """log commands and send none; for a real robot this is so unless --execute is given"""
    rate: Annotated[float, Range(above=0, high=1000)] | None = None
    """actions of the policy per second (Hz); default the policy's own: of its recordings, over the frames skipped"""
    n_action_steps: Annotated[int, Range(1)] | None = None
    """actions from one prediction to the next; default what the policy does"""
    duration: Annotated[float, Range(above=0)] | None = None
    """seconds until the run ends; default never"""
    record: Path | None = None
    """folder of episodes to record the run into, commands as actions, with who acted in each frame"""
    view: Annotated[int, Range(0, 65535)] | None = None
    """port at which a browser on this computer sees the run as it goes: pictures, measurements, commands, the policy's
    chunk, and why the arm is held; 0 takes a free one"""
    images_from: Path | None = None
    """episode folder: the policy sees its images in place of the camera's, and the run ends with them"""
    layout_seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """with --robot sim: the layout of the cubes"""
    person: Literal["expert", "keyboard"] = "expert"
    """with --robot sim, who acts when the arm is handed over: the expert that records demonstrations; or you, by keys
    in this terminal: w s a d lead the tool up, down, left and right in the camera's picture (see it by --view), e lifts
    and c lowers it, z x turn it, g closes and opens the gripper"""
    on_alarm: Literal["hold", "retry", "person", "end", "off"] = "hold"
    """what happens when a policy that was calibrated (`dp-hf calibrate-alarm`) does not know what it does: the arm is
    held until r or t; it opens the gripper, goes straight back to where the run began and tries again, three times at
    most, and is held then; it is held, and handed to the person; the run ends, with exit code 1; nothing is watched"""
    state: list[Annotated[float, Range()]] | None = None
    """with --robot none, for a policy with proprioception: where the arm is said to be, its numbers in their order"""


def main(argv: list[str] | None = None) -> int:
    return run(run_policy, parse(RunPolicy, argv, "dp-hf run-policy"))


def run_policy(arguments: RunPolicy) -> int:
    if (arguments.pipeline is None) == (arguments.remote is None):
        raise UserError("give either --pipeline or --remote")
    if arguments.execute and arguments.dry_run:
        raise UserError("give either --execute or --dry_run")
    log_to_stderr(arguments.verbose)
    from dp_hf.arms.matching import require_same
    from dp_hf.control.clock import punctual_interpreter
    from dp_hf.control.controller import Controller
    from dp_hf.control.live_page import LivePage
    from dp_hf.control.on_alarm import OnAlarm
    from dp_hf.control.operator import Keyboard, on_signals
    from dp_hf.episodes.recording import Recording, require_room

    arguments.require_fitting(arguments.robot, ROBOTS)
    if arguments.robot != "sim" and (given := options_given(arguments, ("person", "layout_seed"))):
        raise UserError(f"--{given[0]} is of --robot sim; with --robot {arguments.robot} leave it out")
    if arguments.robot == NO_ARM:
        require_nothing_of_an_arm(arguments)
        policy, settings, _ = _load_policy(arguments)
        return watch_camera(arguments, policy, settings, _warmed_up(policy, settings, arguments.rate))
    if arguments.state is not None:
        raise UserError(f"--state is of --robot none; --robot {arguments.robot} says where it is: leave it out")
    limits = arguments.safety_limits(arguments.robot)
    arm = limits.quantities
    policy, settings, alarm = _load_policy(arguments)
    require_same(settings, arm, arguments.pipeline or str(arguments.remote), f"--robot {arguments.robot}")
    execution = settings.execution(arguments.n_action_steps)
    rate = _warmed_up(policy, settings, arguments.rate)
    on_alarm = OnAlarm(arguments.on_alarm)
    why_none = {} if arguments.remote is None else {"why_none": "a policy on another computer cannot be watched"}
    watched, said = on_alarm.watched(policy, settings, execution, rate, alarm, **why_none)
    print(said, flush=True)
    recording = Recording.of(arm, rate)
    if arguments.record is not None:
        require_room(arguments.record, recording)
    with contextlib.ExitStack() as stack:
        keys: deque[str] = deque()
        robot = stack.enter_context(_connected(arguments, settings, keys))
        doubt = None if watched is None else watched.watch
        controller = Controller(
            robot,
            watched or policy,
            limits,
            rate,
            settings.n_obs_steps,
            *execution,
            doubt=doubt,
            retries=on_alarm.retries,
        )
        on_alarm.require_possible(controller.takeover.person)
        controller.observers.append(lambda tick: on_alarm(controller))
        keyboard = stack.enter_context(Keyboard())
        if arguments.person == "keyboard" and not keyboard.is_there:
            raise UserError("--person keyboard: there is no terminal that keys could come from")
        if (person := controller.takeover.person) is not None and keyboard.is_there:
            print(f"t hands the arm to {person.who}, and t gives it back", flush=True)
        controller.observers.append(lambda tick: _obey(keyboard.pressed(), controller, keys))
        if arguments.record is not None:
            controller.observers.append(stack.enter_context(_recording(arguments.record, recording, rate, controller)))
        if arguments.view is not None:
            page = stack.enter_context(LivePage(controller, arguments.view))
            controller.observers.append(page)
            print(f"see the run at {page.address}", flush=True)
        stack.enter_context(on_signals(controller.stop))
        stack.enter_context(punctual_interpreter())
        report = controller.run(arguments.duration)
    print(report)
    if controller.trouble is not None:
        print(f"the run ended in trouble: {controller.trouble}", file=sys.stderr)
    return 0 if controller.trouble is None else 1


def _warmed_up(policy: "Policy", settings: "PolicySettings", asked: float | None) -> float:
    """Says how long an inference takes, and what the rate is; returns the rate."""
    from dp_hf.control.warm_up import warm_up
    from dp_hf.pipelines.execution import choose_rate

    print(f"inference takes {1000 * warm_up(policy, settings):.0f} ms", flush=True)
    rate, said = choose_rate(settings, asked)
    print(said, flush=True)
    return rate


def _load_policy(arguments: RunPolicy) -> "tuple[Policy, PolicySettings, AlarmLimits | None]":
    if arguments.pipeline is not None:
        return arguments.load_policy(arguments.pipeline)
    try:
        from dp_hf.control.remote.client import RemotePolicy
    except ImportError as error:
        raise UserError(f"--remote needs websockets and msgpack: pip install 'dp_hf[serve]' ({error})") from error
    remote = RemotePolicy(str(arguments.remote), arguments.token())
    return remote, remote.settings, None


@contextlib.contextmanager
def _connected(arguments: RunPolicy, settings: "PolicySettings", keys: deque[str]) -> "Iterator[Robot]":
    from dp_hf.control.aspect import SameAspect

    with contextlib.ExitStack() as stack:
        robot = (
            simulated_robot(settings, arguments.layout_seed, keys if arguments.person == "keyboard" else None)
            if arguments.robot == "sim"
            else arguments.connect(arguments.robot)
        )
        stack.callback(robot.close)
        if arguments.images_from is not None:
            from dp_hf.control.robots.replayed import ReplayedImages

            robot = ReplayedImages(robot, arguments.images_from, settings.fps)
        robot = SameAspect(robot, settings)
        if arguments.dry_run or (arguments.robot != "sim" and not arguments.execute):
            from dp_hf.control.robot import DryRun

            print("dry run: the commands are logged; give --execute to send them", flush=True)
            robot = DryRun(robot)
        yield robot


def simulated_robot(settings: "PolicySettings", layout_seed: int, keys: deque[str] | None = None) -> "SimulatedRobot":
    """The simulated arm, with the cameras that the policy sees; it is taken by these keys, or by the expert."""
    from dp_hf.arms.mycobot_280 import SIMULATED_MYCOBOT_280
    from dp_hf.control.robots.simulated import SimulatedRobot
    from dp_hf.simulation.stacking import STACKING, make_environment
    from dp_hf.simulation.teleoperation import HELP, Teleoperation

    cameras = STACKING.cameras_of(settings.camera_names)
    quantities = SIMULATED_MYCOBOT_280.quantities
    make = partial(make_environment, cameras=cameras)
    if keys is None:
        return SimulatedRobot(make, quantities, layout_seed, make_expert=STACKING.make_expert)
    return SimulatedRobot(
        make,
        quantities,
        layout_seed,
        make_expert=lambda env, seed: Teleoperation(env, keys),
        who=f"you, by keys ({HELP})",
    )


def _obey(key: str | None, controller: "Controller", others: deque[str]) -> None:
    """Does what a key says; what is none of this command's goes to the `others`."""
    if key == " ":
        controller.emergency_stop("the space key")
    elif key == "t":
        controller.toggle_person()
    elif key == "r":
        controller.reset()
    elif key == "q":
        controller.stop("the q key")
    elif key is not None:
        others.append(key)


@contextlib.contextmanager
def _recording(
    data_dir: Path, recording: "Recording | None", fps: float, controller: "Controller"
) -> "Iterator[Callable[[Tick], None]]":
    """An observer that records the run; an episode that ends while the arm is held is marked as failed.

    The run's report, with every border between chunks, lies in the episode's folder, however the run ends.
    """
    from dp_hf.control.recorder import FrameRecorder
    from dp_hf.control.run_log import RunLog
    from dp_hf.episodes.writer import EpisodeWriter

    log = RunLog(controller)
    controller.observers.append(log)
    with (
        contextlib.ExitStack() as afterwards,
        EpisodeWriter(data_dir, recording=recording) as writer,
        FrameRecorder(writer, fps) as recorder,
    ):
        afterwards.callback(_keep_report, writer, recorder, log, controller)
        yield lambda tick: recorder.offer(tick.time, tick.image, tick.state, tick.command, tick.actor)
        if controller.trouble is not None:
            writer.fail(controller.trouble)


def _keep_report(writer: "EpisodeWriter", recorder: "FrameRecorder", log: "RunLog", controller: "Controller") -> None:
    """Beside the frames of an episode that has come to its end."""
    from dp_hf.control.report import REPORT_FILE
    from dp_hf.files import file_written_beside

    if not writer.path.is_dir():  # it could not be finished
        return
    log.run(recorder.started_at).write(writer.path)
    with file_written_beside(writer.path / REPORT_FILE) as file:
        file.write_text(json.dumps(controller.report.to_dict(), indent=1) + "\n", encoding="utf-8")
    print(f"recorded {writer.path}: {recorder.num_frames} frames, {recorder.num_dropped} dropped")
