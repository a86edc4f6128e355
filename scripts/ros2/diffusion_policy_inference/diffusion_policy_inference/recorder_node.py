"""`recorder_node`: records demonstrations, started and finished by the service `~/record`."""

import sys
from contextlib import closing

from rclpy.node import Node
from std_srvs.srv import SetBool

from diffusion_policy_inference.rclpy_robot import RclpyRobot, declare_limits, declare_number
from diffusion_policy_inference.spinning import spinning_node
from dp_hf.control.operator import Keyboard, on_signals
from dp_hf.control.recorder import Orders, record_episodes
from dp_hf.errors import RunFailed, UserError, printable


def serve_orders(node: Node, orders: Orders) -> None:
    """`~/record` with true starts an episode, with false finishes it."""

    def record(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        orders.give("start" if request.data else "finish")
        response.success = True
        return response

    node.create_service(SetBool, "~/record", record)


def main(args: list[str] | None = None) -> int:
    with spinning_node("recorder_node", args) as node, Keyboard() as keyboard:
        logger = node.get_logger()
        output_dir = node.declare_parameter("output_dir", "demonstrations").value
        orders = Orders(keyboard.pressed)
        serve_orders(node, orders)
        try:
            with closing(RclpyRobot(node)) as robot, on_signals(lambda name: orders.give("quit")):
                fps, limits = declare_number(node, "fps", 10.0), declare_limits(node)
                logger.info(f"into {output_dir}: space or ~/record starts and finishes an episode, d discards, q quits")
                record_episodes(robot, output_dir, fps, orders.next, limits, lambda episode: logger.info(str(episode)))
        except (UserError, RunFailed) as error:
            logger.error(printable(str(error)))
            return 2 if isinstance(error, UserError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
