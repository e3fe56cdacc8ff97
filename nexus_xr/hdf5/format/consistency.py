"""Reading what somebody is writing meanwhile: again, until its parts agree.

Source: "Single-Writer/Multiple-Reader" of the HDF5 user guide. Who writes so writes each structure before those that
lead to it, and gives it a checksum, by which is seen that a part came before it was written and another after that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .faults import FormatError

# To write what belongs together takes a fraction of that, and what doesn't agree for so long is damaged.
MOST_SECONDS = 0.5
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
_T = TypeVar("_T")


def consistent(read: Callable[[], _T], seconds: float) -> _T:
    """What is read, at the first time that its parts agree.

    Parameters
    ----------
    read
        Reads it anew.
    seconds
        How long to go on; no time where nobody is writing.

    Raises
    ------
    FormatError
        They didn't agree for so long.
    """
    end, pause = time.monotonic() + seconds, _SHORTEST_PAUSE
    while True:
        try:
            return read()
        except FormatError:
            if time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
