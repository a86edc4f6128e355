"""Which task is simulated: cube stacking, or that of a task file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from dp_hf.cli.recipes import find_recipe
from dp_hf.disturbances import Disturbances
from dp_hf.errors import UserError
from dp_hf.models.policy_config import require_different

if TYPE_CHECKING:
    from dp_hf.simulation.task import Task


@dataclass(kw_only=True)
class TaskArguments:
    """The task of a command."""

    task_file: str | None = None
    """what is simulated in place of cube stacking: a YAML file or the name of one that comes with dp_hf, or a function
    MODULE:FUNCTION or FILE.py:FUNCTION. It is code that is run: take it from whom you trust"""

    task_arguments: tuple[str, ...] = ()
    """NAME=VALUE each: arguments of the task file's environment in place of its own, such as task=basketball"""

    def task(self, success_steps: int | None = None) -> "Task":
        return find_task(self.task_file, self.task_arguments, success_steps)

    def require_own_scene(self, others: Sequence[str] = ()) -> None:
        """Refuses options of the stacking scene beside a task file.

        Args:
            others: further ones that are given.
        """
        given = [*(self.given() if isinstance(self, Disturbances) else ()), *others]
        if self.task_file is not None and given:
            raise UserError(f"--{' and --'.join(given)} change the scene of cube stacking: leave out with --task_file")


def find_task(task_file: str | None, task_arguments: Sequence[str] = (), success_steps: int | None = None) -> "Task":
    """The task that `--task_file` names; without one it is the stacking of cubes."""
    if task_file is None:
        if success_steps is not None:
            raise UserError("--success_steps is for a task file: cubes count as stacked when they have been still")
        if task_arguments:
            raise UserError("--task_arguments are those of a task file: give --task_file too, or leave them out")
        from dp_hf.simulation.stacking import STACKING

        return STACKING
    import dp_hf.simulation  # noqa: F401 - chooses the OpenGL library, before an environment does
    from dp_hf.tasks.description import load_task
    from dp_hf.tasks.observed import is_function

    place = task_file if is_function(task_file) else str(find_recipe("tasks", task_file))
    arguments = [*map(_argument, task_arguments)]
    require_different("--task_arguments", [name for name, _ in arguments])
    return load_task(place, dict(arguments), success_steps)


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    try:
        if not (name and equals):
            raise ValueError
        return name, yaml.safe_load(value)
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"--task_arguments {text}: give NAME=VALUE, such as task=basketball") from error
