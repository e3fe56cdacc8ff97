"""The arrays of a Zarr hierarchy: what each is made of, in which chunks, and how these are encoded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.text import decode_array, is_text
from nexus_xr.hdf5.reading.array import LazyArray

from .codecs.chain import Chain


class Values(Protocol):
    """Values that are read when they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, key: Any) -> Any: ...


@dataclass(frozen=True, eq=False)
class ZarrArray:
    """An array of a hierarchy.

    Parameters
    ----------
    values
        Its values.
    stored
        The array of the file that the values are as they are stored, whose chunks may be passed on; None for others.
    chunks
        Shape of a chunk.
    element
        Dtype of an element in a chunk, which has the byte order of the file; of objects for text.
    fill
        One element that nobody has written; of no use for text.
    chain
        How chunks are encoded.
    dims
        Names of its dimensions.
    attributes
        Its attributes, as JSON has them.
    """

    values: Values
    stored: LazyArray | None
    chunks: tuple[int, ...]
    element: np.dtype[Any]
    fill: NDArray[Any]
    chain: Chain
    dims: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def is_text(self) -> bool:
        return self.element.kind == "O"

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along each dimension."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))

    def coordinates(self) -> Iterator[tuple[int, ...]]:
        """Where chunks are in the grid, all of them."""
        return iter(()) if 0 in self.grid else itertools.product(*map(range, self.grid))

    def origin(self, coordinate: Sequence[int]) -> tuple[int, ...]:
        """The first element of a chunk."""
        return tuple(at * length for at, length in zip(coordinate, self.chunks, strict=True))


@dataclass(frozen=True, eq=False)
class MemberArray:
    """One member of the elements of a compound type.

    Parameters
    ----------
    whole
        The compounds.
    names
        Name of the member, behind those of the members that it is in.
    """

    whole: LazyArray
    names: tuple[str, ...]

    @cached_property
    def _types(self) -> list[np.dtype[Any]]:
        """The types of the members on the way, each of which may be an array."""
        first = self.whole.raw_dtype
        return list(itertools.accumulate(self.names, lambda dtype, name: dtype.base[name], initial=first))[1:]

    @property
    def shape(self) -> tuple[int, ...]:
        return sum((dtype.shape for dtype in self._types), self.whole.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def is_text(self) -> bool:
        return is_text(self._element)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(object) if self.is_text else self._element

    @property
    def _element(self) -> np.dtype[Any]:
        return self._types[-1].base if self.names else self.whole.raw_dtype

    def __getitem__(self, key: Any) -> Any:
        rank = self.whole.ndim
        values = reduce(lambda values, name: values[name], self.names, np.asarray(self.whole[key[:rank]]))
        values = decode_array(values) if self.is_text else values
        return values[(..., *key[rank:])] if key[rank:] else values
