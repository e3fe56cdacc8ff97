"""Which worker of a cluster this is, for errors that only one of them meets."""

from __future__ import annotations

import socket
import sys


def this_worker() -> str | None:
    """Address and host of the worker of dask.distributed whose task asks; None in any other thread."""
    module = sys.modules.get("distributed.worker")  # imported where there is a worker
    if module is None:
        return None
    try:
        worker = module.get_worker()
    except ValueError:
        return None
    return f"the worker {worker.address} (host {socket.gethostname()})"
