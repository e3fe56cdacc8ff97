"""Which of dask's schedulers computes."""

from __future__ import annotations

import sys


def computes_elsewhere() -> bool:
    """Whether dask computes in other processes than this, which can't write to a file that is open here.

    These are the workers of a client of dask.distributed, or of dask's own pool of processes.
    """
    from dask.base import get_scheduler

    scheduler = get_scheduler()
    distributed = sys.modules.get("distributed")
    if distributed is not None and isinstance(getattr(scheduler, "__self__", None), distributed.Client):
        return True
    pool = sys.modules.get("dask.multiprocessing")
    return pool is not None and scheduler is pool.get
