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
    ending = threading.Event()

    def spin() -> None:
        # `executor.shutdown` takes away what `executor.spin` waits with, in its thread.
        while not ending.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin, name="rclpy", daemon=True)
    thread.start()
    try:
        yield node
    finally:
        ending.set()
        thread.join()
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()
