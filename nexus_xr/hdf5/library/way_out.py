"""Objects that aren't known from their bytes, as libhdf5 has them."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import SystemFaultError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Budget, Group
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error, reason_of

if TYPE_CHECKING:
    import h5py


class LibraryWayOut:
    """Objects of a file, which is open from the first of them on.

    Parameters
    ----------
    file
        The file.
    number
        What tells it from other files.
    stack
        What closes it.
    """

    def __init__(self, file: File, number: Hashable, stack: ExitStack) -> None:
        self._file = file
        self._number = number
        self._stack = stack
        self._handle: h5py.File | None = None

    def __call__(self, place: bytes, path: str, diagnostics: Diagnostics, budget: Budget) -> Group | Dataset | None:
        from .access import open_object
        from .group import wrapped

        try:
            return wrapped(open_object(self._opened().id, place), path, diagnostics, budget)
        except SystemFaultError:
            raise
        except AnyHdf5Error as error:
            diagnostics.add(Code.OBJECT_UNREADABLE, path, f"can't be opened ({reason_of(error)})")
            return None

    def _opened(self) -> h5py.File:
        if self._handle is None:
            from .addresses import file_numbers

            self._handle = self._stack.enter_context(self._file.opened())
            file_numbers.remember(self._handle.id, self._number)
        return self._handle
