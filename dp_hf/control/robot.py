"""What the controller needs of a robot: four small methods, and time stamps on what it measures."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from dp_hf.arms.quantities import Quantities
from dp_hf.cameras import by_camera
from dp_hf.errors import UserError
from dp_hf.pipelines.execution import as_numbers, describe

logger = logging.getLogger(__name__)


Frame: TypeAlias = "np.ndarray | dict[str, np.ndarray]"
"""An image uint8 (H, W, 3) RGB; of several cameras, a dict of them."""

Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True)
class Stamped(Generic[Value]):
    """A measurement, and when it arrived (monotonic seconds)."""

    value: Value
    timestamp: float


class Person(Protocol):
    """Whoever can act in the policy's place. The methods return at once.

    Attributes:
        who: in words, after "hands the arm to".
        guides: whether the person moves the arm without commands from here: by hand, or from another computer. Nothing
            is sent then, and an action is what is measured next.
    """

    who: str
    guides: bool

    def take(self) -> None:
        """The person acts from now on; called when the arm stands."""

    def give_back(self) -> None:
        """The person acts no more: an arm that was guided stays where it is and takes commands again."""

    def read_command(self) -> Stamped[np.ndarray] | None:
        """Of a person who does not guide: the latest command (n,), stamped with when the arm is to be there."""


@dataclass(frozen=True)
class Guiding:
    """A `Person` who moves the arm without commands from here, by hand or from elsewhere.

    Attributes:
        who: see `Person`.
        release: lets the arm be moved by hand, where it has motors that are switched off from here.
        engage: holds it again where it is.
    """

    who: str
    release: Callable[[], None] | None = None
    engage: Callable[[], None] | None = None
    guides: bool = field(default=True, init=False)

    def take(self) -> None:
        if self.release is not None:
            self.release()

    def give_back(self) -> None:
        if self.engage is not None:
            self.engage()

    def read_command(self) -> None:
        return None


class Robot(Protocol):
    """An arm with cameras. The methods return at once: a robot gathers its measurements in threads of its own.

    What a method raises ends the run. A robot that may come back raises nothing: it has a `fault`, or its measurements
    grow old, and it sees to it that a command which was lost is sent again.

    Attributes:
        quantities: what the n numbers of a state and of a command are, with their units.
        command_rate: commands per second that the arm takes.
        fault: why the arm must not be driven on, or None; the controller makes an emergency stop of it.
        finished: why there is nothing more to do, or None; the controller ends the run.
        unheard: why a command would reach nobody now, or None; the controller does not start, and holds. A robot that
            cannot know has no such attribute.
        reach_time: seconds in which the arm of its recordings gets to where an action says: a chunk's first action is
            due so much after its picture. A robot whose recorded actions are the commands of their pictures' moments, 0
            s, has no such attribute.
        person: who can act in the policy's place, see `Person`. A robot whose arm nobody can take has no such
            attribute, or None.
    """

    quantities: Quantities
    command_rate: float

    @property
    def fault(self) -> str | None: ...

    @property
    def finished(self) -> str | None: ...

    def read_state(self) -> Stamped[np.ndarray] | None:
        """The latest joint state (n,), or None when there has been none."""

    def read_image(self) -> Stamped[Frame] | None:
        """The latest camera frame, or None when there has been none."""

    def send_command(self, command: np.ndarray) -> None:
        """Sends the arm to `command` (n,), to be reached in one command period."""

    def hold(self) -> None:
        """Leaves the arm where it was last commanded to; called once, at the end of a run."""

    def close(self) -> None:
        """Lets go of ports, threads and topics; whoever made the robot calls it, the controller does not."""


def require_robot(robot: Any) -> None:
    """Raises `UserError` for an object that lacks a part of a `Robot`."""
    parts = ("quantities", "command_rate", "fault", "finished", *Robot.__dict__)
    if lacking := [name for name in parts if not name.startswith("_") and not hasattr(robot, name)]:
        raise UserError(
            f"a {type(robot).__name__} is no robot: it has no {', '.join(dict.fromkeys(lacking))}; "
            "dp_hf/control/robot.py says what that is"
        )


def measure(robot: Robot) -> "tuple[Stamped[Frame] | None, Stamped[np.ndarray] | None]":
    """The latest camera frame and joint state; `UserError` for what is none."""
    image, state = robot.read_image(), robot.read_state()
    for method, measured in (("read_image", image), ("read_state", state)):
        if measured is not None and not (isinstance(measured, Stamped) and isinstance(measured.timestamp, Real)):
            raise UserError(
                f"the robot's {method} gives {describe(measured)}, not Stamped(value, time.monotonic()) or None"
            )
    names = robot.quantities.names
    if state is not None and getattr(as_numbers(state.value), "shape", None) != (len(names),):
        raise UserError(f"the robot's state is {describe(state.value)}, not {len(names)} numbers ({', '.join(names)})")
    for camera, picture in by_camera(image.value).items() if image is not None else ():
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape[2:] != (3,):
            raise UserError(f"the robot's {camera} is {describe(picture)}, not an array of uint8 (height, width, 3)")
    return image, state


def why_unheard(robot: Robot) -> str | None:
    """Why a command to `robot` would reach nobody, or None."""
    return getattr(robot, "unheard", None)


def reach_time(robot: Robot) -> float:
    """Seconds from a picture to when an action recorded with it is due."""
    return getattr(robot, "reach_time", 0.0)


def person_of(robot: Robot) -> Person | None:
    """Who can act in the policy's place, or None."""
    return getattr(robot, "person", None)


class RobotWrapper:
    """Passes everything on to `robot`; a subclass overrides what it does differently."""

    def __init__(self, robot: Robot):
        self.robot = robot
        self.quantities = robot.quantities
        self.command_rate = robot.command_rate
        self.reach_time = reach_time(robot)

    @property
    def fault(self) -> str | None:
        return self.robot.fault

    @property
    def finished(self) -> str | None:
        return self.robot.finished

    @property
    def unheard(self) -> str | None:
        return why_unheard(self.robot)

    @property
    def person(self) -> Person | None:
        return person_of(self.robot)

    def read_state(self) -> Stamped[np.ndarray] | None:
        return self.robot.read_state()

    def read_image(self) -> Stamped[Frame] | None:
        return self.robot.read_image()

    def send_command(self, command: np.ndarray) -> None:
        self.robot.send_command(command)

    def hold(self) -> None:
        self.robot.hold()

    def close(self) -> None:
        self.robot.close()


class DryRun(RobotWrapper):
    """A robot that is only watched: commands are logged, one a second in full, and never sent."""

    num_commands = 0

    @property
    def unheard(self) -> str | None:
        return None

    @property
    def person(self) -> Person | None:
        return None

    def send_command(self, command: np.ndarray) -> None:
        once_a_second = self.num_commands % max(1, round(self.command_rate)) == 0
        level = logging.INFO if once_a_second else logging.DEBUG
        logger.log(level, "dry run: %s", np.array2string(command, precision=2, suppress_small=True))
        self.num_commands += 1

    def hold(self) -> None:
        logger.info("dry run: hold")
