"""Which of dask's schedulers computes."""

from __future__ import annotations

import sys

from .errors import NexusError


def refuse_cluster(path: str) -> None:
    """Raise an error where dask's workers are those of a cluster, which can't write to the file of this process.

    Parameters
    ----------
    path
        The file that was to be written.
    """
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return
    from dask.base import get_scheduler

    if isinstance(getattr(get_scheduler(), "__self__", None), distributed.Client):
        raise NexusError(
            f"{path}: nothing was written, as the workers of a cluster can't write to the file of this process; "
            'write in its threads: with dask.config.set(scheduler="threads"): ...'
        )
