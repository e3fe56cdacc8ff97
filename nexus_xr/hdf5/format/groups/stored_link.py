"""A link as it is stored, whatever it is stored in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from nexus_xr.hdf5.format.compiled import LinkFields

HARD, SOFT, EXTERNAL = 0, 1, 64


class StoredLink(NamedTuple):
    """A link as it is stored.

    Attributes
    ----------
    name
        What it is called in its group.
    kind
        `HARD`, `SOFT`, `EXTERNAL`, or a number beyond that programs define.
    address
        The object header that a hard link leads to.
    target
        The path that a soft link leads to, or what is stored of others.
    order
        Tells in which order links were made, where that is tracked.
    """

    name: bytes
    kind: int
    address: int | None = None
    target: bytes = b""
    order: int = 0


# A named tuple's own way takes three times as long.
as_link: Callable[[LinkFields], StoredLink] = partial(tuple.__new__, StoredLink)
