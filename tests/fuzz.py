"""Chunks and chunk indexes, damaged in thousands of ways: the engine gives what h5py gives, or says what is wrong.

Run as ``python -m tests.fuzz TARGET FIRST LAST [SCALE]`` it tries the damages of these numbers, always the same; TARGET
is a filter of `tests.stacks`, an index of `INDEX_TARGETS`, or ``all``, and chunks are SCALE times as large as usual.
Each value is read in two other processes, once with nexus_xr and once with h5py, which may crash or never come back.
"""

from __future__ import annotations

import hashlib
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .child import Child, EndedError, answer_all
from .stacks import INDEXES, LOSSLESS, LOSSY, ONLY_LIBHDF5, counts, smooth, write_indexed

# Longer than any of the reads takes; a decoder that is still at work was led astray.
_PATIENCE_SECONDS = 20
# What a damaged size may make a decoder ask for.
_MOST_MEMORY = 6 << 30
# Regions of a file that tell where chunks are, by the signatures of the format's blocks (sections III.A and VII of the
# file format specification).
_INDEX_BLOCK = re.compile(rb"TREE\x01|FAHD|FADB|EAHD|EAIB|EASB|EADB|BTHD|BTIN|BTLF")
_LONGEST_BLOCK = 4096
_BYTES = (0, 255, 127, 128)

FILTERS: dict[str, Mapping[str, Any]] = {**LOSSLESS, **ONLY_LIBHDF5, **LOSSY}
INDEX_TARGETS: dict[str, Mapping[str, Any]] = {
    f"{index} of {filters}": {**options, **LOSSLESS[filters]}
    for index, options in INDEXES.items()
    if index != "implicit"  # which is a number in the dataset's header
    for filters in ("none", "gzip+shuffle")
}
TARGETS = (*FILTERS, *INDEX_TARGETS)

# Filters that nexus_xr leaves to h5py. Of a damaged chunk, some of their decoders give what happens to be in memory,
# another thing each time, or crash where they didn't before.
_H5PY_DECODES = (*ONLY_LIBHDF5, "zfp", "zfp reversible", "sz", "sz3", "sperr")

Key = list[tuple[int, int]]


@dataclass(frozen=True)
class Stack:
    """What is written before it is damaged."""

    values: NDArray[Any]
    chunks: tuple[int, ...]
    # Selections that are read: (start, stop) of each dimension.
    keys: list[Key]


@cache
def stack_of(target: str, scale: int) -> Stack:
    """The undamaged values of a target."""
    if target in INDEX_TARGETS:  # enough chunks for a tree of two floors
        return Stack(counts((30, 12)), (2, 2), [[(0, 30), (0, 12)], [(0, 2), (0, 2)], [(7, 20), (3, 4)]])
    shape = (3, 16 * scale, 32)
    values = smooth(shape) if target in LOSSY else counts(shape)
    rows, columns = (0, 16 * scale), (0, 32)
    return Stack(values, (1, *shape[1:]), [[(0, 3), rows, columns], [(1, 2), rows, columns], [(1, 2), (3, 5), (5, 7)]])


def write_case(path: Path, target: str, number: int, scale: int) -> None:
    """Write /data with the damage of that number; without any for a negative one."""
    stack, random_ = stack_of(target, scale), random.Random(f"{target} {number}")
    if target in INDEX_TARGETS:
        content = bytearray(_indexed(target))
        if number >= 0:
            # One block: of two damages, h5py may notice the one and nexus_xr the other.
            _flip(content, random_, random_.choice(_index_blocks(target)))
        path.write_bytes(content)
        return
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "data", stack.values.shape, stack.values.dtype, chunks=stack.chunks, **FILTERS[target]
        )
        for row, (mask, chunk) in enumerate(_stored(target, scale)):
            damaged = _damage(bytearray(chunk), random_) if row == 1 and number >= 0 else chunk
            dataset.id.write_direct_chunk((row, 0, 0), bytes(damaged), mask)


