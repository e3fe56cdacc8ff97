"""How a file is read: what its user decided, for it and for all that it leads to."""

from __future__ import annotations

from dataclasses import dataclass

from .naming.reach import EVERYWHERE, Reach


@dataclass(frozen=True)
class ReadingPolicy:
    """How a file is read.

    Parameters
    ----------
    num_threads
        Most threads that a read may use; None for as many as there are CPUs for this process.
    fills_missing
        Whether sources of virtual datasets that are missing read as fill values; else they are an error.
    is_beside_writers
        Whether a local file, and what it leads to, is opened as a reader's beside its writer (SWMR).
    reach
        Which files may be read at all.
    """

    num_threads: int | None = None
    fills_missing: bool = True
    is_beside_writers: bool = False
    reach: Reach = EVERYWHERE
