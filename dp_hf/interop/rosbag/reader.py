"""Reads the camera images and joint states of a ROS 2 bag, without ROS."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.arms.ros_images import image_from_message
from dp_hf.errors import UserError
from dp_hf.interop.rosbag.passes import Stamps
from dp_hf.pictures import decode, upright_rgb

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
JOINTS_TYPE = "sensor_msgs/msg/JointState"
BAG_SUFFIXES = (".mcap", ".db3")


@dataclass
class BagContents:
    """What is needed of a bag, images apart.

    Attributes:
        images: image topic to the times of its messages.
        joints: joint name to the times of its positions.
        positions: joint name to positions (radians), one for each of the times.
        broken: messages that could not be read.
    """

    images: dict[str, Stamps]
    joints: dict[str, Stamps] = field(default_factory=dict)
    positions: dict[str, list[float]] = field(default_factory=dict)
    broken: int = 0


def find_bags(path: Path) -> list[Path]:
    """The bags at `path`: itself, or all below it. A bag is a folder with a metadata.yaml, or a single file.

    Raises:
        UserError: there is none.
    """
    if path.is_file() and path.suffix in BAG_SUFFIXES:
        return [path]
    if (path / "metadata.yaml").is_file():
        return [path]
    folders = [file.parent for file in sorted(path.rglob("metadata.yaml"))]
    files = [file for suffix in BAG_SUFFIXES for file in sorted(path.rglob(f"*{suffix}"))]
    bags = folders + [file for file in files if file.parent not in folders]
    if not bags:
        raise UserError(f"{path}: no ROS 2 bag: neither a metadata.yaml nor a {' or '.join(BAG_SUFFIXES)} file")
    return bags


class BagReader:
    """Context manager over an open bag; its methods may be called repeatedly.

    Raises:
        UserError: the package `rosbags` is missing, or the bag cannot be opened.
    """

    def __init__(self, path: Path):
        try:
            from rosbags.typesys import Stores, get_typestore

            from dp_hf.interop.rosbag.storage import BagFile
        except ImportError as error:
            raise UserError('bags need the package rosbags: pip install "dp_hf[ros2]"') from error
        self.path = path
        # The types that are read have been the same in every ROS 2; what else the bag defines does not matter.
        self._types = get_typestore(Stores.LATEST)
        try:
            self._bag = BagFile(path)
            self._bag.open()
            if not all(
                isinstance(c.topic, str) and isinstance(c.msgtype, str) and isinstance(c.msgcount, int)
                for c in self._bag.connections
            ):
                raise ValueError("its list of topics is damaged")
        except Exception as error:  # rosbags, SQLite and the mcap parser have errors of their own
            raise UserError(f"{path}: cannot be opened as a ROS 2 bag ({error}); try `ros2 bag reindex`") from error

    def __enter__(self) -> "BagReader":
        return self

    def __exit__(self, *exception) -> None:
        self._bag.close()

    def topics(self, *types: str) -> list[str]:
        """Topics of the message types that have messages, by name."""
        return sorted({c.topic for c in self._bag.connections if c.msgtype in types and c.msgcount})

    def choose(self, wanted: Sequence[str], what: str, *types: str) -> list[str]:
        """The wanted topics, or the only one of these types.

        Raises:
            UserError: a wanted one is not there, or several are and none was named.
        """
        found = self.topics(*types)
        if missing := [topic for topic in wanted if topic not in found]:
            raise UserError(f"{self.path}: no {what} on {', '.join(missing)}; there are {', '.join(found) or 'none'}")
        if not wanted and len(found) != 1:
            remedy = f"there are {', '.join(found)}: name the topics" if found else "record it too"
            raise UserError(f"{self.path}: which topic has the {what}? {remedy}")
        return list(wanted) or found

    def read(self, image_topics: Sequence[str], joint_topics: Sequence[str]) -> BagContents:
        """All times, and all joint positions.

        Raises:
            UserError: the bag is damaged, a topic is of another kind than its type says, or two have the same joint.
        """
        contents = BagContents({topic: Stamps() for topic in image_topics})
        topic_of: dict[str, str] = {}
        places = itertools.count()
        for topic, received, message in self._messages([*image_topics, *joint_topics]):
            place, made = next(places), -np.inf
            if message is None:
                contents.broken += 1
            else:
                stamp = message.header.stamp
                made = _seconds(stamp.sec * 10**9 + stamp.nanosec)
            if topic in contents.images:
                # A broken image keeps its place, so that messages are counted the same by `images`.
                _append(contents.images[topic], place, made, received)
            elif message is not None:
                for name, position in zip(message.name, message.position, strict=False):
                    if topic_of.setdefault(name, topic) != topic:
                        raise UserError(f"{self.path}: {topic} and {topic_of[name]} both have the joint {name}")
                    if np.isfinite(position):
                        _append(contents.joints.setdefault(name, Stamps()), place, made, received)
                        contents.positions.setdefault(name, []).append(float(position))
        read, stated = next(places), sum(c.msgcount for c in self._connections([*image_topics, *joint_topics]))
        contents.broken += max(0, stated - read)
        return contents

    def images(self, wanted: dict[str, set[int]]) -> Iterator[tuple[str, int, np.ndarray | str]]:
        """(topic, position, image) of the wanted positions of each topic, in the order of the bag.

        An image is uint8 (H, W, 3), RGB, or what is wrong with it.
        """
        counts = dict.fromkeys(wanted, 0)
        for topic, _, message in self._messages([*wanted], wanted):
            position, counts[topic] = counts[topic], counts[topic] + 1
            if position in wanted[topic]:
                yield topic, position, _decode(message)

    def _connections(self, topics: Sequence[str]) -> list[Any]:
        """Of these topics, as far as they have images or joints.

        Raises:
            UserError: one is not of the type that ROS has by this name, or not coded as ROS does.
        """
        found = [c for c in self._bag.connections if c.topic in topics and c.msgtype in (*IMAGE_TYPES, JOINTS_TYPE)]
        for connection in found:
            if (coding := getattr(connection.ext, "serialization_format", "cdr")) != "cdr":
                raise UserError(
                    f"{self.path}: {connection.topic} is coded as {coding!r}, not as cdr; record it with ROS 2"
                )
            if connection.digest and connection.digest != self._types.hash_rihs01(connection.msgtype):
                raise UserError(f"{self.path}: {connection.topic} is of a {connection.msgtype} that is not ROS 2's")
        return found

    def _messages(
        self, topics: Sequence[str], wanted: dict[str, set[int]] | None = None
    ) -> Iterator[tuple[str, float, Any]]:
        """(topic, seconds, message) as they were written; None for a broken message, or one that is not wanted.

        Seconds are NaN without a time.
        """
        counts = dict.fromkeys(topics, 0)
        messages = self._bag.messages(connections=self._connections(topics))
        while True:
            try:
                connection, nanoseconds, data = next(messages)
                received = _seconds(nanoseconds)
            except StopIteration:
                return
            except Exception as error:
                raise UserError(f"{self.path}: damaged ({error}); try `ros2 bag reindex`, or record again") from error
            topic, message = connection.topic, None
            if wanted is None or counts[topic] in wanted[topic]:
                try:
                    message = self._types.deserialize_cdr(data, connection.msgtype)
                except Exception:  # a message cut short fails wherever its bytes end
                    message = None
            counts[topic] += 1
            yield topic, received, message


def _seconds(nanoseconds: int) -> float:
    """NaN for 0: no time, as before a simulator's clock has begun."""
    return nanoseconds * 1e-9 if nanoseconds else np.nan


def _append(stamps: Stamps, place: int, made: float, received: float) -> None:
    stamps.place.append(place)
    stamps.made.append(made)
    stamps.received.append(received)


def _decode(message: Any) -> np.ndarray | str:
    if message is None:
        return "an image message cannot be read"
    try:
        if hasattr(message, "encoding"):
            return image_from_message(message.height, message.width, message.encoding, message.step, message.data)
        return np.asarray(upright_rgb(decode(message.data.tobytes())))
    except UserError as error:
        return f"an image {error}"
    except Exception as error:  # decoders raise SyntaxError, ValueError, struct.error, zlib.error and others
        return f"an image does not decode: {error}"
