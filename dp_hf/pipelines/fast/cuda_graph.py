"""A loop of small CUDA kernels without the cost of launching them one by one."""

import logging
from collections.abc import Callable, Sequence

import torch

logger = logging.getLogger(__name__)


def replay_steps(step: Callable[..., torch.Tensor], actions: torch.Tensor, tables: Sequence[torch.Tensor]) -> None:
    """`actions = step(actions, *rows)` for each row of the tables, in place; one step is captured and replayed.

    Args:
        step: launches work on the current stream and never waits for it.
        actions: a CUDA tensor.
        tables: tensors with a row for each step.
    """
    advance = step_by_index(step, actions, tables)
    with torch.cuda.device(actions.device):
        main, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(main)
        with torch.cuda.stream(side):
            advance()  # the first step, which also sets up what must not be set up during a capture
            next_step, graph = advance, torch.cuda.CUDAGraph()
            try:
                graph.capture_begin(capture_error_mode="thread_local")
                try:
                    advance()
                finally:
                    graph.capture_end()
                next_step = graph.replay
            except RuntimeError as error:
                logger.info("no CUDA graph, launching every step instead: %s", error)
        main.wait_stream(side)
        for _ in range(1, len(tables[0])):
            next_step()
        main.synchronize()  # the graph owns memory that its replays use


def step_by_index(
    step: Callable[..., torch.Tensor], actions: torch.Tensor, tables: Sequence[torch.Tensor]
) -> Callable[[], None]:
    """The same launches at every call: the row they read is counted on the device."""
    index = torch.zeros(1, dtype=torch.long, device=actions.device)

    def advance() -> None:
        actions.copy_(step(actions, *(table.index_select(0, index)[0] for table in tables)))
        index.add_(1)

    return advance
