"""Datasets of an open file."""

from __future__ import annotations

import math
from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import SystemFaultError
from nexus_xr.hdf5.format.values import is_too_long
from nexus_xr.hdf5.format.virtual.virtual_mappings import VirtualMapping
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error, Hdf5Errors

from .datatypes import has_references
from .node import Node
from .storage import UNKNOWN, Filter, Storage
from .stored_values import StoredValues
from .text import is_text

if TYPE_CHECKING:
    from h5py import h5d


class Dataset(Node):
    """A dataset of an open file: its shape and type at once, its values when they are asked for.

    Attributes
    ----------
    extent
        The shape of its dataspace; none of a null one.
    raw_dtype
        The dtype of an element in the file.
    shape
        Its shape, with the dimensions that an array datatype adds.
    size
        How many elements there are, none in a null dataspace.
    is_null
        Whether its dataspace is a null one.
    """

    __slots__ = ("extent", "is_null", "raw_dtype", "shape", "size")

    def __init__(
        self,
        path: str,
        diagnostics: Diagnostics,
        extent: tuple[int, ...] | None,
        shape: tuple[int, ...],
        raw_dtype: np.dtype[Any],
    ) -> None:
        super().__init__(path, diagnostics)
        self.raw_dtype = raw_dtype
        self.is_null = extent is None
        self.extent = extent or ()
        self.shape = shape
        self.size = 0 if extent is None else math.prod(shape)

    @property
    @abstractmethod
    def encoded_type(self) -> bytes:
        """Its datatype as files have it."""

    @property
    @abstractmethod
    def is_being_written(self) -> bool:
        """Whether another process may add to it: whether its file is open as a reader's beside its writer (SWMR)."""

    @property
    @abstractmethod
    def can_grow(self) -> tuple[bool, ...]:
        """Whether each dimension has no end."""

    @property
    @abstractmethod
    def is_virtual(self) -> bool:
        """Whether it is made of parts of other datasets."""

    @property
    @abstractmethod
    def virtual_mappings(self) -> tuple[VirtualMapping, ...]:
        """Which parts of which datasets it is made of; none where it isn't virtual."""

    @property
    @abstractmethod
    def has_raw_files(self) -> bool:
        """Whether its values are in files of raw data."""

    @property
    @abstractmethod
    def origin(self) -> tuple[str, str] | None:
        """The file that it is in, to which links may have led, and a path of it there; None where it has none."""

    @abstractmethod
    def _read_storage(self) -> Storage:
        """How it is stored; raises an error where that can't be told."""

    @property
    def stored(self) -> StoredValues | None:
        """Where and how its values are stored; None where only libhdf5 knows. Raises an error where it is damaged."""
        return None

    @property
    def reads_itself(self) -> bool:
        """Whether `read` needs nothing but the file's description: values are neither in chunks nor in other files."""
        return True

    @abstractmethod
    def opened(self) -> AbstractContextManager[h5d.DatasetID]:
        """The dataset as libhdf5 has it open, for the length of a ``with`` block: for what only that knows."""

    @abstractmethod
    def read(self) -> Any:
        """All values: a Python scalar or `str`, an array, or an `h5py.Empty` for a null dataspace."""

    @property
    def nbytes(self) -> int:
        return self.size * self.raw_dtype.itemsize

    @property
    def why_no_array(self) -> str | None:
        """Why there are no values that an array could hold, None where there are."""
        if self.is_null:
            return "has no data (a null dataspace)"
        dtype = self.raw_dtype
        if dtype.kind == "O" and not is_text(dtype) and not has_references(dtype):
            return "has elements of varying length, which make no array"
        if is_too_long(self.shape):
            return "has no elements, and is longer than any array along other dimensions"
        return None

    @property
    def storage(self) -> Storage:
        """How it is stored; where that can't be told, it is reported."""
        try:
            return self._read_storage()
        except SystemFaultError:
            raise
        except AnyHdf5Error as error:
            self.report(Code.STORAGE_UNKNOWN, f"how it is stored can't be told ({error})")
            return Storage(UNKNOWN, None, ())

    @property
    def filters(self) -> tuple[Filter, ...]:
        """The filter pipeline; empty where it can't be told."""
        with Hdf5Errors(lambda _: None):
            return self._read_storage().filters
        return ()
