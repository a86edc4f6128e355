"""The ROS 2 messages that go over the wire, by their DDS names."""

# mypy: disable-error-code="type-arg"

from dataclasses import dataclass
from typing import Any

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import final
from cyclonedds.idl.types import float64, int32, sequence, uint8, uint32
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from dp_hf.control.robots.dds import ros_name

_TYPES = get_typestore(Stores.LATEST)


def coded_by_rosbags(message_type: Any) -> Any:
    """Class decorator. cyclonedds' own coding goes through an image byte by byte, which takes 20 ms.

    Sequences of numbers are numpy arrays of their type. What is read has the same fields, but is of rosbags' own class.
    """
    name = ros_name(message_type.__idl_typename__)

    def serialize(self: Any, buffer: Any = None, endianness: Any = None, use_version_2: Any = None) -> bytes:
        return bytes(_TYPES.serialize_cdr(self, name))

    def deserialize(data: bytes, has_header: bool = True, use_version_2: Any = None) -> Any:
        try:
            return _TYPES.deserialize_cdr(data, name)
        except SerdeError as error:  # `data` is cut short, or is not such a message
            raise ValueError(str(error)) from error

    message_type.serialize = serialize
    message_type.deserialize = staticmethod(deserialize)
    return message_type


@coded_by_rosbags
@final
@dataclass
class Time(IdlStruct, typename="builtin_interfaces::msg::dds_::Time_"):
    sec: int32 = 0
    nanosec: uint32 = 0


@coded_by_rosbags
@final
@dataclass
class Duration(IdlStruct, typename="builtin_interfaces::msg::dds_::Duration_"):
    sec: int32
    nanosec: uint32


@coded_by_rosbags
@final
@dataclass
class Header(IdlStruct, typename="std_msgs::msg::dds_::Header_"):
    stamp: Time
    frame_id: str


@coded_by_rosbags
@final
@dataclass
class Bool(IdlStruct, typename="std_msgs::msg::dds_::Bool_"):
    data: bool


@coded_by_rosbags
@final
@dataclass
class MultiArrayDimension(IdlStruct, typename="std_msgs::msg::dds_::MultiArrayDimension_"):
    label: str
    size: uint32
    stride: uint32


@coded_by_rosbags
@final
@dataclass
class MultiArrayLayout(IdlStruct, typename="std_msgs::msg::dds_::MultiArrayLayout_"):
    dim: sequence[MultiArrayDimension]
    data_offset: uint32


@coded_by_rosbags
@final
@dataclass
class Float64MultiArray(IdlStruct, typename="std_msgs::msg::dds_::Float64MultiArray_"):
    layout: MultiArrayLayout
    data: sequence[float64]


@coded_by_rosbags
@final
@dataclass
class Image(IdlStruct, typename="sensor_msgs::msg::dds_::Image_"):
    header: Header
    height: uint32
    width: uint32
    encoding: str
    is_bigendian: uint8
    step: uint32
    data: sequence[uint8]


@coded_by_rosbags
@final
@dataclass
class JointState(IdlStruct, typename="sensor_msgs::msg::dds_::JointState_"):
    header: Header
    name: sequence[str]
    position: sequence[float64]
    velocity: sequence[float64]
    effort: sequence[float64]


@coded_by_rosbags
@final
@dataclass
class JointTrajectoryPoint(IdlStruct, typename="trajectory_msgs::msg::dds_::JointTrajectoryPoint_"):
    positions: sequence[float64]
    velocities: sequence[float64]
    accelerations: sequence[float64]
    effort: sequence[float64]
    time_from_start: Duration


@coded_by_rosbags
@final
@dataclass
class JointTrajectory(IdlStruct, typename="trajectory_msgs::msg::dds_::JointTrajectory_"):
    header: Header
    joint_names: sequence[str]
    points: sequence[JointTrajectoryPoint]
