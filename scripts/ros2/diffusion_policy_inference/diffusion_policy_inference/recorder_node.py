"""`recorder_node`: records demonstrations, started and finished by the service `~/record`."""

import sys
import time

from rclpy.node import Node
from std_srvs.srv import SetBool

from diffusion_policy_inference.parameters import declare, declare_arm, require_declared
from diffusion_policy_inference.rclpy_robot import RclpyRobot
from diffusion_policy_inference.spinning import spinning_node
from dp_hf.arms.limits import SafetyLimits
from dp_hf.control.operator import Keyboard, on_signals
from dp_hf.control.recorder import Orders, record_episodes
from dp_hf.control.robot import measure
from dp_hf.control.watchdog import Watchdog
from dp_hf.errors import RunFailed, UserError, printable


def serve_orders(node: Node, orders: Orders, robot: RclpyRobot, limits: SafetyLimits) -> None:
    """`~/record` with true starts an episode, with false finishes it. What would fail at once is not started."""

    def record(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        now = time.monotonic()
        image, state = measure(robot)
        reason = robot.fault or Watchdog(limits).check(now, image, state)
        if request.data and reason:
            response.success, response.message = False, reason
            return response
        orders.give("start" if request.data else "finish")
        response.success = True
        return response

    node.create_service(SetBool, "~/record", record)


def main(args: list[str] | None = None) -> int:
    try:
        with Keyboard() as keyboard:
            orders = Orders(keyboard.pressed)
            with on_signals(lambda name: orders.give("quit")), spinning_node("recorder_node", args) as node:
                return record_until_quit(node, orders)
    except RunFailed as error:
        print(printable(str(error)), file=sys.stderr)
        return 1


def record_until_quit(node: Node, orders: Orders) -> int:
    """Records what is ordered; returns the exit code."""
    logger = node.get_logger()
    try:
        output_dir = declare(node, "output_dir", "demonstrations", "folder of episodes")
        fps, arm = declare(node, "fps", 10.0, "frames a second (Hz)"), declare_arm(node)
        robot, limits = RclpyRobot(node, arm), arm.limits
        require_declared(node)
        serve_orders(node, orders, robot, limits)
        logger.info(f"into {output_dir}: space or ~/record starts and finishes an episode, d discards, q quits")
        record_episodes(robot, output_dir, fps, orders.next, limits, lambda episode: logger.info(str(episode)))
    except (UserError, RunFailed) as error:
        logger.error(printable(str(error)))
        return 2 if isinstance(error, UserError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
