"""The bytes of an HDF5 file by the addresses that are in it.

Source: the HDF5 file format specification, section II.A: addresses count from the base address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.source import FileObjectError, Source

from .compiled import Kept
from .faults import FormatError

_BLOCK_BYTES = 32 << 10
# Blocks that are kept; all are let go together when they are more.
_MOST_BLOCKS = 32
# What lies near each other is read together, up to so many bytes: where at least a quarter of it is wanted.
_MOST_TOGETHER_BYTES = 256 << 10
_NEAR = 4


class FileBytes:
    """What is at an address, read block by block and kept within bounds.

    Parameters
    ----------
    source
        The bytes of the file.
    base
        Where addresses count from: the size of the user block.
    offset_size, length_size
        Bytes of an address, and of a length.

    Attributes
    ----------
    size
        Bytes from the base to the end of the file.
    undefined
        The address of what isn't there.
    kept
        What is kept of it, for the compiled module.
    """

    __slots__ = ("_blocks", "base", "kept", "length_size", "offset_size", "size", "source", "undefined")

    def __init__(self, source: Source, base: int = 0, offset_size: int = 8, length_size: int = 8) -> None:
        self.source = source
        self._blocks: dict[int, bytes] = {}
        self.base = base
        self.offset_size = offset_size
        self.length_size = length_size
        self.size = source.size - base
        self.undefined = (1 << 8 * offset_size) - 1
        self.kept: Kept = (self._blocks, _BLOCK_BYTES, base, length_size, offset_size)

    def read(self, address: int, size: int) -> bytes:
        """So many bytes from an address on.

        Raises
        ------
        FormatError
            The file ends before.
        """
        found = self.read_up_to(address, size)
        if len(found) != size:
            raise FormatError(f"the {size} bytes at address {address} are beyond the end of the file")
        return found

    def read_up_to(self, address: int, size: int) -> bytes:
        """So many bytes from an address on, or all that there are."""
        left = self.size - address
        if size > left:
            size = left
        if address < 0 or size <= 0:
            return b""
        begin = self.base + address
        number, within = begin // _BLOCK_BYTES, begin % _BLOCK_BYTES
        if within + size <= _BLOCK_BYTES:
            return (self._blocks.get(number) or self._block(number))[within : within + size]
        if size > _BLOCK_BYTES:
            return self._fetch(begin, size)
        rest = within + size - _BLOCK_BYTES
        return self._block(number)[within:] + self._block(number + 1)[:rest]

    def read_behind(self, start: bytes, address: int, behind: int, size: int) -> bytes:
        """So many bytes from somewhere behind an address on, at which some were read before; raises as `read` does."""
        found = start[behind : behind + size] if behind >= 0 else b""
        return found if len(found) == size else self.read(address + behind, size)

    def read_each(self, addresses: Sequence[int], sizes: Sequence[int]) -> Iterator[bytes]:
        """So many bytes from each address on, or all that there are; side by side where each waits for the network.

        Raises
        ------
        FormatError
            An address is beyond the end of the file.
        """
        if addresses and not (min(addresses) >= 0 and max(addresses) < self.size):
            raise FormatError(f"address {max(addresses)} is beyond the end of the file")
        begins = [self.base + address for address in addresses]
        if not self.source.plans_ahead:
            yield from self._near_together(begins, sizes)
            return
        with self.source.expecting(lambda: (begins, sizes)) as source:
            for begin, size in zip(begins, sizes, strict=True):
                yield _read(source, begin, min(size, self.base + self.size - begin))

    def _near_together(self, begins: Sequence[int], sizes: Sequence[int]) -> Iterator[bytes]:
        held, held_at = b"", 0
        for begin, size, following in zip(begins, sizes, [*begins[1:], -1], strict=False):
            within = begin - held_at
            if not 0 <= within <= len(held) - size:
                is_near = begin < following <= begin + _NEAR * size
                held, held_at, within = self._fetch(begin, max(size, _MOST_TOGETHER_BYTES if is_near else 0)), begin, 0
            yield held[within : within + size]

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            if len(self._blocks) >= _MOST_BLOCKS:
                self._blocks.clear()
            block = self._blocks[number] = self._fetch(number * _BLOCK_BYTES, _BLOCK_BYTES)
        return block

    def _fetch(self, begin: int, size: int) -> bytes:
        return _read(self.source, begin, min(size, self.source.size - begin))


def _read(source: Source, begin: int, size: int) -> bytes:
    view = memoryview(bytearray(size))
    try:
        return bytes(view[: source.read_into(view, begin)])
    except OSError as error:
        if isinstance(error, NexusFileError) and not isinstance(error, FileObjectError):
            raise  # it isn't these bytes that are wrong
        raise FormatError(f"the bytes from {begin} on can't be read ({error})") from error
