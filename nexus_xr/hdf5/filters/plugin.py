"""Encoding by the very function of hdf5plugin that libhdf5 calls, outside libhdf5 and its lock."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from ctypes import c_int
from typing import Any

from nexus_xr.hdf5.runtime.libraries import Address, Signature, Size, function
from nexus_xr.hdf5.runtime.memory import empty

from .codec import BYTE, Bytes, Encode, Options, address_of


class _FilterClass(ctypes.Structure):
    """`H5Z_class2_t` of HDF5's H5Zpublic.h."""

    _fields_ = (
        ("version", c_int),
        ("id", c_int),
        ("encoder_present", ctypes.c_uint),
        ("decoder_present", ctypes.c_uint),
        ("name", ctypes.c_char_p),
        ("can_apply", Address),
        ("set_local", Address),
        ("filter", Address),
    )


_FilterFunction = ctypes.CFUNCTYPE(Size, ctypes.c_uint, Size, Address, Size, Address, Address)


@functools.cache
def _allocator() -> tuple[Any, Any]:
    """`malloc` and `free`, in whose memory libhdf5 hands chunks to filters."""
    process = ctypes.CDLL(None)
    process.malloc.restype, process.malloc.argtypes = Address, [Size]
    process.free.restype, process.free.argtypes = None, [Address]
    return process.malloc, process.free


def plugin_encoder(library: str, most: int | None = None) -> Callable[[Options, int], Encode | None]:
    """Makes encoders of a filter whose function any thread may call.

    Parameters
    ----------
    library
        The name of its library.
    most
        Of how many bytes at most that makes something that it decodes again; None where of any number.
    """

    def make(options: Options, chunk_bytes: int) -> Encode | None:
        describe = function(library, "H5PLget_plugin_info", Signature(ctypes.POINTER(_FilterClass), ()), 0)
        if describe is None:
            return None
        call = _FilterFunction(describe().contents.filter)
        malloc, free = _allocator()
        values = (ctypes.c_uint * len(options))(*options)

        def encode(source: Bytes) -> Bytes | None:
            if most is not None and source.nbytes > most:
                return None
            buffer = Address(malloc(max(source.nbytes, 1)))
            if not buffer:
                raise MemoryError(f"there is no memory for the {source.nbytes} bytes of a chunk that is to be encoded")
            size = Size(source.nbytes)
            try:
                ctypes.memmove(buffer, address_of(source), source.nbytes)
                made = call(
                    0,
                    len(options),
                    ctypes.addressof(values),
                    source.nbytes,
                    ctypes.addressof(size),
                    ctypes.addressof(buffer),
                )
                if not made:
                    return None
                target = empty((made,), BYTE)
                ctypes.memmove(address_of(target), buffer, made)
                return target
            finally:
                free(buffer)

        return encode

    return make
