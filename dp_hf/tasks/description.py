"""Task files: what a YAML file, or a Python function, says of an environment."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import gymnasium

from dp_hf.arms.quantities import Quantities
from dp_hf.cameras import is_camera_name
from dp_hf.errors import UserError
from dp_hf.files import user_path
from dp_hf.ranges import Range, require_in_range
from dp_hf.simulation.task import Task
from dp_hf.tasks.environment import TaskEnvironment, TaskExpert
from dp_hf.tasks.neighbours import imported_beside
from dp_hf.tasks.observed import SUCCESS, WHOLE, is_function, load_function
from dp_hf.yaml_files import from_mapping, read_yaml

_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")


@dataclass(kw_only=True)
class Numbers:
    """What the numbers of a state or of an action are.

    Attributes:
        names: one for each number, all different.
        units: of `dp_hf.arms.quantities.UNITS`; one stands for all.
        source: of a state, where in the observation they are: `agent_pos`, `a/b` within dicts, with `[i:j]` a part of
            them, `.` for the observation itself; several are put one behind the other.
    """

    names: list[str]
    units: list[str]
    source: list[str] = field(default_factory=lambda: [WHOLE])

    @property
    def quantities(self) -> Quantities:
        return Quantities(tuple(self.names), ("none",) * len(self.names)).with_units(self.units)


@dataclass(kw_only=True)
class TaskDescription:
    """What a task file says; its keys are the names of these fields.

    A task file is code: it chooses functions that are run. It is read where a command names it, and nowhere else.
    """

    environment: str | Callable[..., gymnasium.Env]
    """Gymnasium id (`gym_pusht/PushT-v0`, with the module that registers it in front of a colon,
    `gym_pusht:gym_pusht/PushT-v0`), or a function that makes the environment: MODULE:FUNCTION, or FILE.py:FUNCTION with
    a file beside the task file."""
    cameras: dict[str, str]
    """Name of each camera: its place in the observation (`pixels/top`), or `render` for what `render()` gives."""
    state: Numbers
    """The numbers that the robot measures."""
    action: Numbers
    """The numbers that it is told; they are passed on as they are, without clipping."""
    fps: Annotated[float, Range(above=0, high=10_000)]
    """Steps of the environment a second."""
    success: str
    """A key of `info` that is true or false, or a comparison of one, or of the reward: `coverage >= 0.95`,
    `reward >= 4`. Success ends an episode."""
    stages: dict[str, str] = field(default_factory=dict)
    """What comes before the success, in order: name and condition, as of `success`."""
    success_steps: Annotated[int, Range(1)] = 1
    """Steps in a row that success must hold."""
    max_steps: Annotated[int, Range(1)] | None = None
    """Steps after which an episode ends; default the environment's own limit."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Of the environment."""
    python: str | None = None
    """Interpreter that runs the environment, in a process of its own; $NAME is an environment variable. Default: this
    one."""
    expert: str | Callable[..., Any] | None = None
    """Scripted expert: a function, as in `environment`, that is called with the environment after each reset, and
    returns a function of the observation that gives the action."""
    noise: list[float] = field(default_factory=list)
    """Standard deviation of the noise on each number of the actions that are executed in demonstrations, in its unit;
    default none."""
    name: str = ""
    """Of the task, in which {ARGUMENT} is one of `arguments`; default the file's."""

    def __post_init__(self):
        require_in_range(self)
        for key in ("state", "action"):
            try:
                _ = getattr(self, key).quantities
            except UserError as error:
                raise UserError(f"{key}: {error}") from error
        if not self.state.source:
            raise UserError(f"state: source is empty: name a place in the observation, such as agent_pos, or {WHOLE}")
        if not self.cameras:
            raise UserError("cameras: there is none; name one, such as {image: render}")
        if wrong := [name for name in self.cameras if not is_camera_name(name) or name == "state"]:
            raise UserError(f"cameras: {wrong[0]!r} is no camera's name: use letters, digits, - and _, and not state")
        if self.action.source != [WHOLE]:
            raise UserError("action: source: an action is in no observation; leave it out")
        if SUCCESS in self.stages:
            raise UserError(f"stages: {SUCCESS} is a key of its own")
        if self.noise and len(self.noise) != len(self.action.names):
            raise UserError(f"noise: has {len(self.noise)} numbers, and an action {len(self.action.names)}")
        if any(not 0 <= deviation < float("inf") for deviation in self.noise):
            raise UserError(f"noise: {self.noise} are no standard deviations")


