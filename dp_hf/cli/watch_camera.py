"""`dp-hf run-policy --robot none`: what a policy would do with a camera's pictures, and no arm."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dp_hf.arms.undescribed import quantities_of
from dp_hf.cli.action_table import heading, row
from dp_hf.cli.given import options_given
from dp_hf.errors import UserError

if TYPE_CHECKING:
    from dp_hf.cli.run_policy import RunPolicy
    from dp_hf.control.planner import Policy
    from dp_hf.control.policy_settings import PolicySettings
    from dp_hf.control.robot import Robot


def watch_camera(arguments: "RunPolicy", policy: "Policy", settings: "PolicySettings", rate: float) -> int:
    """Prints the first action of every prediction, and at the end the rate; returns the exit code."""
    from dp_hf.control.clock import punctual_interpreter
    from dp_hf.control.live import predict_live
    from dp_hf.control.operator import Keyboard, on_signals

    quantities = quantities_of(settings, "action")
    stopped: list[str] = []
    with contextlib.ExitStack() as stack:
        robot = stack.enter_context(_camera(arguments, settings))
        keyboard = stack.enter_context(Keyboard())
        stack.enter_context(on_signals(stopped.append))
        stack.enter_context(punctual_interpreter())
        print(f"{quantities}\n{heading(quantities, '  seconds')}", flush=True)
        report = predict_live(
            robot,
            policy,
            settings,
            rate,
            lambda seconds, actions: print(row(quantities, f"{seconds:9.2f}", actions[0]), flush=True),
            lambda: bool(stopped) or keyboard.pressed() == "q",
            arguments.duration,
        )
    print(report)
    return 0 if report.predictions else 1


def require_nothing_of_an_arm(arguments: "RunPolicy") -> None:
    """Refuses options that only an arm would look at, and a camera where an episode has the pictures."""
    if arguments.images_from is not None:
        arguments.require_no_camera("--images_from has the pictures")
    given = options_given(arguments, ("execute", "record", "view", "limits", "n_action_steps"))
    if wrong := [f"--{name}" for name in given]:
        raise UserError(f"{', '.join(wrong)}: there is no arm with --robot none; leave it out")


@contextlib.contextmanager
def _camera(arguments: "RunPolicy", settings: "PolicySettings") -> "Iterator[Robot]":
    from dp_hf.control.aspect import SameAspect
    from dp_hf.control.camera import OpenCvCamera
    from dp_hf.control.robots.camera_only import CameraOnly
    from dp_hf.control.robots.replayed import ReplayedImages

    if len(settings.camera_names) > 1 and arguments.images_from is None:
        cameras = f"{len(settings.camera_names)} cameras ({', '.join(settings.camera_names)})"
        raise UserError(f"this policy sees {cameras}, and --camera is one: give --images_from EPISODE")
    quantities = quantities_of(settings, "state")
    if settings.use_proprioception and arguments.state is None:
        raise UserError(f"this policy sees the arm's state, and there is none: give --state, {quantities}")
    if not settings.use_proprioception and arguments.state is not None:
        raise UserError("this policy sees no state: leave --state out")
    state = arguments.state or [0.0] * len(quantities)
    robot: Robot = CameraOnly(None if arguments.images_from else OpenCvCamera(arguments.camera), quantities, state)
    try:
        if arguments.images_from is not None:
            robot = ReplayedImages(robot, arguments.images_from, settings.fps)
        yield SameAspect(robot, settings)
    finally:
        robot.close()
