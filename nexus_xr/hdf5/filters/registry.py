"""All filters that are known: a new one is a module of its own, and a line here."""

from __future__ import annotations

from .codec import Codec, Decode, DecodePart, Options
from .codecs.bitshuffle import BITSHUFFLE
from .codecs.blosc import BLOSC
from .codecs.blosc2 import BLOSC2
from .codecs.bzip2 import BZIP2
from .codecs.deflate import DEFLATE
from .codecs.fletcher32 import FLETCHER32
from .codecs.lz4 import LZ4
from .codecs.lzf import LZF
from .codecs.only_libhdf5 import FCIDECOMP, HTJ2K, NBIT, SCALEOFFSET, SPERR, SZ, SZ3, SZIP, ZFP
from .codecs.shuffle import SHUFFLE
from .codecs.zstd import ZSTD

CODECS: dict[int, Codec] = {
    codec.number: codec
    for codec in (
        DEFLATE,
        SHUFFLE,
        FLETCHER32,
        SZIP,
        NBIT,
        SCALEOFFSET,
        BZIP2,
        LZF,
        BLOSC,
        LZ4,
        BITSHUFFLE,
        ZFP,
        ZSTD,
        SZ,
        FCIDECOMP,
        SZ3,
        BLOSC2,
        SPERR,
        HTJ2K,
    )
}


def decoder(number: int, options: Options, chunk_bytes: int) -> Decode | None:
    """The decoder of a filter, None where it is libhdf5's to decode.

    Parameters
    ----------
    number
        Number of the filter as registered with The HDF Group.
    options
        Client data values of the filter.
    chunk_bytes
        Bytes of a decoded chunk.

    Examples
    --------
    >>> decoder(32013, (), 1 << 20) is None  # zfp
    True
    """
    codec = CODECS.get(number)
    return None if codec is None or codec.decode is None else codec.decode(options, chunk_bytes)


def part_decoder(number: int, options: Options, chunk_bytes: int) -> DecodePart | None:
    """The decoder of parts of a filter's chunks, None where only whole chunks can be decoded.

    Parameters
    ----------
    number, options, chunk_bytes
        As for `decoder`.

    Examples
    --------
    >>> part_decoder(DEFLATE.number, (1,), 1 << 20) is None
    True
    """
    codec = CODECS.get(number)
    return None if codec is None or codec.decode_part is None else codec.decode_part(options, chunk_bytes)
