"""Dataspaces: how many elements there are, in which dimensions.

Source: the HDF5 file format specification, section IV.A.2.b (the dataspace message).
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import Fields

_WHAT = "a dataspace"
_MOST_SPACES = 4096
_MOST_DIMENSIONS = 32
_MOST_ELEMENTS = 1 << 63
_HAS_MAXIMUM = 0x01
_SCALAR, _SIMPLE, _NULL = 0, 1, 2


class Dataspace(NamedTuple):
    """How many elements there are.

    Attributes
    ----------
    shape
        The length of each dimension; None where there are no elements and no dimensions either.
    maximum
        The most that each may become, None where nothing limits it.
    """

    shape: tuple[int, ...] | None
    maximum: tuple[int | None, ...]

    @property
    def element_count(self) -> int:
        """How many elements there are."""
        return 0 if self.shape is None else prod(self.shape)


@lru_cache(_MOST_SPACES)
def parse_dataspace(content: bytes, length_size: int = 8) -> Dataspace:
    """The dataspace that a message describes.

    Parameters
    ----------
    content
        The bytes of the message.
    length_size
        Bytes of a length in the file.

    Raises
    ------
    FormatError
        It contradicts itself, or the message ends before it does.

    Examples
    --------
    >>> parse_dataspace(bytes((2, 1, 1, 1, 3, 0, 255, 255)), 2)
    Dataspace(shape=(3,), maximum=(None,))
    """
    fields = Fields(content, _WHAT)
    version, rank, flags, kind = (fields.number(1) for _ in range(4))
    if version not in (1, 2) or rank > _MOST_DIMENSIONS:
        raise FormatError(f"{_WHAT} has version {version} and {rank} dimensions")
    if version == 1:
        fields.take(4)
    elif kind == _NULL:
        return Dataspace(None, ())
    elif kind not in (_SCALAR, _SIMPLE) or (kind == _SCALAR and rank):
        raise FormatError(f"{_WHAT} is of kind {kind} with {rank} dimensions")
    shape = tuple(fields.number(length_size) for _ in range(rank))
    if prod(shape) >= _MOST_ELEMENTS or (shape and max(shape) >= _MOST_ELEMENTS):
        raise FormatError(f"{_WHAT} has more elements than there can be")
    if not flags & _HAS_MAXIMUM:
        return Dataspace(shape, shape)
    return Dataspace(shape, tuple(fields.optional(length_size) for _ in range(rank)))
