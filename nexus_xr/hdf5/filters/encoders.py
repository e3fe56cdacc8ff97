"""Encoders of HDF5's filters: what makes the stored bytes of a chunk, outside libhdf5 and its lock.

An encoder takes the bytes of one chunk and gives what its filter makes of them, or None where that would be no
smaller and the chunk is stored without the filter. Filters of `hdf5plugin` are called by the very function that
libhdf5 calls; filters that aren't here are libhdf5's to encode.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.runtime.libraries import Address, Allocated, Signature, Size, function
from nexus_xr.hdf5.runtime.memory import empty
from nexus_xr.hdf5.runtime.threads import OfThread

from .codecs import BITSHUFFLE, BLOSC, BLOSC2, BZIP2, DEFLATE, FLETCHER32, LZ4, LZF, SHUFFLE, ZSTD

Bytes = NDArray[np.uint8]
Encode = Callable[[Bytes], Bytes | None]
# Options of the filter in the file, bytes of a chunk -> its encoder; None where a library is missing.
Make = Callable[[tuple[int, ...], int], Encode | None]

_BYTE = np.dtype(np.uint8)
# Filters of `hdf5plugin` whose functions any thread may call, by the name of their library.
_PLUGINS = {
    BZIP2: "bzip2",
    LZ4: "lz4",
    BITSHUFFLE: "bshuf",
    ZSTD: "zstd",
    BLOSC: "blosc",
    BLOSC2: "blosc2",
    32013: "zfp",
}


class EncodeError(ValueError):
    """A filter gave no result for a chunk."""


# Libdeflate's state, by level, which no two threads may share.
_compressors: OfThread[dict[int, Allocated]] = OfThread(dict)


def _address(array: Bytes) -> int:
    return int(array.__array_interface__["data"][0])


# Libdeflate's levels that make files at most 3 % larger than zlib's at each level, and mostly smaller: of bytes that
# were shuffled, and of others.
_EFFORT_SHUFFLED = (0, 1, 1, 1, 1, 1, 2, 4, 6, 8)
_EFFORT = (0, 2, 2, 3, 3, 4, 4, 6, 7, 8)


def _deflate(options: tuple[int, ...], chunk_bytes: int) -> Encode | None:
    return _deflate_with(options, _EFFORT, chunk_bytes)


def _deflate_shuffled(options: tuple[int, ...], chunk_bytes: int) -> Encode | None:
    return _deflate_with(options, _EFFORT_SHUFFLED, chunk_bytes)


def _deflate_with(options: tuple[int, ...], efforts: Sequence[int], chunk_bytes: int) -> Encode | None:
    level = min(options[0], 9) if options else 6
    effort = efforts[level]
    allocate = function("deflate", "libdeflate_alloc_compressor", Signature(Address, (ctypes.c_int,)), 0)
    free = function("deflate", "libdeflate_free_compressor", Signature(None, (Address,)), 0)
    bound = function("deflate", "libdeflate_zlib_compress_bound", Signature(Size, (Address, Size)), 0)
    call = function(
        "deflate", "libdeflate_zlib_compress", Signature(Size, (Address, Address, Size, Address, Size)), chunk_bytes
    )
    if allocate is None or free is None or bound is None or call is None:
        return _zlib(level)

    def encode(source: Bytes) -> Bytes:
        compressors = _compressors.own
        if effort not in compressors:
            compressors[effort] = Allocated(allocate(effort), free)
        target = empty((bound(None, source.nbytes),), _BYTE)
        made = call(compressors[effort].address, _address(source), source.nbytes, _address(target), target.nbytes)
        if not made:
            raise EncodeError("libdeflate made nothing of it")
        return target[:made]

    return encode


def _zlib(level: int) -> Encode:
    import zlib

    return lambda source: np.frombuffer(zlib.compress(source.tobytes(), level), _BYTE)


def _shuffle(options: tuple[int, ...], chunk_bytes: int) -> Encode | None:
    width = options[0] if options else 1
    if width <= 1:
        return lambda source: source
    call = function(
        "blosc2", "blosc2_shuffle", Signature(ctypes.c_int, (ctypes.c_int, ctypes.c_int, Address, Address)), chunk_bytes
    )

    def encode(source: Bytes) -> Bytes:
        whole = source.nbytes - source.nbytes % width
        target = empty((source.nbytes,), _BYTE)
        if call is None or width > 255:
            target[:whole].reshape(width, -1)[...] = source[:whole].reshape(-1, width).T
        else:
            call(width, whole, _address(source), _address(target))
        target[whole:] = source[whole:]
        return target

    return encode


def _fletcher32(options: tuple[int, ...], chunk_bytes: int) -> Encode | None:
    checksum = function("h5py", "H5_checksum_fletcher32", Signature(ctypes.c_uint32, (Address, Size)), chunk_bytes)
    if checksum is None:
        return None

    def encode(source: Bytes) -> Bytes:
        target = empty((source.nbytes + 4,), _BYTE)
        target[:-4] = source
        target[-4:] = np.frombuffer(checksum(_address(source), source.nbytes).to_bytes(4, "little"), _BYTE)
        return target

    return encode


def _lzf(options: tuple[int, ...], chunk_bytes: int) -> Encode | None:
    call = function(
        "h5py",
        "lzf_compress",
        Signature(ctypes.c_uint, (Address, ctypes.c_uint, Address, ctypes.c_uint)),
        chunk_bytes,
    )
    if call is None:
        return None

    def encode(source: Bytes) -> Bytes | None:
        target = empty((source.nbytes,), _BYTE)
        made = call(_address(source), source.nbytes, _address(target), target.nbytes)
        return target[:made] if made else None

    return encode


class _FilterClass(ctypes.Structure):
    """`H5Z_class2_t` of HDF5's H5Zpublic.h."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("id", ctypes.c_int),
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


