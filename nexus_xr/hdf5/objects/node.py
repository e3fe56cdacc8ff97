"""What groups and datasets of an open file have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Hashable, Iterable, Iterator, Set
from typing import Any, NamedTuple

import numpy as np

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.hdf5.runtime.hdf5_errors import Hdf5Errors, reason_of

from .text import decode

# What tells a file from others, and where in it an object is.
Address = tuple[Hashable, int]
_CHANGEABLE = frozenset({np.ndarray, np.void})


class AttributeType(NamedTuple):
    """What an attribute is.

    Attributes
    ----------
    shape
        Its shape, with no dimensions that its datatype adds; None for a null dataspace.
    dtype
        The dtype of what is in the file, as h5py has it.
    encoded
        Its datatype as files have it.
    """

    shape: tuple[int, ...] | None
    dtype: np.dtype[Any]
    encoded: bytes


class Node:  # no `ABC`, with which each `isinstance` takes several times as long
    """What groups and datasets have in common."""

    __slots__ = ("_attributes", "diagnostics", "path")

    def __init__(self, path: str, diagnostics: Diagnostics) -> None:
        self.path = path
        self.diagnostics = diagnostics
        self._attributes: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    @property
    @abstractmethod
    def address(self) -> Address:
        """What tells one object from another under whatever names it is reached."""

    @abstractmethod
    def _read_attributes(self) -> dict[str, Any]:
        """All attributes that can be read, of the others it is reported why not."""

    @abstractmethod
    def attribute_types(self) -> dict[str, AttributeType]:
        """What the attributes that can be read are, whatever their values."""

    def named_types(self) -> Iterable[Node]:
        """The named datatypes that it and its attributes are of; none where libhdf5 describes it."""
        return ()

    def report(self, code: Code, message: str) -> None:
        """Say what is the matter with it."""
        self.diagnostics.add(code, self.path, message)

    def reporting(self, code: Code, message: str, path: str | None = None) -> Hdf5Errors:
        """Have errors in a ``with`` block reported, of the object itself or of one below it."""
        return Hdf5Errors(
            lambda error: self.diagnostics.add(code, path or self.path, f"{message} ({reason_of(error)})")
        )

    def read_attributes(self) -> dict[str, Any]:
        """All attributes; one that can't be read is reported and left out. They are the caller's to change."""
        if self._attributes is None:
            self._attributes = self._read_attributes()
        found = self._attributes
        if _CHANGEABLE.isdisjoint(map(type, found.values())):
            return found.copy()
        return {name: value.copy() if type(value) in _CHANGEABLE else value for name, value in found.items()}

    def distinct(self, raw_names: Collection[bytes]) -> Iterable[bytes]:
        """Names that differ as text; of two that don't, only the one in UTF-8 can be asked for."""
        return raw_names if b"".join(raw_names).isascii() else self._distinct(frozenset(raw_names), raw_names)

    def _distinct(self, known: Set[bytes], raw_names: Iterable[bytes]) -> Iterator[bytes]:
        for raw_name in raw_names:
            if raw_name.isascii():
                yield raw_name
                continue
            name = decode(raw_name)
            if raw_name != name.encode() and name.encode() in known:
                self.report(Code.NAME_CLASH, f"two names read {name!r}; the one that is {raw_name!r} is left out")
            else:
                yield raw_name


def same_object(a: Node, b: Node) -> bool:
    """Whether two paths lead to one object."""
    return a.address == b.address
