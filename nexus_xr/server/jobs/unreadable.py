"""What is in a file, and can't be read."""

from __future__ import annotations

from nexus_xr.diagnostics import Code
from nexus_xr.errors import NexusError
from nexus_xr.opening.select import Opening

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
