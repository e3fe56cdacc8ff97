"""What other packages don't promise to keep: why it is needed all the same, and since when it is there."""

from __future__ import annotations

import ctypes
import socket
import sys
import threading
from concurrent.futures import thread
from typing import Any

from .libraries import Address, Function, Signature, Size, function

FLETCHER32 = "h5py", "H5_checksum_fletcher32"


def fletcher32(result_bytes: int) -> Function | None:
    """The checksum of the filter Fletcher32, of an address and a number of bytes.

    libhdf5 has it for itself, and exports it. Since 1.8.0.
    """
    return function(*FLETCHER32, Signature(ctypes.c_uint32, (Address, Size)), result_bytes)


def is_in_pool() -> bool:
    """Whether a thread of a pool asks, as dask's schedulers have them: the others of the pool use the other CPUs.

    Nothing public tells of it. A thread of `concurrent.futures` is known by its target, since Python 3.2, and not by
    that module's own register of threads, in which they are entered only after they began; one of dask.distributed by
    the state of the task that it runs, in all versions that go with this package.
    """
    worker = sys.modules.get("distributed.worker")
    in_distributed = worker is not None and hasattr(getattr(worker, "thread_state", None), "execution_state")
    return in_distributed or getattr(threading.current_thread(), "_target", None) is thread._worker


def this_worker() -> str | None:
    """Address and host of the worker of dask.distributed whose task asks; None in any other thread.

    For errors that only one worker of a cluster meets. The module is there where there is a worker.
    """
    module = sys.modules.get("distributed.worker")
    if module is None:
        return None
    try:
        worker = module.get_worker()
    except ValueError:
        return None
    return f"the worker {worker.address} (host {socket.gethostname()})"


def give_attrs(obj: Any, attrs: dict[Any, Any]) -> None:
    """Make a dictionary of a class of its own the ``attrs`` of a Dataset or a Variable of xarray.

    Assigning to ``attrs`` makes a plain one of it. What is kept under ``_attrs`` stays as it is where objects are
    selected from, copied, computed and pickled; in all versions that go with this package.
    """
    obj._attrs = attrs or None


async def get_s3_object(fs: Any, **arguments: Any) -> Any:
    """What S3 answers to a request for an object, and not only its bytes as `cat_file` gives them.

    What version the bytes are of is told in the answer alone. In s3fs since 0.5.
    """
    return await fs._call_s3("get_object", **arguments)


def opened_s3_options(opened: Any) -> dict[str, Any]:
    """What an open file of s3fs asks S3 for beside a range of itself: a version, one that is still the same, who pays.

    Before s3fs had ``read_kw``, ``req_kw`` was all of it but for the version.
    """
    asked = {"VersionId": opened.version_id, **getattr(opened, "read_kw", opened.req_kw)}
    return {name: value for name, value in asked.items() if value is not None}
