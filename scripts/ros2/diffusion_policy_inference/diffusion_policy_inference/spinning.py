"""A node that is spun in a thread, while the main thread runs the control loop."""

import contextlib
import threading
from collections.abc import Iterator

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


@contextlib.contextmanager
def spinning_node(name: str, args: list[str] | None) -> Iterator[Node]:
    """The node `name`; signals are left to the caller, who brakes the arm first."""
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = Node(name)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, name="rclpy", daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.shutdown()
