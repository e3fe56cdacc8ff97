"""Where the service listens: sockets that are bound before anything is started."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

from nexus_xr.errors import NexusError


def listening_at(host: str, port: int, count: int) -> list[list[socket.socket]]:
    """For each of so many processes a socket for each address of a host.

    Where there are several processes, the system tells connections out among them.

    Raises
    ------
    NexusError
        There is no such host, or the port isn't to be had.
    """
    try:
        return _listening(host, port, count)
    except OSError as error:
        where = f"host={host!r}, port={port}"
        raise NexusError(f"{where}: {error.strerror or error}; choose another host, or another port") from error


def _listening(host: str, port: int, count: int) -> list[list[socket.socket]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[list[socket.socket]] = [[] for _ in range(count)]
    with ExitStack() as failed:
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            with _bound(family, (address[0], port), is_shared=False) as alone:  # or another service has the port
                port = alone.getsockname()[1]
            for own in sockets:
                own.append(failed.enter_context(_bound(family, (address[0], port), is_shared=count > 1)))
        failed.pop_all()
    return sockets


def _bound(family: int, address: tuple[str | int, int], *, is_shared: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would have several services share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound
