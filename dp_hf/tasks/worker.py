"""An environment in a process of another Python, for tasks whose packages do not go with ours."""

import os
import subprocess
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dp_hf.errors import RunFailed, UserError
from dp_hf.tasks import pipe
from dp_hf.tasks.observed import TaskError
from dp_hf.tasks.pipe import read_message, write_message

_END_TIMEOUT = 10.0  # seconds


class WorkerEnvironment:
    """As `ObservedEnvironment`, which runs in the other process; nothing but JSON and arrays passes between them.

    Args:
        python: the interpreter. It needs numpy, gymnasium and what the environment needs; it runs isolated (`-I`), so
            that no PYTHONPATH of ours reaches it.
        task: as in `ObservedEnvironment`, without Python objects.

    Raises:
        UserError: there is no such interpreter.
        TaskError: by every method too, as in `ObservedEnvironment`.
        RunFailed: by every method too: the environment raised, or the process has ended.
    """

    def __init__(self, python: str, task: Mapping[str, Any]):
        self.file, self.python = task["file"], python
        try:
            self._process = subprocess.Popen(
                [python, "-I", "-u", os.path.abspath(pipe.__file__)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            raise UserError(f"{self.file}: python: {python} cannot be run ({error.strerror})") from error
        self._end = weakref.finalize(self, _end, self._process)
        self._ask({"make": dict(task)})

    def reset(self, seed: int | None) -> dict[str, Any]:
        return self._ask({"call": "reset", "with": [seed]})

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, bool]]:
        return tuple(self._ask({"call": "step", "with": [action]}))  # type: ignore[return-value]

    def expert_action(self) -> Any:
        return self._ask({"call": "expert_action", "with": []})

    def close(self) -> None:
        self._end()

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        try:
            write_message(self._process.stdin, request)
            answer = read_message(self._process.stdout)
        except (BrokenPipeError, ValueError):
            answer = None
        if answer is None:
            self._end()
            raise RunFailed(
                f"{self.file}: the environment's process ended with {self._process.returncode}; what it said is above. "
                f"{self.python} needs numpy, gymnasium and the environment's packages"
            )
        if "task_error" in answer:
            raise TaskError(answer["task_error"])
        if "failure" in answer:
            raise RunFailed(f"{self.file}: the environment failed: {answer['failure']}")
        return answer["result"]


def _end(process: subprocess.Popen) -> None:
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with suppress(BrokenPipeError):
            stream.close()
    try:
        process.wait(_END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