@cache
def _stored(target: str, scale: int) -> list[tuple[int, bytes]]:
    """The filter mask and the bytes of each chunk as libhdf5 stores them."""
    stack = stack_of(target, scale)
    with h5py.File("stored", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("data", data=stack.values, chunks=stack.chunks, **FILTERS[target])
        file.flush()
        return [dataset.id.read_direct_chunk((row, 0, 0)) for row in range(len(stack.values))]


@cache
def _indexed(target: str) -> bytes:
    stack = stack_of(target, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "indexed.h5"
        write_indexed(path, stack.values, stack.chunks, **INDEX_TARGETS[target])
        return path.read_bytes()


@cache
def _index_blocks(target: str) -> list[range]:
    """Where the blocks of the index are in the file, without the parts of them that are not in use."""
    content = _indexed(target)
    starts = [found.start() for found in _INDEX_BLOCK.finditer(content)]
    blocks: list[range] = []
    for start, end in zip(starts, [*starts[1:], len(content)], strict=True):
        block = content[start : min(end, start + _LONGEST_BLOCK)].rstrip(b"\0\xff")
        if block.startswith(b"TREE"):
            # A key has sizes and an offset for each dimension and one more; there is one more than there are children.
            key = 8 + 8 * (stack_of(target, 1).values.ndim + 1)
            block = content[start : start + 24 + int.from_bytes(block[6:8], "little") * (key + 8) + key]
        blocks.append(range(start, start + len(block)))
    return blocks


def _damage(chunk: bytearray, random_: random.Random) -> bytearray:
    kind = random_.random()
    if kind < 0.75:
        _flip(chunk, random_, range(len(chunk)))
    elif kind < 0.9:
        del chunk[random_.randrange(1, len(chunk)) :]
    elif kind < 0.95:
        chunk += random_.randbytes(random_.randrange(1, 99))
    else:
        begin = random_.randrange(len(chunk))
        chunk[begin:] = random_.randbytes(len(chunk) - begin)
    return chunk


def _flip(content: bytearray, random_: random.Random, positions: Any) -> None:
    """Change one to four bytes, often among the first, where headers are."""
    for _ in range(random_.randint(1, 4)):
        among = len(positions) if random_.random() < 0.5 else min(48, len(positions))
        at = positions[random_.randrange(among)]
        content[at] = random_.choice((*_BYTES, random_.randrange(256), content[at] ^ 1 << random_.randrange(8)))


# --- reading in other processes --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """A value as a digest of it; or an error, and whether it is one that may be."""

    value: str | None
    error: str = ""
    is_allowed: bool = False


class Reader:
    """A process that reads."""

    def __init__(self, library: str) -> None:
        self._child = Child("tests.fuzz", "--read-with", library, patience=_PATIENCE_SECONDS)

    def read(self, path: Path, stack: Stack, key: Key) -> Outcome:
        """What comes of reading a selection."""
        try:
            return Outcome(*self._child.ask((str(path), stack.values.shape, stack.values.dtype.str, key)))
        except EndedError as error:
            return Outcome(None, str(error))

    def end(self) -> None:
        """End the process."""
        self._child.end()


@dataclass(frozen=True)
class Readers:
    """A process for each way to read."""

    nexus_xr: Reader
    h5py: Reader


@contextmanager
def both_readers() -> Iterator[Readers]:
    """Readers for the length of a ``with`` block."""
    readers = Readers(Reader("nexus_xr"), Reader("h5py"))
    try:
        yield readers
    finally:
        readers.nexus_xr.end()
        readers.h5py.end()


def _serve(library: str) -> None:
    """Answer requests until there are no more."""
    read, allowed = _with_nexus_xr() if library == "nexus_xr" else _with_h5py()

    def answer(request: Any) -> tuple[Any, ...]:
        path, shape, dtype, key = request
        try:
            values = read(path, tuple(shape), np.dtype(dtype), tuple(slice(*part) for part in key))
            digest = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
            return (f"{values.shape} {values.dtype} {digest}",)
        except BaseException as error:
            return (None, f"{type(error).__name__}: {error}", isinstance(error, allowed))

    answer_all(answer, _MOST_MEMORY)


Read = Callable[[str, tuple[int, ...], np.dtype[Any], tuple[slice, ...]], NDArray[Any]]


def _with_nexus_xr() -> tuple[Read, tuple[type[BaseException], ...]]:
    from nexus_xr.errors import NexusError
    from nexus_xr.hdf5.io.file import File
    from nexus_xr.hdf5.reading.array import LazyArray
    from nexus_xr.hdf5.runtime import children

    children.PATIENCE_SECONDS = _PATIENCE_SECONDS // 4

    def read(path: str, shape: tuple[int, ...], dtype: np.dtype[Any], key: tuple[slice, ...]) -> NDArray[Any]:
        values: NDArray[Any] = LazyArray(File(path), "/data", shape, dtype)[key]
        return values

    return read, (NexusError, MemoryError)


def _with_h5py() -> tuple[Read, tuple[type[BaseException], ...]]:
    import hdf5plugin  # noqa: F401  registers its filters

    def read(path: str, shape: tuple[int, ...], dtype: np.dtype[Any], key: tuple[slice, ...]) -> NDArray[Any]:
        with h5py.File(path, "r", locking=False) as file:
            values: NDArray[Any] = file["data"][key]
            return values

    return read, (Exception,)


# --- what may come out -----------------------------------------------------------------------------------------


def complaint(target: str, path: Path, stack: Stack, key: Key, undamaged: Outcome, readers: Readers) -> str | None:
    """What is wrong with the value that nexus_xr gives, None where all is well.

    What was written is never wrong, also where h5py takes a chunk that its search misses for one that isn't there.
    """
    ours = readers.nexus_xr.read(path, stack, key)
    if ours.is_allowed or ours.value == undamaged.value:
        return None
    if ours.value is None:
        return ours.error
    theirs = readers.h5py.read(path, stack, key)
    if theirs.value == ours.value or (target in _H5PY_DECODES and not theirs.is_allowed):
        return None
    return f"it gives a wrong value, and h5py {'another' if theirs.value else f'none ({theirs.error})'}"


def try_cases(target: str, numbers: range, folder: Path, readers: Readers, scale: int = 1) -> Iterator[str]:
    """Complaints about the damages of these numbers; their files stay in the folder."""
    stack = stack_of(target, scale)
    place = re.sub(r"\W+", "-", target)
    write_case(folder / f"{place}.h5", target, -1, scale)
    undamaged = []
    for key in stack.keys:
        ours, theirs = (reader.read(folder / f"{place}.h5", stack, key) for reader in (readers.nexus_xr, readers.h5py))
        if ours.value is None or ours.value != theirs.value:
            yield f"{target}, undamaged, {key}: {ours}, and h5py {theirs}"
            return
        undamaged.append(ours)
    for number in numbers:
        path = folder / f"{place}-{number}.h5"
        write_case(path, target, number, scale)
        is_fine = True
        for key, right in zip(stack.keys, undamaged, strict=True):
            found = complaint(target, path, stack, key, right, readers)
            if found is not None:
                is_fine = False
                yield f"{target}, number {number}, {key} of {path}: {found}"
        if is_fine:
            path.unlink()


def main(target: str, first: str, last: str, scale: str = "1") -> int:
    """Try damages of one target or of all, and print what is wrong."""
    folder = Path(tempfile.mkdtemp(prefix="nexus_xr-fuzz-"))
    total = 0
    with both_readers() as readers:
        for each in TARGETS if target == "all" else (target,):
            complaints = 0
            for text in try_cases(each, range(int(first), int(last)), folder, readers, int(scale)):
                complaints += 1
                print(text, flush=True)
            print(f"{each}: {complaints} complaints", flush=True)
            total += complaints
    return min(total, 1)


if __name__ == "__main__":
    if sys.argv[1] == "--read-with":
        _serve(sys.argv[2])
    else:
        sys.exit(main(*sys.argv[1:]))
