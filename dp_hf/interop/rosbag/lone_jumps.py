"""Where one sender's clock was set while the others went on: its headers leap, the recorder's times do not."""

import numpy as np

from dp_hf.interop.rosbag.passes import Stamps

# Seconds. Less is within what messages of a frame may be apart.
SMALLEST_JUMP = 0.1
# Messages on either side, whose usual delay tells; with fewer than the least nothing does.
_MOST, _LEAST = 15, 5


def clock_shifts(stamps: Stamps) -> np.ndarray:
    """(messages,) seconds by which a sender's clock had jumped since its first message; messages without a time too.

    At a jump a header's step is unusual and the recorder's is not, and from there on messages seem to have taken
    another time to arrive. Messages that were held up, and then came at once, have the usual steps in their headers.
    """
    shifts = np.zeros(len(stamps.place))
    rows = np.flatnonzero(np.isfinite(stamps.made) & np.isfinite(stamps.received))
    if len(rows) < 2 * _LEAST:
        return shifts
    made, received = np.array(stamps.made)[rows], np.array(stamps.received)[rows]
    made_steps, received_steps = np.diff(made), np.diff(received)
    usual = np.median(made_steps)
    leaps = np.abs(made_steps - received_steps) > SMALLEST_JUMP
    leaps &= np.abs(made_steps - usual) > np.abs(received_steps - usual)
    ahead = made - received
    for row in np.flatnonzero(leaps) + 1:
        before, after = ahead[max(0, row - _MOST) : row], ahead[row : row + _MOST]
        jump = np.median(after) - np.median(before)
        if min(len(before), len(after)) >= _LEAST and abs(jump) > SMALLEST_JUMP:
            shifts[rows[row] :] += jump
    return shifts
