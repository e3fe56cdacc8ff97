"""What is in a file, and can't be read."""

from __future__ import annotations

from nexus_xr.diagnostics import Code
from nexus_xr.errors import NexusError
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.opening.select import Opening
from nexus_xr.server.failures import Failure

_UNREADABLE = frozenset(
    (
        Code.DATATYPE_UNREADABLE,
        Code.LINK_KIND_UNKNOWN,
        Code.LINK_UNREADABLE,
        Code.MEMBER_UNREADABLE,
        Code.NAMED_DATATYPE,
        Code.OBJECT_UNREADABLE,
    )
)


def check_readable(opening: Opening, path: str) -> None:
    """Raise an error where there is something at a path, or on the way to it, that can't be read.

    Parameters
    ----------
    opening
        The open file, in which nothing was found there.
    path
        The path, from the root on.

    Raises
    ------
    NexusError
        It is there, and why it can't be read.
    """
    for each in opening.diagnostics.having(_UNREADABLE):
        if f"{path}/".startswith(f"{each.path}/"):
            raise NexusError(f"{each.path} {each.message}")


def unresolved(path: str, link: Link) -> Failure:
    """What a client is told of a path whose link leads nowhere, or where nothing may be read."""
    return Failure(
        403 if link.is_refused else 404, f"Cannot resolve {path}: it is a link to {link}, which {link.trouble}"
    )
