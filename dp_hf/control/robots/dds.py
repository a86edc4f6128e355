"""Publish and subscribe to ROS 2 topics through Cyclone DDS."""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication
from cyclonedds.core import DDSException, InstanceState, ReadCondition, SampleState, ViewState, WaitSet
from cyclonedds.domain import DomainParticipant
from cyclonedds.internal import InvalidSample
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

from dp_hf.control.robots.ros2_network import choose_domain_id, cyclone_configuration
from dp_hf.control.robots.silence import SILENCE, why_silent
from dp_hf.errors import UserError, printable

logger = logging.getLogger(__name__)

MANY = 10_000  # topics

_BEST_EFFORT = (Policy.Reliability.BestEffort, Policy.History.KeepLast(1))
_RELIABLE = (Policy.Reliability.Reliable(duration(milliseconds=100)), Policy.History.KeepLast(20))


def _participant(domain_id: int) -> DomainParticipant:
    # Cyclone reads its configuration when a process enters a domain first, from nowhere else.
    given = os.environ.get("CYCLONEDDS_URI")
    os.environ["CYCLONEDDS_URI"] = cyclone_configuration()
    try:
        return DomainParticipant(domain_id)
    except DDSException as error:
        configured = f" or CYCLONEDDS_URI is at fault, {given!r}" if given else ""
        raise UserError(f"ROS domain {domain_id} cannot be entered: no network{configured} ({error.msg})") from error
    finally:
        del os.environ["CYCLONEDDS_URI"]
        if given is not None:
            os.environ["CYCLONEDDS_URI"] = given


class Dds:
    """A participant in a ROS domain, on the network that ROS's environment variables and `CYCLONEDDS_URI` name.

    Args:
        domain_id: the ROS_DOMAIN_ID; None takes the environment's.

    Raises:
        UserError: there is no such network.
    """

    def __init__(self, domain_id: int | None = None):
        self._participant = _participant(choose_domain_id(domain_id))
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def publisher(self, topic: str, message_type: type, kind: str = "rt") -> "Publisher":
        """What publishes messages, reliably, on `topic` (its ROS name, `/joint_states`); of requests `kind` is rq."""
        return Publisher(DataWriter(self._participant, self._topic(topic, message_type, kind), qos=Qos(*_RELIABLE)))

    def subscribe(
        self,
        topic: str,
        message_type: type,
        callback: Callable[[Any], None],
        reliable: bool = False,
        option: str | None = None,
    ) -> None:
        """Calls `callback` in a thread with the messages on `topic`.

        Best effort, the default, matches publishers of both kinds, and only the latest message counts. Messages that
        cannot be read, and those that `callback` answers with a `ValueError`, are dropped with a warning.

        Args:
            option: that names the topic; where it is given and nobody publishes for 3 s, a warning says what there is.
        """
        qos = Qos(*(_RELIABLE if reliable else _BEST_EFFORT))
        reader = DataReader(self._participant, self._topic(topic, message_type), qos=qos)
        arguments = (topic, reader, callback, option)
        thread = threading.Thread(target=self._listen, args=arguments, name=topic, daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Leaves the domain."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        del self._participant

    def _topic(self, name: str, message_type: type, kind: str = "rt") -> Topic:
        # ROS 2 puts rt/ in front of a topic's name, rq/ in front of that of a service's requests.
        return Topic(self._participant, f"{kind}/{name.removeprefix('/')}", message_type)

    def _listen(
        self, topic: str, reader: DataReader, callback: Callable[[Any], None], option: str | None = None
    ) -> None:
        waitset = WaitSet(self._participant)
        waitset.attach(ReadCondition(reader, SampleState.NotRead | ViewState.Any | InstanceState.Alive))
        complaints: set[str] = set()
        explain_at = time.monotonic() + SILENCE if option else float("inf")
        while not self._closing.is_set():
            if not waitset.wait(duration(milliseconds=100)):
                if time.monotonic() > explain_at:
                    explain_at = float("inf")
                    if not reader.get_matched_publications():
                        logger.warning("%s: see %s", self._why_silent(topic, reader), option)
                continue
            try:
                for message in reader.take():
                    if not isinstance(message, InvalidSample):
                        callback(message)
            except ValueError as error:
                if str(error) not in complaints:
                    complaints.add(str(error))
                    logger.warning("%s: message dropped: %s", topic, error)

    def _why_silent(self, topic: str, reader: DataReader) -> str:
        found = BuiltinDataReader(self._participant, BuiltinTopicDcpsPublication).read(MANY)
        published = [
            (f"/{publication.topic_name.removeprefix('rt/')}", ros_name(publication.type_name))
            for publication in found
            if publication.topic_name.startswith("rt/")
        ]
        return printable(why_silent(topic, ros_name(reader.topic.typename), published))


def ros_name(dds_name: str) -> str:
    """A type's name in ROS, such as sensor_msgs/msg/Image, of that on the wire, sensor_msgs::msg::dds_::Image_."""
    return dds_name.replace("dds_::", "").replace("::", "/").removesuffix("_")


class Publisher:
    """Publishes a message when it is called with one."""

    def __init__(self, writer: DataWriter):
        self._writer = writer

    def __call__(self, message: Any) -> None:
        self._writer.write(message)

    @property
    def is_heard(self) -> bool:
        """Whether somebody listens."""
        return bool(self._writer.get_matched_subscriptions())

    def listeners(self) -> list[bytes]:
        """The identities (16 bytes each, as in RTPS) of those who listen."""
        handles = self._writer.get_matched_subscriptions()
        found = [self._writer.get_matched_subscription_data(handle) for handle in handles]
        return [listener.key.bytes for listener in found if listener is not None]
