"""Which frames of an episode become rows, and the action of each."""

from collections.abc import Sequence

import numpy as np

from dp_hf.episodes.format import Actor
from dp_hf.errors import UserError

ACTION_OFFSET = 1


def require_offset_in_use(action_source: str, action_offset: int, default: int = ACTION_OFFSET) -> None:
    """Raises `UserError` for an offset that would have no effect, because actions are recorded commands."""
    if action_source == "recorded" and action_offset != default:
        raise UserError(
            f"action_offset {action_offset}: the frames carry commands, which are the actions as they are; leave it "
            "out, or take action_source state"
        )


def kept_frames(num_frames: int, frame_skip: int) -> np.ndarray:
    """Positions of every `frame_skip`-th frame, from the first."""
    return np.arange(0, num_frames, frame_skip)


def actions_from_states(states: np.ndarray, frame_skip: int, action_offset: int) -> np.ndarray:
    """The action of every kept frame is the state `action_offset` kept frames later; the last one's at the end.

    Args:
        states: (frames, n) of one episode, before frame skipping.
        frame_skip: every how many frames one is kept.
        action_offset: 0 gives the state itself.

    Returns:
        (kept frames, n).
    """
    kept = states[kept_frames(len(states), frame_skip)]
    return kept[np.minimum(np.arange(len(kept)) + action_offset, len(kept) - 1)]


def actions_from_commands(commands: np.ndarray, frame_skip: int) -> np.ndarray:
    """The action of every kept frame is the last command given before the next kept frame.

    Args:
        commands: (frames, n) of one episode: absolute targets, each given at its frame.
        frame_skip: every how many frames one is kept.

    Returns:
        (kept frames, n).
    """
    kept = kept_frames(len(commands), frame_skip)
    return commands[np.minimum(kept + frame_skip - 1, len(commands) - 1)]


def actors_of_kept(actors: Sequence[Actor], frame_skip: int) -> list[Actor]:
    """Who acted from every kept frame until the next, (kept frames): nobody, where it is not one and the same."""
    spans = [actors[start : start + frame_skip] for start in kept_frames(len(actors), frame_skip)]
    return [span[0] if len(set(span)) == 1 else "nobody" for span in spans]
