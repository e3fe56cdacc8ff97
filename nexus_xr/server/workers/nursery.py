"""The process that workers come from: it has imported all that they need, and forks them in a few milliseconds.

``python -m nexus_xr.server.workers.nursery DESCRIPTOR`` takes settings from a socket, and then two descriptors for each
worker: its channel and its outbox. It ends when the socket is closed.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import site
import socket
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

from nexus_xr.server.jobs.served_files import Identities, identities_of
from nexus_xr.server.settings import Settings

from . import landlock
from .messages import NEW_WORKER, PROCESS, mapped, receive
from .worker import work

# What workers may need, so that none imports it anew; only with h5py, what only libhdf5 reads.
_IMPORTED = ("h5py", "hdf5plugin")
# What Python and libraries read besides their own folders.
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc", "/sys/fs/cgroup", "/dev/urandom")
_DEVICES = ("/dev/null",)


def main(descriptor: str) -> None:
    """Fork a worker for each pair of descriptors that comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the keyboard is the service's to handle
    warnings.simplefilter("ignore")
    requests = socket.socket(fileno=int(descriptor))
    content = receive(requests)
    if content is None:
        return
    settings: Settings = pickle.loads(content)
    for name in _IMPORTED:
        if find_spec(name) is not None:
            import_module(name)
    folders = identities_of(settings.folders)
    landlock.restrict([*_readable(), *(folder.path for folder in settings.folders)], _DEVICES)
    gc.freeze()  # what workers have in common stays so, as nothing looks through it for what could be freed
    requests.sendall(NEW_WORKER)
    while descriptors := socket.recv_fds(requests, len(NEW_WORKER), 2)[1]:
        _reap()
        process = os.fork()
        if process == 0:
            requests.close()
            _be_worker(settings, folders, *descriptors)
        with suppress(ConnectionError):  # nobody waits for it any more
            requests.sendall(PROCESS.pack(process))
        for each in descriptors:
            os.close(each)


def _readable() -> Iterator[str]:
    """Where Python and its packages are."""
    yield from (path for path in sys.path if path)
    yield from (sys.prefix, sys.base_prefix, os.path.dirname(os.path.realpath(sys.executable)))
    yield from (*sysconfig.get_paths().values(), *site.getsitepackages())
    yield from _SYSTEM


def _be_worker(settings: Settings, folders: Identities, channel: int, outbox: int) -> None:
    status = 1
    try:
        work(socket.socket(fileno=channel), mapped(outbox), settings, folders)
        status = 0
    except ConnectionError:  # nobody waits for its answers any more
        pass
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)


def _reap() -> None:
    """Forget the workers that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main(sys.argv[1])
