"""What a service is told when it is started: what it serves, whom, and how much of it at once."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError
from nexus_xr.hdf5.runtime.cpus import available_cpus
from nexus_xr.signatures import check_types

# Any name, or any origin.
ANY = "*"
# What browsers send for pages that have none.
_OPAQUE = "null"
# Of schemes, which browsers leave off.
_PORTS = {"http": 80, "https": 443}
_TOKEN_BYTES = 24
# Names and numbers of IP, without what stands before them or behind them in an address.
_NAME = re.compile(r"[^\s@/?#\\:\[\]]+|\[?[0-9a-fA-F:]*:[0-9a-fA-F:.]*\]?")
# What needs no quoting in a path, and is taken for no other one.
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True)
class Folder:
    """A folder that is served.

    Parameters
    ----------
    name
        What addresses of its files begin with; empty where it is the only one.
    path
        Its absolute path, once all links are followed.
    """

    name: str
    path: str


@dataclass(frozen=True)
class Limits:
    """How much a service does, for one request and at a time.

    Parameters
    ----------
    workers
        Processes that read and decode; 0 for as many as there are CPUs for this process.
    worker_memory
        Bytes of memory that each of them may take, beyond what it has when it starts.
    seconds
        How long one may take for a part of an answer.
    decoded
        Bytes of decoded chunks that one request may take.
    sent
        Bytes of values that one answer may have.
    whole
        Bytes of values of an answer that can't be made in parts: an image.
    held
        Bytes of answers that may wait in memory to be sent; further large answers wait for that. One client has no more
        than it leaves free for others, half of it where it is alone.
    waiting
        Requests that may wait for a worker, or for memory, at a time. Each is a connection of 16 KiB, and an open file,
        of which a process has 1024 unless ``ulimit -n`` says otherwise.
    patience
        Seconds that a client may take to send its request, or to take a part of the answer.
    """

    workers: int = 0
    worker_memory: int = 1 << 30
    seconds: float = 60.0
    decoded: int = 16 << 30
    sent: int = 8 << 30
    whole: int = 64 << 20
    held: int = 512 << 20
    waiting: int = 768
    patience: float = 60.0

    def __post_init__(self) -> None:
        check_types(self, **dict.fromkeys((each.name for each in fields(self)), 0))

    @property
    def chunks_kept(self) -> int:
        """Bytes of decoded chunks that a worker keeps from one part of an answer to the next."""
        return self.worker_memory // 2

    @property
    def worker_count(self) -> int:
        """Processes that read and decode."""
        return self.workers or available_cpus()


@dataclass(frozen=True)
class Settings:
    """What a service is told.

    Parameters
    ----------
    folders
        What it serves.
    token
        What clients have to show; None where they don't have to show anything.
    hosts
        Names by which it is reached, besides those of this machine; "*" for any.
    origins
        Origins whose pages may use it, besides its own.
    limits
        How much it does at once.
    """

    folders: tuple[Folder, ...]
    token: str | None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


def folders_of(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> tuple[Folder, ...]:
    """The folders at these paths; several are told apart by their own names.

    Raises
    ------
    TypeError
        One of them is no path.
    NexusFileNotFoundError
        One of them is no folder.
    NexusFileError
        One of them may not be read.
    NexusError
        There is none.
    """
    given: Any = paths
    listed = [given] if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable) else list(given)
    for path in listed:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"folders={paths!r}: expected a path, or several, found {type(path).__name__}")
    resolved = list(dict.fromkeys(_resolved(os.fspath(path)) for path in listed))
    if not resolved:
        raise NexusError("no folder to serve; name one, or several")
    if len(resolved) == 1:
        return (Folder("", resolved[0]),)
    return tuple(Folder(name, path) for name, path in zip(_distinct(resolved), resolved, strict=True))


def _resolved(path: str) -> str:
    real = os.path.realpath(os.path.expanduser(path))
    if not os.path.isdir(real):
        raise NexusFileNotFoundError(f"{path}: there is no such folder; name one that is there")
    if not os.access(real, os.R_OK | os.X_OK):
        raise NexusFileError(f"{path}: this process may not list it or open what is in it; give its user the right to")
    return real


def _distinct(paths: Iterable[str]) -> Iterator[str]:
    """A name for each path: its own for the first that has it, and for others one that none has."""
    own = [os.path.basename(path) or "root" for path in paths]
    taken, given = {*own}, set[str]()
    for base in own:
        name, number = base, 1
        while name in given or (number > 1 and name in taken):
            number += 1
            name = f"{base}-{number}"
        given.add(name)
        yield name


def settings_of(
    folders: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    token: str | bool,
    hosts: Iterable[str],
    origins: Iterable[str],
    limits: Limits | None,
) -> Settings:
    """What a service is told, found to be what it can keep to.

    Raises
    ------
    TypeError
        Something is of another type than it should be: who is let in isn't guessed.
    NexusError
        There is no such folder, the token can't be shown, or a host or an origin is none.
    """
    if not isinstance(limits, Limits | None):
        raise TypeError(f"limits={limits!r}: expected Limits or None, found {type(limits).__name__}")
    own = folders_of(folders), token_of(token), _hosts(_names("hosts", hosts)), _origins(_names("origins", origins))
    return Settings(*own, limits or Limits())


def token_of(token: str | bool) -> str | None:
    """The token that clients have to show: a random one for True, none for False.

    Raises
    ------
    TypeError
        It is none of them, as None of a variable that isn't set.
    NexusError
        It is empty, or has characters that no header has.
    """
    if token is True:
        return secrets.token_urlsafe(_TOKEN_BYTES)
    if token is False:
        return None
    if not isinstance(token, str):
        found = type(token).__name__
        raise TypeError(f"the token: expected text, True for a random one, or False to let everybody in, found {found}")
    if not token.strip():
        raise NexusError("the token is empty; give one, or True for a random one, or False to let everybody in")
    if not (token.isascii() and token.isprintable()):
        raise NexusError("the token has characters that no header of HTTP has; give one of printable ASCII")
    return token


def _names(option: str, given: Iterable[str]) -> tuple[str, ...]:
    """One name, or several."""
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else (given,)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{option}={given!r}: expected a string, or several, found {type(name).__name__}")
    return names


def _hosts(given: tuple[str, ...]) -> tuple[str, ...]:
    """Names as they stand in addresses, in small letters."""
    for host in given:
        if host != ANY and not _NAME.fullmatch(host):
            raise NexusError(f"hosts: {host!r} is no name; give it without scheme, port and path, or {ANY!r}")
    return tuple(host.lower().strip("[]") for host in given)


def root_path_of(given: str) -> str:
    """The path under which a proxy has the service, as it stands before all paths of it; empty for the root.

    Raises
    ------
    NexusError
        It is none, or has characters that are written otherwise in addresses.

    Examples
    --------
    >>> root_path_of("data/"), root_path_of("/")
    ('/data', '')
    """
    inner = given.strip("/")
    path = f"/{inner}" if inner else ""
    if not _PATH.fullmatch(path):
        raise NexusError(f"root_path={given!r}: expected a path such as '/data', of letters, digits and any of -._~")
    return path


def _origins(given: tuple[str, ...]) -> tuple[str, ...]:
    """Origins as browsers send them."""
    return tuple(origin if origin in (ANY, _OPAQUE) else _origin(origin) for origin in given)


def _origin(given: str) -> str:
    """An origin as browsers send it: in small letters, and without the port that its scheme has anyway.

    Source: "Serialization of an origin" in the HTML standard, and RFC 6454, section 6.2.
    """
    told = given.lower().rstrip("/")
    if not _is_origin(told):
        raise NexusError(f"origins: {given!r} is none; give scheme and name, as https://h5web.example, or {ANY!r}")
    return told.removesuffix(f":{_PORTS.get(urlsplit(told).scheme)}")


def _is_origin(text: str) -> bool:
    """Whether a text is a scheme, a name and perhaps a port, and nothing else."""
    try:
        split = urlsplit(text)
        is_named = split.hostname is not None and split.port != 0
    except ValueError:  # of what is no address, or no port
        return False
    host = split.netloc
    return (
        bool(split.scheme) and is_named and text == f"{split.scheme}://{host}" and "@" not in host and host[-1] != ":"
    )
