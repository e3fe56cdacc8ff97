"""Copying a file, wherever it is, to a local path."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from .file import File
from .source import LocalSource
from .writers import refuse_written_here

_COPIED_AT_ONCE = 16 << 20
# Of which `st_blocks` counts, whatever the file system's own are.
_BLOCK_BYTES = 512


def copy_file(file: File, path: str) -> None:
    """Copy a file, byte for byte; what a local one has no blocks of on the disk, its copy has none of.

    Parameters
    ----------
    file
        The file.
    path
        A local path.
    """
    refuse_written_here(file)
    if file.is_local and file.policy.reach.is_everywhere:
        file.check()
        _copy_local(file.path, path)
        file.check()
        return
    with file.source() as source, open(path, "wb") as copy:
        _copy(source.read_into, copy, [(0, source.size)])


def _copy_local(path: str, copied: str) -> None:
    if not _has_holes(os.stat(path)):
        shutil.copyfile(path, copied)
        return
    with open(path, "rb") as stream, open(copied, "wb") as copy:
        source = LocalSource(path, stream.fileno(), os.fstat(stream.fileno()).st_size)
        _copy(source.read_into, copy, _stretches(stream.fileno(), source.size))
        copy.truncate(source.size)


def _has_holes(found: os.stat_result) -> bool:
    """Whether the disk has less of a file than it is long, and the system tells where that is."""
    return hasattr(os, "SEEK_DATA") and found.st_blocks * _BLOCK_BYTES < found.st_size


def _stretches(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the bytes of a file begin and end that the disk has."""
    end = 0
    while end < size:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # there are no more, or it has become shorter
                return
            raise
        yield begin, end


def _copy(read_into: Callable[[memoryview, int], int], copy: BinaryIO, stretches: Iterable[tuple[int, int]]) -> None:
    buffer = memoryview(bytearray(_COPIED_AT_ONCE))
    for begin, end in stretches:
        copy.seek(begin)
        while begin < end:
            count = read_into(buffer[: end - begin], begin)
            if not count:  # it has become shorter, which is told by who asks whether it is the same
                return
            copy.write(buffer[:count])
            begin += count
