"""Fletcher32: a checksum behind the bytes."""

from __future__ import annotations

import numpy as np

from nexus_xr.hdf5.filters.codec import BYTE, Bytes, Codec, Decode, DecodeError, Encode, Options, address_of, bytes_at
from nexus_xr.hdf5.format.messages.filter_pipeline import NAMES
from nexus_xr.hdf5.runtime import compat
from nexus_xr.hdf5.runtime.memory import empty

_CHECKSUM_BYTES = 4


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    checksum = compat.fletcher32(chunk_bytes)
    if checksum is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        if size < 5:
            raise DecodeError("it is too short to have a checksum")
        stored = int.from_bytes(bytes_at(source + size - 4, 4), "little")
        found = checksum(source, size - 4)
        # As old versions of HDF5 stored it: with the bytes of each half swapped.
        swapped = (found & 0x00FF00FF) << 8 | (found & 0xFF00FF00) >> 8
        if stored not in (found, swapped):
            raise DecodeError(f"its checksum (Fletcher32) is {found:#010x}, and {stored:#010x} is stored")
        return source, size - 4

    return decode


def _encoder(options: Options, chunk_bytes: int) -> Encode | None:
    checksum = compat.fletcher32(chunk_bytes)
    if checksum is None:
        return None

    def encode(source: Bytes) -> Bytes:
        target = empty((source.nbytes + 4,), BYTE)
        target[:-4] = source
        target[-4:] = np.frombuffer(checksum(address_of(source), source.nbytes).to_bytes(4, "little"), BYTE)
        return target

    return encode


FLETCHER32 = Codec(
    number=3,
    name=NAMES[3],
    decode=_decoder,
    encode=_encoder,
    most_encoded=lambda size: size + _CHECKSUM_BYTES,
    batch=lambda options: (compat.FLETCHER32,),
    ask=lambda properties, options: properties.set_fletcher32(),
)
