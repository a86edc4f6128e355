"""A gripper that takes an action (control_msgs/action/GripperCommand), over the wire: goals, without their answers."""

# mypy: disable-error-code="type-arg, valid-type, arg-type"

import uuid
from dataclasses import dataclass

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import final
from cyclonedds.idl.types import array, float64, uint8

from dp_hf.control.robots.dds import Dds
from dp_hf.control.robots.sent_once import MAX_EFFORT

# How the identity of what belongs to Fast DDS begins (its vendor in RTPS). Servers of Cyclone DDS have another header
# in a request, and take the same goal for a gripper that is fully open.
_FAST_DDS = b"\x01\x0f"


@final
@dataclass
class UUID(IdlStruct, typename="unique_identifier_msgs::msg::dds_::UUID_"):
    uuid: array[uint8, 16]


@final
@dataclass
class GripperCommand(IdlStruct, typename="control_msgs::msg::dds_::GripperCommand_"):
    position: float64
    max_effort: float64


@final
@dataclass
class Goal(IdlStruct, typename="control_msgs::action::dds_::GripperCommand_Goal_"):
    command: GripperCommand


@final
@dataclass
class SendGoal(IdlStruct, typename="control_msgs::action::dds_::GripperCommand_SendGoal_Request_"):
    goal_id: UUID
    goal: Goal


class GripperAction:
    """Sends goals to the servers of an action.

    Args:
        name: of the action, as ROS has it.
    """

    def __init__(self, dds: Dds, name: str):
        self._send = dds.publisher(f"{name}/_action/send_goalRequest", SendGoal, kind="rq")

    @property
    def is_heard(self) -> bool:
        """Whether there are servers, all of which understand a goal from here."""
        listeners = self._send.listeners()
        return bool(listeners) and all(identity.startswith(_FAST_DDS) for identity in listeners)

    def send(self, position: float) -> None:
        """A goal: the gripper's joint goes to `position` (radians)."""
        self._send(SendGoal(UUID(list(uuid.uuid4().bytes)), Goal(GripperCommand(position, MAX_EFFORT))))
