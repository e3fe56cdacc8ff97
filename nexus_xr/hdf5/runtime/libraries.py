"""Shared libraries that other packages bring, called without a copy of their input or output.

`hdf5plugin` ships each of HDF5's registered filters with the compression library inside, `h5py` has LZF and HDF5
itself, and the package `deflate` has libdeflate. A function that isn't there in some build is None, and who asks for
it finds another way.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

# Below this size of the result, a call is shorter than giving up Python's lock and waiting to have it back.
SHORT_CALL_BYTES = 16 * 1024

Address = ctypes.c_void_p
Size = ctypes.c_size_t

Function = Callable[..., Any]


class Signature(NamedTuple):
    """How a C function is called."""

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
        return importlib.import_module("h5py.h5z").__file__
    if library == "deflate":
        return importlib.import_module("deflate._deflate").__file__
    import hdf5plugin

    # Whoever registered the filter: netCDF4 brings some of the same for libhdf5.
    names = sorted(name for name in os.listdir(hdf5plugin.PLUGIN_PATH) if name.startswith(f"libh5{library}."))
    return os.path.join(hdf5plugin.PLUGIN_PATH, names[0]) if names else None