def _plugin(library: str) -> Make:
    def make(options: tuple[int, ...], chunk_bytes: int) -> Encode | None:
        describe = function(library, "H5PLget_plugin_info", Signature(ctypes.POINTER(_FilterClass), ()), 0)
        if describe is None:
            return None
        call = _FilterFunction(describe().contents.filter)
        malloc, free = _allocator()
        values = (ctypes.c_uint * len(options))(*options)

        def encode(source: Bytes) -> Bytes | None:
            buffer = Address(malloc(max(source.nbytes, 1)))
            room = Size(source.nbytes)
            try:
                ctypes.memmove(buffer, _address(source), source.nbytes)
                made = call(
                    0,
                    len(options),
                    ctypes.addressof(values),
                    source.nbytes,
                    ctypes.addressof(room),
                    ctypes.addressof(buffer),
                )
                if not made:
                    return None
                target = empty((made,), _BYTE)
                ctypes.memmove(_address(target), buffer, made)
                return target
            finally:
                free(buffer)

        return encode

    return make


REGISTRY: dict[int, Make] = {
    DEFLATE: _deflate,
    SHUFFLE: _shuffle,
    FLETCHER32: _fletcher32,
    LZF: _lzf,
    **{number: _plugin(library) for number, library in _PLUGINS.items()},
}


class Encoder:
    """Encodes chunks by the filters of a dataset, in their order.

    Parameters
    ----------
    filters
        The filters in the order of writing.
    chunk_bytes
        Bytes of a chunk.

    Raises
    ------
    LookupError
        There is a filter that only libhdf5 encodes.
    """

    def __init__(self, filters: Sequence[Filter], chunk_bytes: int) -> None:
        self._steps: list[Encode] = []
        for before, step in zip([None, *filters], filters, strict=False):
            is_shuffled = before is not None and before.id == SHUFFLE and step.id == DEFLATE
            make = _deflate_shuffled if is_shuffled else REGISTRY.get(step.id)
            encode = None if make is None else make(step.options, chunk_bytes)
            if encode is None:
                raise LookupError(step.name or str(step.id))
            self._steps.append(encode)

    @property
    def has_filters(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._steps)

    def encode(self, chunk: Bytes) -> tuple[Bytes, int]:
        """The stored bytes of a chunk, and its filter mask: a bit for each filter that was left out."""
        mask = 0
        for position, step in enumerate(self._steps):
            made = step(chunk)
            if made is None:
                mask |= 1 << position
            else:
                chunk = made
        return chunk, mask
