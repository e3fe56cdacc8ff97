"""Which of dask's schedulers computes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from nexus_xr.errors import NexusError


def computes_elsewhere() -> bool:
    """Whether dask doesn't compute in threads of its own in this process, which can write to a file that is open here.

    Instead it does with the workers of a client of dask.distributed, or with its own pool of processes.
    """
    import dask.multiprocessing
    from dask.base import get_scheduler

    distributed = sys.modules.get("distributed")
    if distributed is None and dask.config.get("scheduler", None) is None:
        return False  # without asking, which would import it
    scheduler = get_scheduler()
    is_client = distributed is not None and isinstance(getattr(scheduler, "__self__", None), distributed.Client)
    return is_client or scheduler is dask.multiprocessing.get


def refuse_elsewhere(path: str, arrays: Iterable[Any]) -> None:
    """Raise an error where some of the arrays would be computed in other processes, for a file that is changed here."""
    if computes_elsewhere() and any(hasattr(each, "dask") for each in arrays):
        raise NexusError(
            f"{path}: nothing was written: only dask's own threads in this process change what is there, and dask "
            "computes with a client's workers or in other processes; "
            'write in threads: with dask.config.set(scheduler="threads"): ...'
        )
