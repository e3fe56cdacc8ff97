"""What runs in a process of its own: the first try of a reader, and a load whose memory is measured."""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import memory
from .cases import BY_NAME as CASES
from .cases import row_stack, sparse_stack
from .contestants import BY_NAME as READERS
from .harness import reason
from .reading import KINDS, prepared


def _say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def probe(reader_name: str, kind_name: str, size: str, *case_names: str) -> None:
    """Read the small file of each case twice, and tell of the second time, which imports nothing."""
    for case_name in case_names:
        task = KINDS[kind_name].task(CASES[case_name], int(size), True)
        seconds, failure = 0.0, None
        try:
            for _ in range(2):
                with prepared(READERS[reader_name], task) as work:
                    start = time.perf_counter()
                    answer = work()
                    seconds = time.perf_counter() - start
                    failure = task.check(answer)
        except Exception as error:  # a peer may fail in any way; that is a result
            failure = reason(error)
        _say(case=case_name, seconds=seconds, failure=failure)


def load(reader_name: str, load_name: str, frames: str, limit: str) -> None:
    """Settle, wait for the start, run one load, and tell how it ended."""
    reader, run, stack = READERS[reader_name], memory.LOADS[load_name], sparse_stack(int(frames))
    tiny = row_stack(CASES["bitshuffle+LZ4"], 2)
    try:
        for reduces in (True, False):
            with reader.open(tiny, reduces) as opened:
                opened.total() if reduces else opened.read(slice(0, 1))
                if load_name == "rewrite" and opened.rewrite is not None:
                    run(opened, tiny)
    except Exception as error:  # a peer may fail in any way; that is a result
        _say(failure=reason(error))
        return
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    _say(idle=memory.status("self"))
    sys.stdin.readline()
    if int(limit):
        _set_limit(int(limit) << 20)
    start = time.perf_counter()
    failure = None
    try:
        with reader.open(stack, load_name in memory.BLOCKWISE) as opened:
            failure = run(opened, stack)
    except MemoryError as error:
        failure = f"MemoryError: {error}"[:140].rstrip(": ")
    except Exception as error:  # a peer may fail in any way; that is a result
        failure = reason(error)
    _say(seconds=time.perf_counter() - start, failure=failure, end=memory.status("self"))


def _set_limit(more_bytes: int) -> None:
    # RLIMIT_DATA: Linux counts with it what a process may write to and shares with nobody, the heap, large arrays
    # and the threads' stacks, and gives ENOMEM beyond it. RLIMIT_AS would also count files and libraries that are
    # mapped and the address space that the heaps of threads reserve and never use, RLIMIT_RSS does nothing, and a
    # control group kills in place of refusing.
    now = memory.status("self")["VmData"] << 10
    resource.setrlimit(resource.RLIMIT_DATA, (now + more_bytes, now + more_bytes))


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {"probe": probe, "load": load}
    commands[sys.argv[1]](*sys.argv[2:])