def load_task(reference: str, arguments: Mapping[str, Any] | None = None, success_steps: int | None = None) -> Task:
    """The task of a task file.

    Args:
        reference: a YAML file, or a function MODULE:FUNCTION or FILE.py:FUNCTION that returns a `TaskDescription`.
        arguments: of the environment, in place of the file's or beside them.
        success_steps: in place of the file's.

    Raises:
        UserError: there is none, or it does not say what a task is.
    """
    arguments = dict(arguments or {})
    description, _, folder = _describe(reference, arguments, success_steps)
    return Task(
        name=description.name,
        state=description.state.quantities,
        action=description.action.quantities,
        cameras=tuple(description.cameras),
        fps=float(description.fps),
        make_environment=partial(make_environment, _absolute(reference), arguments, success_steps),
        make_expert=make_expert if description.expert is not None else None,
        noise=tuple(description.noise) or (0.0,) * len(description.action.names),
        origin=_digest(reference, description, folder),
    )


def make_environment(
    reference: str,
    arguments: Mapping[str, Any],
    success_steps: int | None,
    cameras: tuple[str, ...] | list[str],
) -> TaskEnvironment:
    """The environment of a task file, in whichever process."""
    description, file, folder = _describe(reference, arguments, success_steps)
    task: dict[str, Any] = {
        "file": file,
        "folder": str(folder),
        "state_source": description.state.source,
        "state_names": description.state.names,
        "action_names": description.action.names,
        "stages": {**description.stages, SUCCESS: description.success},
    }
    for name in ("environment", "arguments", "cameras", "fps", "max_steps", "success_steps", "expert"):
        task[name] = getattr(description, name)
    python = description.python and _interpreter(description.python, file, folder)
    if python and (functions := [name for name in ("environment", "expert") if callable(task[name])]):
        raise UserError(f"{file}: {functions[0]} is a Python function here; with python: name it FILE.py:FUNCTION")
    return TaskEnvironment(task, cameras, python)


def make_expert(env: gymnasium.Env, seed: int) -> TaskExpert:
    """The expert without noise."""
    return TaskExpert(env)


def _describe(
    reference: str, arguments: Mapping[str, Any], success_steps: int | None
) -> tuple[TaskDescription, str, Path]:
    """The description, what the file is called in messages, and the folder that its paths are relative to."""
    description, file, folder = _describe_file(reference)
    arguments = {**description.arguments, **dict(sorted(arguments.items()))}
    success_steps = success_steps or description.success_steps
    try:
        name = description.name.format(**arguments)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{file}: name: {description.name!r} names an argument that is none ({error})") from error
    return replace(description, name=name, arguments=arguments, success_steps=success_steps), file, folder


def _describe_file(reference: str) -> tuple[TaskDescription, str, Path]:
    if is_function(reference) and not user_path(reference).exists():
        try:
            description = load_function(reference, os.getcwd())()
        except Exception as error:  # of whoever has written it
            why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            raise UserError(f"task file {reference}: {why}") from error
        if not isinstance(description, TaskDescription):
            raise UserError(f"{reference} returns a {type(description).__name__}, not a TaskDescription")
        place = reference.rpartition(":")[0]
        folder = user_path(place).absolute().parent if place.endswith(".py") else Path.cwd()
        name = description.name or reference.rpartition(":")[2]
        return replace(description, name=name), reference, folder
    file = user_path(reference).absolute()
    description = _read(file)
    return replace(description, name=description.name or file.stem), str(reference), file.parent


def _read(file: Path) -> TaskDescription:
    values = read_yaml(file)
    try:
        for key, kind in (("state", Numbers), ("action", Numbers)):
            if isinstance(values, dict) and key in values:
                values[key] = from_mapping(kind, values[key], f"{key}: ")
        return from_mapping(TaskDescription, values)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _interpreter(python: str, file: str, folder: Path) -> str:
    def value(match: re.Match) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise UserError(f"{file}: python: the environment variable {name} is not set; it names the interpreter")
        return os.environ[name]

    path = user_path(_VARIABLE.sub(value, python))
    return str(folder / path) if len(path.parts) > 1 else str(path)


def _absolute(reference: str) -> str:
    """The reference, for a process in another folder."""
    if not is_function(reference) or user_path(reference).exists():
        return str(user_path(reference).absolute())
    place, _, name = reference.rpartition(":")
    return f"{user_path(place).absolute()}:{name}" if place.endswith(".py") else reference


def _digest(reference: str, description: TaskDescription, folder: Path) -> str:
    """Of what the task file says, and of the Python files beside it that it names or that these import."""
    said: Mapping[str, Any] = {**asdict(description), "python": None}
    digest = sha256(repr({name: value for name, value in said.items() if not callable(value)}).encode())
    files: list[Path] = []
    for function in (description.environment, description.expert, _absolute(reference)):
        place = function.rpartition(":")[0] if isinstance(function, str) else ""
        if place.endswith(".py") and (folder / user_path(place)).is_file():
            files.append(folder / user_path(place))
        elif place and (folder / f"{place.replace('.', '/')}.py").is_file():
            files.append(folder / f"{place.replace('.', '/')}.py")
    for file in [*files, *imported_beside(files)]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]
