"""Reads the camera images and joint states of a ROS 2 bag, without ROS."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.arms.ros import image_from_message
from dp_hf.errors import UserError
from dp_hf.pictures import decode, upright_rgb

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
JOINTS_TYPE = "sensor_msgs/msg/JointState"
_BAG_SUFFIXES = (".mcap", ".db3")


@dataclass
class Stamps:
    """When a topic's messages were made and received: (messages,) seconds each; 0 is a header without a time."""

    made: list[float] = field(default_factory=list)
    received: list[float] = field(default_factory=list)


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
    if path.is_file() and path.suffix in _BAG_SUFFIXES:
        return [path]
    if (path / "metadata.yaml").is_file():
        return [path]
    folders = [file.parent for file in sorted(path.rglob("metadata.yaml"))]
    files = [file for suffix in _BAG_SUFFIXES for file in sorted(path.rglob(f"*{suffix}"))]
    bags = folders + [file for file in files if file.parent not in folders]
    if not bags:
        raise UserError(f"{path}: no ROS 2 bag: neither a metadata.yaml nor a {' or '.join(_BAG_SUFFIXES)} file")
    return bags


class BagReader:
    """Context manager over an open bag; its methods may be called repeatedly.

    Raises:
        UserError: the package `rosbags` is missing, or the bag cannot be opened.
    """

    def __init__(self, path: Path):
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise UserError('bags need the package rosbags: pip install "dp_hf[ros2]"') from error
        self.path = path
        try:
            self._reader = AnyReader([path], default_typestore=get_typestore(Stores.LATEST))
            self._reader.open()
        except Exception as error:  # rosbags, SQLite and the mcap parser have errors of their own
            raise UserError(f"{path}: cannot be opened as a ROS 2 bag ({error}); try `ros2 bag reindex`") from error

    def __enter__(self) -> "BagReader":
        return self

    def __exit__(self, *exception) -> None:
        self._reader.close()

    def topics(self, *types: str) -> list[str]:
        """Topics of the message types that have messages, by name."""
        return sorted({c.topic for c in self._reader.connections if c.msgtype in types and c.msgcount})

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

    def read(self, image_topics: Sequence[str], joint_topic: str) -> BagContents:
        """All times, and all joint positions."""
        contents = BagContents({topic: Stamps() for topic in image_topics})
        for topic, received, message in self._messages([*image_topics, joint_topic]):
            made = 0.0
            if message is None:
                contents.broken += 1
            else:
                made = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
            if topic in contents.images:
                # A broken image keeps its place, so that messages are counted the same by `images`.
                _append(contents.images[topic], made if message is not None else np.nan, received)
            elif message is not None:
                for name, position in zip(message.name, message.position, strict=False):
                    if np.isfinite(position):
                        _append(contents.joints.setdefault(name, Stamps()), made, received)
                        contents.positions.setdefault(name, []).append(float(position))
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

    def _messages(
        self, topics: Sequence[str], wanted: dict[str, set[int]] | None = None
    ) -> Iterator[tuple[str, float, Any]]:
        """(topic, seconds, message) in the order of the bag; None for a broken message, or one that is not wanted."""
        connections = [connection for connection in self._reader.connections if connection.topic in topics]
        counts = dict.fromkeys(topics, 0)
        messages = self._reader.messages(connections=connections)
        while True:
            try:
                connection, received, data = next(messages)
            except StopIteration:
                return
            except Exception as error:
                raise UserError(f"{self.path}: damaged ({error}); try `ros2 bag reindex`, or record again") from error
            topic, message = connection.topic, None
            if wanted is None or counts[topic] in wanted[topic]:
                try:
                    message = self._reader.deserialize(data, connection.msgtype)
                except Exception:  # a message cut short fails wherever its bytes end
                    message = None
            counts[topic] += 1
            yield topic, received * 1e-9, message


def _append(stamps: Stamps, made: float, received: float) -> None:
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
