"""`model_inference_node`: drives the arm with a policy, at its own rate or at `inference_rate`."""

import logging
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import torch
from rclpy.node import Node
from std_srvs.srv import Trigger

from diffusion_policy_inference.rclpy_robot import RclpyRobot, declare_limits, declare_number
from diffusion_policy_inference.spinning import spinning_node
from dp_hf.arms.matching import require_same
from dp_hf.control.aspect import SameAspect
from dp_hf.control.clock import punctual_interpreter
from dp_hf.control.controller import Controller
from dp_hf.control.operator import on_signals
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.control.robot import DryRun
from dp_hf.control.warm_up import warm_up
from dp_hf.errors import RunFailed, UserError, printable
from dp_hf.files import user_place
from dp_hf.pipelines.execution import choose_rate
from dp_hf.pipelines.loading import load_pipeline


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


def make_controller(node: Node, robot: RclpyRobot) -> Controller:
    """The controller that the node's parameters describe."""
    checkpoint_path = node.declare_parameter("checkpoint_path", "").value
    model_dir = node.declare_parameter("model_dir", "").value
    asked_rate = declare_number(node, "inference_rate", 0.0)
    num_inference_steps = node.declare_parameter("num_inference_steps", 0).value
    execute = node.declare_parameter("execute", False).value
    limits = declare_limits(node)

    source = find_pipeline(checkpoint_path, model_dir)
    pipeline = load_pipeline(source)
    settings = PolicySettings.from_config(pipeline.policy.config)
    require_same(settings, robot.quantities, source, "this node's arm")
    noise = torch.Generator().manual_seed(0)
    policy = partial(pipeline, num_inference_steps=num_inference_steps or None, generator=noise)
    node.get_logger().info(f"{source}: inference takes {1000 * warm_up(policy, settings):.0f} ms")
    if execute:
        robot.wait_for_controllers()
    else:
        node.get_logger().warning("dry run: commands are logged; set the parameter execute to send them")
    rate, said = choose_rate(settings, asked_rate or None)
    node.get_logger().info(said)
    seen = SameAspect(robot, settings)
    driven = seen if execute else DryRun(seen)
    return Controller(driven, policy, limits, rate, settings.n_obs_steps, *settings.execution())


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


def main(args: list[str] | None = None) -> int:
    logging.basicConfig(format="[%(name)s] %(message)s")
    logging.getLogger("dp_hf").setLevel(logging.INFO)
    with spinning_node("model_inference_node", args) as node:
        try:
            with closing(RclpyRobot(node)) as robot:
                controller = make_controller(node, robot)
                serve_emergency_stop(node, controller)
                with on_signals(controller.stop), punctual_interpreter():
                    node.get_logger().info(str(controller.run()))
        except (UserError, RunFailed) as error:
            node.get_logger().error(printable(str(error)))
            return 2 if isinstance(error, UserError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
