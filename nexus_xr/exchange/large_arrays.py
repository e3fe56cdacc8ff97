"""Arrays of metadata that aren't in memory, as variables, and as values of metadata again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray
from xarray.core import indexing

from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.reading.array import LazyArray, are_alike, same_values
from nexus_xr.nexus.rules.content import free_name
from nexus_xr.nexus.tree.metadata import StoredArray
from nexus_xr.opening.arrays import FileArray, origin_of

from .values import VariableName


@dataclass(frozen=True, eq=False)
class VariableArray(StoredArray):
    """The values of a variable, read when they are indexed."""

    variable: xr.Variable

    @property
    def shape(self) -> tuple[int, ...]:
        return self.variable.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.variable.dtype)
        return dtype

    @property
    def ndim(self) -> int:
        return self.variable.ndim

    def __repr__(self) -> str:
        return f"<VariableArray {self.shape} {self.dtype}>"

    def __getitem__(self, key: Any) -> Any:
        return self.variable[key].values

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.variable.values, dtype=dtype)

    def __eq__(self, other: object) -> bool:
        """Whether all values are the same."""
        if not isinstance(other, StoredArray | np.ndarray):
            return NotImplemented
        is_alike = self.shape == other.shape and are_alike(self.dtype, other.dtype)
        return is_alike and same_values(np.asarray(self), np.asarray(other))

    __hash__ = None  # type: ignore[assignment]


class LargeArrays:
    """What stands for the arrays of metadata that aren't in memory."""

    def __init__(self, dataset: xr.Dataset, is_writing: bool) -> None:
        self.is_writing = is_writing
        self.taken = set(map(str, dataset.variables))
        self.own = {str(name): origin_of(variable) for name, variable in dataset.variables.items()}
        self.variables: dict[str, xr.Variable] = {}

    def __call__(self, path: str, value: Any) -> Any:
        if not isinstance(value, StoredArray):
            return value
        own = next((name for name, array in self.own.items() if _is_same(array, value)), None)
        if own is not None:
            return VariableName(own)
        if isinstance(value, LazyArray) and not self.is_writing and value.layout is None:
            return value if not value.dtype.hasobject or is_text(value.raw_dtype) else np.asarray(value)
        name = free_name(path, self.taken)
        self.taken.add(name)
        self.variables[name] = _as_variable(value)
        return VariableName(name)


class RestoredArrays:
    """The arrays of metadata that are variables, and the names of these."""

    def __init__(self, variables: Mapping[str, xr.Variable]) -> None:
        self.variables = variables
        self.names: set[str] = set()

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, VariableName):
            return value
        self.names.add(value.name)
        return VariableArray(self.variables[value.name])


def _is_same(own: Any, array: StoredArray) -> bool:
    """Whether an array of the metadata is what a variable was opened as, by whatever name."""
    if not isinstance(own, LazyArray) or not isinstance(array, LazyArray):
        return False
    is_there = own.path == array.path or (own.address is not None and own.address == array.address)
    return is_there and own.shape == array.shape and own.file.token == array.file.token


def _as_variable(array: StoredArray) -> xr.Variable:
    dims = [f"dim{at}_{size}" for at, size in enumerate(array.shape)]
    if isinstance(array, VariableArray):
        return array.variable._replace(dims=dims, attrs={})
    assert isinstance(array, LazyArray)
    encoding = {"dtype": str} if array.dtype.kind == "O" and is_text(array.raw_dtype) else {}
    return xr.Variable(dims, indexing.LazilyIndexedArray(FileArray(array)), {}, encoding)
