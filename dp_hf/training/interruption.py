"""Ctrl-C and SIGTERM as a wish that the training loop asks for, instead of an exception in the middle of a step."""

import signal
import threading
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator

# Between processes, asking costs a message.
STEPS_BETWEEN_ASKING = 10


class Interruption:
    """Within its context, the first SIGINT or SIGTERM is only noted; a second SIGINT interrupts as usual."""

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self._noted = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = True
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)

    def is_wanted(self, step: int) -> bool:
        """Whether to stop after this step; the same answer in every process."""
        if self.accelerator.num_processes == 1:
            return self._noted
        if step % STEPS_BETWEEN_ASKING:
            return False
        noted = torch.tensor(int(self._noted), device=self.accelerator.device)
        return bool(self.accelerator.reduce(noted, reduction="sum"))
