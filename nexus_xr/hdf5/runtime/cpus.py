"""How many CPUs there are: what the user says, or affinity and the quota of the control group."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from nexus_xr.errors import NexusError

VARIABLE = "NEXUS_XR_NUM_THREADS"


def thread_count() -> int:
    """Threads that one read may use: what ``NEXUS_XR_NUM_THREADS`` says, or the CPUs that this process may use."""
    return asked_threads() or available_cpus()


def asked_threads() -> int | None:
    """What ``NEXUS_XR_NUM_THREADS`` says, None where it says nothing.

    Raises
    ------
    NexusError
        It is no number of threads.
    """
    asked = os.environ.get(VARIABLE, "").strip()
    if not asked:
        return None
    if not asked.isdecimal() or int(asked) < 1:
        raise NexusError(f"{VARIABLE}={asked!r}: expected a whole number of threads, 1 or more; set it so, or unset it")
    return int(asked)


def available_cpus() -> int:
    """CPUs that this process may use by its affinity and by the quota of its control group."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _own_cgroup_quota()
    return max(1, allowed if quota is None else min(allowed, round(quota)))


@functools.cache
def _own_cgroup_quota() -> float | None:
    return _cgroup_quota()


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """CPUs that the control group grants, the least of it and of those above; None where there is no limit."""
    quotas = [quota for folder in _cgroup_folders(root, own) if (quota := _quota_in(folder)) is not None]
    return min(quotas, default=None)


def _cgroup_folders(root: Path, own: Path) -> Iterator[Path]:
    yield root
    yield root / "cpu"
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "" or "cpu" in controllers.split(","):
                folder = root / ("cpu" if controllers else "") / path.lstrip("/")
                yield from (above for above in (folder, *folder.parents) if above.is_relative_to(root))


def _quota_in(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):  # version 2 of control groups
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):  # version 1
        granted = int((folder / "cpu.cfs_quota_us").read_text())
        return granted / int((folder / "cpu.cfs_period_us").read_text()) if granted > 0 else None
    return None
