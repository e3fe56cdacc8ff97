"""Datasets of an open file."""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5f, h5i, h5s

from nexus_xr.diagnostics import Diagnostics

from .datatypes import known_type
from .node import Node, to_python
from .virtual import check_readable


class Dataset(Node):
    """A dataset of an open file: its shape and type at once, its values when they are asked for."""

    __slots__ = ("_type", "is_null", "shape", "size")

    def __init__(self, object_id: h5d.DatasetID, path: str, diagnostics: Diagnostics) -> None:
        super().__init__(object_id, path, diagnostics)
        space = object_id.get_space()
        self._type = known_type(object_id.get_type())
        extent = space.shape
        self.is_null = extent is None
        self.shape: tuple[int, ...] = (*(extent or ()), *self._type.inner_shape)
        self.size = 0 if self.is_null else math.prod(self.shape)

    @property
    def raw_dtype(self) -> np.dtype[Any]:
        """The dtype of an element in the file."""
        return self._type.element

    @property
    def is_being_written(self) -> bool:
        """Whether another process may add to it: whether its file is open as a reader's beside its writer (SWMR)."""
        return bool(h5i.get_file_id(self.id).get_intent() & h5f.ACC_SWMR_READ)

    @property
    def can_grow(self) -> tuple[bool, ...]:
        """Whether each dimension has no end."""
        ends = () if self.is_null else self.id.get_space().get_simple_extent_dims(True)
        return (*(end == h5s.UNLIMITED for end in ends), *(False for _ in self._type.inner_shape))

    @property
    def nbytes(self) -> int:
        return self.size * self.raw_dtype.itemsize

    @property
    def why_no_array(self) -> str | None:
        """Why there are no values that an array could hold, None where there are."""
        if self.is_null:
            return "has no data (a null dataspace)"
        if self.raw_dtype.kind == "O" and not self._type.is_text and not self._type.has_references:
            return "has elements of varying length, which make no array"
        return None

    def read(self) -> Any:
        """All values: a Python scalar or `str`, an array, or an `h5py.Empty` for a null dataspace."""
        if self.is_null:
            return h5py.Empty(self.raw_dtype)
        check_readable(self.id)
        values = np.empty(() if self.size == 1 else self.shape, self.raw_dtype)
        if values.size:
            self.id.read(h5s.ALL, h5s.ALL, values, mtype=self._type.memory)
        return to_python(values, self._type, self.id)
