"""Parameters of the nodes: described, of a stated kind, and read-only but for `execute`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from dp_hf.arms.arm import Arm
from dp_hf.arms.arm_file import read_arm
from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.cli.recipes import find_recipe
from dp_hf.control.controller import Controller
from dp_hf.errors import UserError

Value = TypeVar("Value", bool, int, float, str, list)

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list of texts"}


def declare(node: Node, name: str, default: Value, description: str) -> Value:
    """The value of a read-only parameter of the default's kind; a number may be whole, as in `-p inference_rate:=10`.

    Raises:
        UserError: it is of another kind.
    """
    # rclpy would refuse a whole number for a default of 10.0, and answers what it refuses with a traceback.
    value = node.declare_parameter(name, default, _descriptor(description, read_only=True)).value
    return _of_kind(name, default, value)


class Execute:
    """The parameter `execute`, which may be set while the node runs.

    Set to false it is an emergency stop, which true releases in a run that began with it.

    Attributes:
        at_start: its value when the node was started.

    Raises:
        UserError: it is neither true nor false.
    """

    def __init__(self, node: Node):
        description = "send commands to the arm, else they are logged; set to false in a run it is an emergency stop"
        value = node.declare_parameter("execute", False, _descriptor(description)).value
        self.at_start = _of_kind("execute", False, value)
        self._controller: Controller | None = None
        node.add_on_set_parameters_callback(self._decide)

    def of(self, controller: Controller) -> None:
        """From now on it is `controller` that is stopped and released."""
        self._controller = controller

    def _decide(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        for value in (parameter.value for parameter in parameters if parameter.name == "execute"):
            reason = self._set(value)
            if reason is not None:
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def _set(self, value: object) -> str | None:
        """Why it cannot be set to `value`, or None."""
        if not isinstance(value, bool):
            return "execute is true or false"
        if self._controller is None:
            return "the node is still starting"
        if value and not self.at_start:
            return "this is a dry run: start the node with execute:=true"
        if value:
            self._controller.reset()
        else:
            self._controller.emergency_stop("the parameter execute was set to false")
        return None


def declare_arm(node: Node) -> Arm:
    """The arm that the node's parameters `robot_name`, `limits_file` and `camera_has_noise` describe."""
    robot_name = declare(
        node, "robot_name", MYCOBOT_280.name, "the arm: a YAML file, or the name of one of configs/arms"
    )
    limits_file = declare(node, "limits_file", "", "YAML file of safety limits in place of the arm's own")
    has_noise = declare(node, "camera_has_noise", True, "hold when the picture stays the same; false in a simulator")
    arm = MYCOBOT_280 if robot_name == MYCOBOT_280.name else read_arm(find_recipe("arms", robot_name))
    limits = arm.limits.updated_from(find_recipe("control", limits_file)) if limits_file else arm.limits
    return replace(arm, limits=limits if has_noise else replace(limits, max_frozen_age=None))


def require_declared(node: Node) -> None:
    """Refuses parameters that the node does not have: ROS would ignore them, a mistyped `limits_file` too.

    Raises:
        UserError: there is one; call it when all are declared.
    """
    given = getattr(node, "_parameter_overrides", {})  # nothing public tells
    if unknown := [name for name in given if not node.has_parameter(name)]:
        known = ", ".join(sorted(node.get_parameters_by_prefix("")))
        raise UserError(
            f"{unknown[0]} is no parameter of {node.get_name()}, which has {known}; in a file for several nodes give"
            " each its own, under its name"
        )


def _descriptor(description: str, read_only: bool = False) -> ParameterDescriptor:
    return ParameterDescriptor(description=description, read_only=read_only, dynamic_typing=True)


def _of_kind(name: str, default: Value, value: object) -> Value:
    kind = type(default)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is list and not all(isinstance(each, str) for each in value)):
        raise UserError(f"{name} is {_KINDS[kind]}; got {value!r}")
    return value
