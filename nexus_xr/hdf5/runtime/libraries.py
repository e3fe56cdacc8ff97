"""Shared libraries that other packages bring, called without a copy of their input or output.

`hdf5plugin` ships each of HDF5's registered filters with the compression library inside, `h5py` has LZF and HDF5
itself, and the package `deflate` has libdeflate. A function that isn't there in some build is None, and who asks for
it finds another way.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

# Below this size of the result, a call is shorter than giving up Python's lock and waiting to have it back.
SHORT_CALL_BYTES = 16 * 1024

# Of compiled modules and libraries.
_ENDINGS = (".so", ".pyd", ".dll", ".dylib")

Address = ctypes.c_void_p
Size = ctypes.c_size_t

Function = Callable[..., Any]


class Signature(NamedTuple):
    """How a C function is called; of numbers that an argument doesn't hold ctypes leaves the highest bits off."""

    result: Any
    arguments: tuple[Any, ...]


class Allocated:
    """What a library allocated, given back to it when nobody holds this any more.

    Parameters
    ----------
    address
        Where it is; None where there was no memory.
    free
        The library's function that takes it back.
    """

    __slots__ = ("_free", "address")

    def __init__(self, address: int | None, free: Function) -> None:
        if address is None:
            raise MemoryError("a compression library found no memory")
        self.address = address
        self._free = free

    def __del__(self) -> None:
        with suppress(AttributeError):  # there was no memory
            self._free(self.address)


def function(library: str, name: str, signature: Signature, result_bytes: int = SHORT_CALL_BYTES) -> Function | None:
    """A function of a library, None where there is no such library or function.

    Parameters
    ----------
    library
        A filter's name in `hdf5plugin`, ``h5py`` or ``deflate``.
    name
        Name of the function.
    signature
        Types of its result and arguments.
    result_bytes
        What one call makes, by which Python's lock is released during it or is not.
    """
    return _function(library, name, signature, result_bytes < SHORT_CALL_BYTES)


def address_of_function(library: str, name: str) -> int | None:
    """Where a function of a library is, None where there is no such library or function."""
    found = function(library, name, Signature(None, ()))
    return ctypes.cast(found, ctypes.c_void_p).value if found is not None else None  # type: ignore[arg-type]


@functools.cache
def _function(library: str, name: str, signature: Signature, keeps_lock: bool) -> Function | None:
    path = _path(library)
    if path is None:
        return None
    try:
        found = _load(path, keeps_lock)[name]  # a new object each time, whose types nobody else sets
    except AttributeError:
        return None
    found.restype, found.argtypes = signature.result, list(signature.arguments)
    return found


@functools.cache
def _load(path: str, keeps_lock: bool) -> ctypes.CDLL:
    return ctypes.PyDLL(path) if keeps_lock else ctypes.CDLL(path)


@functools.cache
def _path(library: str) -> str | None:
    if library == "h5py":
        return _first_in(_folder_of("h5py"), "h5z.")
    if library == "deflate":
        return _first_in(_folder_of("deflate"), "_deflate.")
    # Whoever registered the filter: netCDF4 brings some of the same for libhdf5.
    return _first_in(os.path.join(_folder_of("hdf5plugin"), "plugins"), f"libh5{library}.")


def has_library(library: str) -> bool:
    """Whether there is a library of that name, as for `function`."""
    return _path(library) is not None


def _folder_of(package: str) -> str:
    """The folder of a package, which isn't imported: that takes as long as opening a file."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the package {package} isn't installed", name=package)
    return spec.submodule_search_locations[0]


def _first_in(folder: str, start: str) -> str | None:
    """The compiled module or library of a folder whose name begins so."""
    names = sorted(name for name in os.listdir(folder) if name.startswith(start) and name.endswith(_ENDINGS))
    return os.path.join(folder, names[0]) if names else None
