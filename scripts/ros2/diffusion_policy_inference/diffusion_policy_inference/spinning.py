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
LOOPBACK_PROFILES = Path(__file__).with_name("fast_dds_loopback.xml")


def receive_large_images() -> None:
    """Before `rclpy.init`: what Fast DDS needs for it, where the user has not chosen otherwise.

    Through shared memory it loses images that are larger than half a megabyte, and over the network those larger than
    the socket's buffer.
    """
    profiles = PROFILES
    if _only_this_computer() and not os.environ.get("FASTDDS_BUILTIN_TRANSPORTS"):
        # There rmw_fastrtps has transports of its own, with shared memory; these profiles reach as far.
        profiles = LOOPBACK_PROFILES
    os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
    variable = "FASTRTPS" if _is_before_fast_dds_3() else "FASTDDS"
    if any(os.environ.get(f"{name}_DEFAULT_PROFILES_FILE") for name in ("FASTDDS", "FASTRTPS")):
        return
    os.environ[f"{variable}_DEFAULT_PROFILES_FILE"] = str(profiles)
    if profiles == LOOPBACK_PROFILES:
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"


def _only_this_computer() -> bool:
    """Whether Fast DDS is asked to find nothing but what runs here."""
    names = ("AUTOMATIC_DISCOVERY_RANGE", "STATIC_PEERS", "LOCALHOST_ONLY")
    asked = {name: os.environ.get(f"ROS_{name}") for name in names}
    is_fast_dds = rclpy.get_rmw_implementation_identifier().startswith("rmw_fastrtps")
    return is_fast_dds and asked.pop("AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST" and not any(asked.values())


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
