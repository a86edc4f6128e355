"""Arms from YAML files, such as those of configs/arms."""

from pathlib import Path
from typing import Any

from dp_hf.arms.arm import Arm
from dp_hf.arms.limits import SafetyLimits
from dp_hf.arms.quantities import Quantities
from dp_hf.arms.ros import RosJoints, RosTopics
from dp_hf.errors import UserError
from dp_hf.files import user_path
from dp_hf.yaml_files import from_mapping, read_yaml

_KEYS = ("name", "names", "units", "gripper", "command_rate", "limits", "ros")
_ROS_JOINTS = ("joints", "gripper_closed", "gripper_open")


def read_arm(path: str | Path) -> Arm:
    """The arm that a YAML file describes; `name` is by default the file's.

    Raises:
        UserError: the file cannot be read, lacks something or says what is not known, or its parts do not fit.
    """
    values = read_yaml(user_path(path))
    try:
        if not isinstance(values, dict):
            raise UserError(f"expected `key: value` lines, and got {str(values)[:40]!r}")
        return _arm({"name": user_path(path).stem, "gripper": None, "ros": None, **values})
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _arm(values: dict[str, Any]) -> Arm:
    if unknown := [str(key) for key in values if key not in _KEYS]:
        raise UserError(f"no key {', '.join(unknown)}; there are {', '.join(_KEYS)}")
    if missing := [key for key in ("names", "units", "limits") if values.get(key) is None]:
        raise UserError(f"{missing[0]} is missing")
    names, units = _texts("names", values["names"]), _texts("units", values["units"])
    quantities = Quantities(names, ("none",) * len(names)).with_units(units)
    gripper = values["gripper"]
    if gripper is not None and gripper not in names:
        raise UserError(f"gripper {gripper!r} is none of the names ({', '.join(names)}); null for an arm without one")
    rate = {"command_rate": values["command_rate"]} if "command_rate" in values else {}
    ros, topics = (None, None) if values["ros"] is None else _ros(values["ros"], quantities)
    return Arm(
        name=values["name"],
        limits=from_mapping(SafetyLimits, values["limits"], "limits: ", quantities=quantities),
        gripper=None if gripper is None else names.index(gripper),
        ros=ros,
        topics=topics,
        **rate,
    )


def _ros(values: Any, quantities: Quantities) -> tuple[RosJoints, RosTopics]:
    if not isinstance(values, dict) or "joints" not in values:
        raise UserError("ros: joints are missing, the name in ROS of each number's joint")
    joints = {key: value for key, value in values.items() if key in _ROS_JOINTS}
    names = _texts("ros: joints", joints.pop("joints"))
    topics = {key: value for key, value in values.items() if key not in _ROS_JOINTS}
    return (
        from_mapping(RosJoints, joints, "ros: ", quantities=quantities, names=names),
        from_mapping(RosTopics, topics, "ros: "),
    )


def _texts(what: str, values: Any) -> tuple[str, ...]:
    """A list of texts; one stands for a list of one."""
    values = values if isinstance(values, list) else [values]
    if not values or not all(isinstance(value, str) for value in values):
        raise UserError(f"{what} is a list of texts, got {values}")
    return tuple(values)
