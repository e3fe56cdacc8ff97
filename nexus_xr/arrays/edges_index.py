"""An index of xarray that knows the edges of the bins around its values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.indexes import Index, PandasIndex

from nexus_xr.errors import NexusError

from .bins import bounds_of, same_bits

_SHOWN_DIGITS = 6


class _AlignsWithCentres(type):
    """Has xarray align bins with plain centres: it does so only with indexes whose classes are equal."""

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is PandasIndex

    def __hash__(cls) -> int:
        return hash(PandasIndex)


class EdgesIndex(PandasIndex, metaclass=_AlignsWithCentres):
    """The centres of bins, looked up like any index of xarray, with the bins' edges, which go where the centres go.

    Selection, alignment, concatenation, sorting, renaming, copying and pickling keep it. What makes values of a
    coordinate anew, as `coarsen`, `pad` or arithmetic with the coordinate, leaves an index of the new values alone.

    Parameters
    ----------
    array
        Centres, of shape (n,).
    dim
        Name of the dimension.
    coord_dtype
        Type of the coordinate's values.
    fastpath
        Whether the centres are an index of pandas already.
    bounds
        Lower and upper edge of each bin, of shape (n, 2), in the unit of the centres.

    Examples
    --------
    >>> counts = xr.DataArray([3, 5, 2], dims="tof", coords={"tof": [5.0, 15.0, 30.0]})
    >>> counts = counts.drop_indexes("tof").set_xindex("tof", EdgesIndex, edges=[0, 10, 20, 40])
    >>> counts[1:].xindexes["tof"]
    EdgesIndex(2 bins of 'tof' from 10 to 40)
    >>> counts.isel(tof=[0, 2]).xindexes["tof"].bounds.tolist()
    [[0, 10], [20, 40]]
    """

    __slots__ = ("bounds",)

    bounds: NDArray[Any]

    def __init__(
        self, array: Any, dim: Hashable, coord_dtype: Any = None, *, fastpath: bool = False, bounds: NDArray[Any]
    ) -> None:
        super().__init__(array, dim, coord_dtype, fastpath=fastpath)
        self.bounds = bounds

    @classmethod
    def around(cls, centres: PandasIndex, bounds: NDArray[Any]) -> EdgesIndex:
        """An index of centres with the bins around them."""
        return cls(centres.index, centres.dim, centres.coord_dtype, fastpath=True, bounds=bounds)

    @classmethod
    def from_variables(  # type: ignore[override]
        cls, variables: Mapping[Any, xr.Variable], *, options: Mapping[str, Any]
    ) -> PandasIndex:
        """As `xarray.Dataset.set_xindex` makes it of a coordinate and `edges`, n + 1 of them or n pairs.

        Without edges it is an index of centres alone: whoever makes an index of the same kind of other values, as
        pint-xarray does in other units, knows none.
        """
        centres = PandasIndex.from_variables(variables, options={})
        if "edges" not in options:
            return centres
        edges = np.asarray(options["edges"])
        bounds = bounds_of(edges) if edges.ndim == 1 else edges
        if bounds.shape != (centres.index.size, 2):
            raise NexusError(
                f"edges of shape {edges.shape} for {centres.index.size} values of {centres.index.name!r}: "
                "expected one more than there are values, or a lower and an upper one for each"
            )
        return cls.around(centres, bounds)

    @classmethod
    def concat(  # type: ignore[override]
        cls, indexes: Sequence[PandasIndex], dim: Hashable, positions: Iterable[Iterable[int]] | None = None
    ) -> PandasIndex:
        """Bins behind each other; centres alone where some have no edges."""
        places = None if positions is None else [np.asarray(each) for each in positions]
        centres = PandasIndex.concat(indexes, dim, places)
        bounds = [index.bounds for index in indexes if isinstance(index, EdgesIndex)]
        if not bounds or len(bounds) < len(indexes):
            return centres
        joined = np.concatenate(bounds)
        return cls.around(centres, joined if places is None else joined[np.argsort(np.concatenate(places))])

    def __getitem__(self, positions: Any) -> EdgesIndex:
        return self.around(self._replace(self.index[positions]), self.bounds[positions])

    def isel(self, indexers: Mapping[Any, Any]) -> EdgesIndex | None:
        """The bins at positions; None where these aren't along the dimension."""
        positions = indexers[self.dim]
        if isinstance(positions, xr.Variable):
            if positions.dims != (self.dim,):
                return None
            positions = positions.values
        return self[positions] if isinstance(positions, slice) or np.ndim(positions) else None

    def join(self, other: PandasIndex, how: str = "inner") -> PandasIndex:  # type: ignore[override]
        """Bins that are in both, or in either; centres alone where the edges of some of these aren't known."""
        mine, others = map(centres_alone, (self, other))
        centres = mine.join(others, how)
        known = [index for index in (self, other) if isinstance(index, EdgesIndex)]
        if not known:
            return centres
        every = known[0].index.append([index.index for index in known[1:]])
        is_first = ~every.duplicated()
        places = every[is_first].get_indexer(centres.index)
        if (places < 0).any():
            return centres
        bounds = np.concatenate([index.bounds for index in known])
        return EdgesIndex.around(centres, bounds[is_first][places])

    def reindex_like(self, other: Any, method: Any = None, tolerance: Any = None) -> dict[Hashable, Any]:
        """Where the bins of another index are in this one.

        Raises
        ------
        NexusError
            Bins have the same middle and other edges.
        """
        found = super().reindex_like(other, method, tolerance)
        if method is None and isinstance(other, EdgesIndex):
            places = found[self.dim]
            self._check_same(self.bounds[places[places >= 0]], other.bounds[places >= 0])
        return found

    def _check_same(self, bounds: NDArray[Any], others: NDArray[Any]) -> None:
        differ = ~_are_close(bounds, others).all(axis=-1)
        if differ.any():
            first = int(np.argmax(differ))
            raise NexusError(
                f"bins of {self.index.name!r} have the same middles and other edges, {bounds[first]} and "
                f"{others[first]} the first of them; rebin one, or align centres alone after "
                f"drop_indexes({self.index.name!r}).set_xindex({self.index.name!r})"
            )

    def equals(self, other: Index, *, exclude: frozenset[Hashable] | None = None) -> bool:
        """Whether these are the same bins."""
        return isinstance(other, EdgesIndex) and bool(super().equals(other)) and same_bits(self.bounds, other.bounds)

    def roll(self, shifts: Mapping[Any, int]) -> EdgesIndex:
        """The bins, those at the end at the beginning."""
        return self.around(super().roll(shifts), np.roll(self.bounds, shifts[self.dim], axis=0))

    def rename(self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]) -> EdgesIndex:
        """The same bins under another name."""
        return self.around(super().rename(name_dict, dims_dict), self.bounds)

    def _copy(self, deep: bool = True, memo: dict[int, Any] | None = None) -> EdgesIndex:
        return self.around(super()._copy(deep, memo), self.bounds.copy() if deep else self.bounds)

    def _replace(self, index: Any, dim: Hashable = None, coord_dtype: Any = None) -> PandasIndex:
        """Centres alone, of which PandasIndex makes new ones."""
        return PandasIndex(index, dim or self.dim, coord_dtype or self.coord_dtype, fastpath=True)

    def __repr__(self) -> str:
        ends = f" from {_shown(self.bounds[0, 0])} to {_shown(self.bounds[-1, 1])}" if len(self.bounds) else ""
        return f"EdgesIndex({len(self.bounds)} bins of {self.index.name!r}{ends})"


def _are_close(bounds: NDArray[Any], others: NDArray[Any]) -> Any:
    """Whether edges are as close as rounding can bring those whose middles are the same."""
    if bounds.dtype.kind in "mM":
        return ~(np.abs(bounds - others).astype(np.int64) > 1)
    return np.isclose(bounds, others, rtol=1e-6, atol=0, equal_nan=True)


def _shown(edge: Any) -> str:
    return str(edge) if edge.dtype.kind in "mM" else f"{edge:.{_SHOWN_DIGITS}g}"


def centres_alone(index: PandasIndex) -> PandasIndex:
    """An index of the same values that knows of no bins."""
    return PandasIndex(index.index, index.dim, index.coord_dtype, fastpath=True)
