"""A node that is spun in a thread, while the main thread runs the control loop."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from dp_hf.errors import failure

BEFORE_FAST_DDS_3 = ("humble", "iron", "jazzy")
LOADED = Path("/proc/self/maps")
PROFILES = Path(__file__).with_name("fast_dds.xml")


def receive_large_images() -> None:
    """Before `rclpy.init`: what Fast DDS needs for it, where the user has not chosen otherwise.

    Through shared memory it loses images that are larger than half a megabyte, and over the network those larger than
    the socket's buffer.
    """
    os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
    variable = "FASTRTPS" if _is_before_fast_dds_3() else "FASTDDS"
    if not any(os.environ.get(f"{name}_DEFAULT_PROFILES_FILE") for name in ("FASTDDS", "FASTRTPS")):
        os.environ[f"{variable}_DEFAULT_PROFILES_FILE"] = str(PROFILES)


def _is_before_fast_dds_3() -> bool:
    """By the library itself, where that can be seen: ROS_DISTRO is not set by ROS 2's wheels."""
    rclpy.get_rmw_implementation_identifier()  # loads it
    if not LOADED.exists():
        return os.environ.get("ROS_DISTRO") in BEFORE_FAST_DDS_3
    return "/libfastrtps." in LOADED.read_text()


@contextlib.contextmanager
def spinning_node(name: str, args: list[str] | None) -> Iterator[Node]:
    """The node `name`; signals are left to the caller, who brakes the arm first.

    Raises:
        RunFailed: at the end, for what was raised where the node was spun, by a callback or by rclpy; the process has
            been told to end (SIGTERM) when that happened.
    """
    receive_large_images()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = Node(name)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ending = threading.Event()
    ended_by: list[Exception] = []

    def spin() -> None:
        # `executor.shutdown` takes away what `executor.spin` waits with, in its thread.
        try:
            while not ending.is_set():
                executor.spin_once(timeout_sec=0.1)
        except Exception as error:
            ended_by.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

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
        if ended_by:
            raise failure("the node's thread", ended_by[0]) from ended_by[0]
