"""`model_inference_node`: drives the arm with a policy, at its own rate or at `inference_rate`."""

import logging
import sys
from functools import partial
from pathlib import Path

from rclpy.node import Node
from std_srvs.srv import Trigger

from diffusion_policy_inference.parameters import Execute, declare, declare_arm, require_declared
from diffusion_policy_inference.rclpy_robot import RclpyRobot
from diffusion_policy_inference.spinning import spinning_node
from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.matching import require_same
from dp_hf.control.aspect import SameAspect
from dp_hf.control.clock import punctual_interpreter
from dp_hf.control.controller import Controller
from dp_hf.control.on_alarm import OnAlarm
from dp_hf.control.operator import on_signals
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.control.robot import DryRun
from dp_hf.control.warm_up import warm_up
from dp_hf.errors import RunFailed, UserError, printable
from dp_hf.files import user_place
from dp_hf.pipelines.execution import choose_rate


def find_pipeline(checkpoint_path: str, model_dir: str) -> str:
    """The pipeline folder or Hub repository that the parameters name.

    `checkpoint_path` is looked for in `model_dir` first; without it, `model_dir` is the pipeline.
    """
    checkpoint_path, model_dir = user_place(checkpoint_path), user_place(model_dir)
    inside = Path(model_dir, checkpoint_path)
    found = str(inside) if model_dir and inside.exists() else checkpoint_path or model_dir
    if not found:
        raise UserError("give checkpoint_path: a pipeline folder, or a repository on the Hub")
    return found


def make_controller(node: Node, robot: RclpyRobot, limits: SafetyLimits) -> Controller:
    """The controller that the node's parameters describe."""
    checkpoint_path = declare(node, "checkpoint_path", "", "pipeline folder, or repository on the Hub")
    model_dir = declare(node, "model_dir", "", "folder that checkpoint_path is in")
    asked_rate = declare(node, "inference_rate", 0.0, "actions a second (Hz); 0 is the policy's own rate")
    num_inference_steps = declare(node, "num_inference_steps", 0, "denoising steps; 0 takes the pipeline's")
    answer = declare(
        node,
        "on_alarm",
        "hold",
        "when a calibrated policy does not know what it does: hold until ~/reset, retry, end or off",
    )
    execute = Execute(node)
    require_declared(node)
    on_alarm = OnAlarm(answer)
    source = find_pipeline(checkpoint_path, model_dir)

    import torch  # takes seconds, in which Ctrl-C shall be obeyed

    from dp_hf.pipelines.loading import load_pipeline

    pipeline = load_pipeline(source)
    settings = PolicySettings.from_config(pipeline.policy.config)
    require_same(settings, robot.quantities, source, "this node's arm")
    noise = torch.Generator().manual_seed(0)
    policy = partial(pipeline, num_inference_steps=num_inference_steps or None, generator=noise)
    node.get_logger().info(f"{source}: inference takes {1000 * warm_up(policy, settings):.0f} ms")
    rate, said = choose_rate(settings, asked_rate or None)
    node.get_logger().info(said)
    execution = settings.execution()
    watched, said = on_alarm.watched(policy, settings, execution, rate, pipeline.alarm)
    node.get_logger().info(said)
    seen = SameAspect(robot, settings)
    driven = seen if execute.at_start else DryRun(seen)
    controller = Controller(
        driven,
        watched or policy,
        limits,
        rate,
        settings.n_obs_steps,
        *execution,
        doubt=None if watched is None else watched.watch,
        retries=on_alarm.retries,
    )
    on_alarm.require_possible(controller.takeover.person)
    controller.observers.append(lambda tick: on_alarm(controller))
    execute.of(controller)
    if not execute.at_start:
        node.get_logger().warning("dry run: commands are logged; start the node with execute:=true to send them")
    return controller


def serve_emergency_stop(node: Node, controller: Controller) -> None:
    """Services `~/emergency_stop`, which latches, and `~/reset`."""

    def stop(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        controller.emergency_stop("the service ~/emergency_stop")
        response.success = True
        return response

    def reset(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        controller.reset()
        response.success = True
        return response

    node.create_service(Trigger, "~/emergency_stop", stop)
    node.create_service(Trigger, "~/reset", reset)


class _Stopped(BaseException):
    """By a signal. After a KeyboardInterrupt out of some imports Python kills itself, though it was caught."""


def main(args: list[str] | None = None) -> int:
    logging.basicConfig(format="[%(name)s] %(message)s")
    logging.getLogger("dp_hf").setLevel(logging.INFO)
    controller: Controller | None = None
    stopped_by: str | None = None

    def stop(name: str) -> None:
        nonlocal stopped_by
        stopped_by = name
        if controller is None:  # there is nothing to brake yet
            raise _Stopped
        controller.stop(name)

    try:
        with on_signals(stop), spinning_node("model_inference_node", args) as node:
            try:
                arm = declare_arm(node)
                controller = make_controller(node, RclpyRobot(node, arm), arm.limits)
                if stopped_by is not None:  # and an import has swallowed it
                    controller = None
                    raise _Stopped
                serve_emergency_stop(node, controller)
                with punctual_interpreter():
                    node.get_logger().info(str(controller.run()))
                if controller.trouble is not None:
                    node.get_logger().error(f"the run ended in trouble: {printable(controller.trouble)}")
                    return 1
            except (UserError, RunFailed) as error:
                node.get_logger().error(printable(str(error)))
                return 2 if isinstance(error, UserError) else 1
    except RunFailed as error:
        logging.getLogger("dp_hf").error(printable(str(error)))
        return 1
    except BaseException:  # a class that is being made turns _Stopped into a RuntimeError
        if stopped_by is None or controller is not None:
            raise
        logging.getLogger("dp_hf").info("stopped before the start: %s", stopped_by)
    return 0


if __name__ == "__main__":
    sys.exit(main())
