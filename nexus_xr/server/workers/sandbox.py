"""What a worker may take: memory, time, and nothing but to read."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path

from nexus_xr.server.settings import Limits


def limit(limits: Limits) -> None:
    """Have the system end this process before it takes more than it may, or too long; cores aren't written."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_AS, _memory_in_use() + limits.worker_memory)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _memory_in_use() -> int:
    """Bytes of addresses that this process has by now."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def start_clock(seconds: float) -> None:
    """Have the system end this process in so many seconds, whatever it does then; 0 for never."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
