"""A topic that is listened to in the way of its publishers; that nothing comes is explained."""

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from dp_hf.control.robots.silence import SILENCE, why_silent

PERIOD = 0.2


class Listener:
    """A subscription that is made once somebody publishes: reliable if all publishers are.

    Best effort loses large images, and a reliable subscription hears nothing of a publisher that is not.

    Args:
        topic: a name as the node's parameter `parameter` has it.
        callback: called with the messages, in the thread that spins the node.
        complain: called with the reason for silence, maybe often.
    """

    def __init__(
        self,
        node: Node,
        message_type: type,
        topic: str,
        parameter: str,
        callback: Callable[[Any], None],
        complain: Callable[[str], None],
    ):
        self._node = node
        self._type = message_type
        self._kind = f"{message_type.__module__.partition('.')[0]}/msg/{message_type.__name__}"
        self._topic = node.resolve_topic_name(topic)
        self._parameter = parameter
        self._callback = callback
        self._complain = complain
        self._subscription = None
        self._is_reliable = False
        self._since = time.monotonic()
        # Also where nobody says what time it is in a simulator (use_sim_time).
        node.create_timer(PERIOD, self._look_for_publishers, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _look_for_publishers(self) -> None:
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        fitting = [publisher for publisher in publishers if publisher.topic_type == self._kind]
        if fitting:
            self._listen(all(p.qos_profile.reliability == ReliabilityPolicy.RELIABLE for p in fitting))
        elif self._subscription is None and time.monotonic() - self._since > SILENCE:
            published = [(self._topic, publisher.topic_type) for publisher in publishers]
            for name, kinds in self._node.get_topic_names_and_types():
                if name != self._topic:
                    published += [(name, kind) for kind in kinds]
            why = why_silent(self._topic, self._kind, published)
            self._complain(f"{why}: see the parameter {self._parameter}")

    def _listen(self, is_reliable: bool) -> None:
        if self._subscription is not None:
            if is_reliable == self._is_reliable:
                return
            self._node.destroy_subscription(self._subscription)
        reliability = ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=2, reliability=reliability)
        self._subscription = self._node.create_subscription(self._type, self._topic, self._callback, qos)
        self._is_reliable = is_reliable
