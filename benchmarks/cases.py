"""The files that are read: stacks of frames in the layouts and filters that facilities use, made once and kept."""

from __future__ import annotations

import functools
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from .harness import UnsupportedError, data_directory

MEBIBYTE = 1 << 20
DATASET = "/entry/data/counts"
# So many different ones that no cache of decoded or stored bytes flatters anyone.
DISTINCT_FRAMES = 16
DISTINCT_ROWS = 256
# Counts in a pixel.
MEAN = 10
# Frames that are read at once where a part of a stack is.
SLAB = 64

ZarrCodecs = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """A way to store the values.

    Parameters
    ----------
    name
        How the tables call it.
    layout
        What `h5py.Group.create_dataset` is given for it.
    zarr
        Arguments of `zarr.create_array` for the same in Zarr; None where Zarr has nothing like it.
    zarr_note
        What the Zarr copy is stored as, or why there is none.
    """

    name: str
    layout: Mapping[str, Any] = field(default_factory=dict)
    zarr: ZarrCodecs | None = None
    zarr_note: str = ""

    @property
    def slug(self) -> str:
        return self.name.lower().replace("+", "-")


def _zarr_plain() -> Mapping[str, Any]:
    return {"compressors": None}


def _zarr_gzip() -> Mapping[str, Any]:
    from zarr.codecs import GzipCodec

    return {"compressors": GzipCodec(level=4)}


def _zarr_shuffled_gzip() -> Mapping[str, Any]:
    from zarr.codecs import GzipCodec
    from zarr.codecs import numcodecs as wrapped

    return {"compressors": (wrapped.Shuffle(elementsize=2), GzipCodec(level=4))}


def _zarr_lz4() -> Mapping[str, Any]:
    from zarr.codecs import numcodecs as wrapped

    return {"compressors": wrapped.LZ4()}


def _zarr_blosc(shuffle: Any) -> Mapping[str, Any]:
    from zarr.codecs import BloscCodec

    return {"compressors": BloscCodec(typesize=2, cname="lz4", clevel=5, shuffle=shuffle)}


def _zarr_zstd() -> Mapping[str, Any]:
    from zarr.codecs import ZstdCodec

    return {"compressors": ZstdCodec(level=3)}


CASES = (
    Case("contiguous", {"chunks": None}, zarr_note="Zarr has no contiguous layout"),
    Case("none", {}, _zarr_plain),
    Case("gzip", {"compression": "gzip", "compression_opts": 4}, _zarr_gzip),
    Case("gzip+shuffle", {"compression": "gzip", "compression_opts": 4, "shuffle": True}, _zarr_shuffled_gzip),
    Case("LZF+shuffle", {"compression": "lzf", "shuffle": True}, zarr_note="Zarr has no LZF"),
    Case(
        "bitshuffle+LZ4",
        {"compression": hdf5plugin.Bitshuffle(cname="lz4")},
        functools.partial(_zarr_blosc, "bitshuffle"),
        "as Blosc (LZ4, bitshuffle)",
    ),
    Case("LZ4", {"compression": hdf5plugin.LZ4()}, _zarr_lz4),
    Case(
        "Blosc",
        {"compression": hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE)},
        functools.partial(_zarr_blosc, "shuffle"),
    ),
    Case(
        "Blosc2",
        {"compression": hdf5plugin.Blosc2(cname="lz4", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE)},
        zarr_note="Zarr has no Blosc2",
    ),
    Case("Zstandard", {"compression": hdf5plugin.Zstd(clevel=3)}, _zarr_zstd),
)

BY_NAME = {case.name: case for case in CASES}


@dataclass(frozen=True, eq=False)
class Part:
    """What of each frame is summed.

    Parameters
    ----------
    rows, columns
        The window.
    mask
        Which of its values count; None for all.
    """

    rows: slice
    columns: slice
    mask: NDArray[np.bool_] | None = None

    def total(self, frames: NDArray[np.uint16]) -> int:
        """Sum of what counts of some frames, in the fastest way."""
        window = frames[:, self.rows, self.columns]
        return int((window if self.mask is None else window & self._bits).sum(dtype=np.uint64))

    @functools.cached_property
    def _bits(self) -> NDArray[np.uint16]:
        assert self.mask is not None
        return np.where(self.mask, np.uint16(0xFFFF), np.uint16(0))


def window_of(shape: tuple[int, ...]) -> Part:
    """The middle half of the rows of a frame, and three quarters of its columns."""
    rows, columns = shape
    return Part(slice(rows // 4, rows - rows // 4), slice(columns // 8, columns - columns // 8))


def masked(shape: tuple[int, ...]) -> Part:
    """All of a frame but a tenth of its pixels."""
    return Part(slice(None), slice(None), np.random.default_rng(5).random(shape) < 0.9)


@dataclass(frozen=True)
class Stack:
    """A file with one dataset of equal chunks, whose values are known.

    Parameters
    ----------
    path
        Where it is.
    case
        How its values are stored.
    distinct
        The different chunks of it, along the first dimension; chunk i of the stack is number i modulo their count.
    count
        Chunks in the stack.
    """

    path: Path
    case: Case
    distinct: NDArray[np.uint16]
    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count, *self.distinct.shape[1:])

    @property
    def chunks(self) -> tuple[int, ...]:
        return (1, *self.distinct.shape[1:])

    @property
    def mebibytes(self) -> float:
        return self.mebibytes_of(self.count)

    def mebibytes_of(self, count: int) -> float:
        """Decoded size of so many of its chunks."""
        return count * int(self.distinct[0].nbytes) / MEBIBYTE

    def frame(self, number: int) -> NDArray[np.uint16]:
        """The values of one of its chunks."""
        chunk: NDArray[np.uint16] = self.distinct[number % len(self.distinct)]
        return chunk

    def total(self, count: int | None = None) -> int:
        """Sum of the values of the first chunks, of all where no count is given."""
        each = self.distinct.reshape(len(self.distinct), -1).sum(axis=1, dtype=np.uint64)
        return self._total_of([int(one) for one in each], self.count if count is None else count)

    def total_of(self, part: Part) -> int:
        """Sum of what counts of all its frames."""
        return self._total_of([part.total(frame[np.newaxis]) for frame in self.distinct], self.count)

    def _total_of(self, each: Sequence[int], count: int) -> int:
        times, rest = divmod(count, len(each))
        return times * sum(each) + sum(each[:rest])


def _poisson(seed: int, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    # By the quantiles, as each process that measures makes them anew, and Generator.poisson takes seconds.
    below = np.cumsum([math.exp(-MEAN) * MEAN**count / math.factorial(count) for count in range(60)])
    quantiles = np.searchsorted(below, (np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.uint16)
    counts: NDArray[np.uint16] = quantiles[np.random.default_rng(seed).integers(0, 1 << 16, shape, np.uint16)]
    return counts


@functools.cache
def poisson_frames() -> NDArray[np.uint16]:
    """Counts of a detector, as noisy as counts are."""
    return _poisson(1, (DISTINCT_FRAMES, 1024, 1024))


@functools.cache
def poisson_rows() -> NDArray[np.uint16]:
    """The same in rows of 1 KiB."""
    return _poisson(2, (DISTINCT_ROWS, 512))


@functools.cache
def sparse_frames() -> NDArray[np.uint16]:
    """Frames of few counts, which take little room."""
    rng = np.random.default_rng(3)
    frames = np.zeros((DISTINCT_FRAMES, 1024, 1024), np.uint16)
    for frame in frames:
        frame[rng.integers(0, 1024, 200), rng.integers(0, 1024, 200)] = rng.integers(1, 1000, 200)
    return frames


def frame_stack(case: Case, count: int) -> Stack:
    """A stack of frames of 2 MiB, written or found from an earlier run."""
    return _made("frames", case, poisson_frames(), count)


def row_stack(case: Case, count: int) -> Stack:
    """A stack of rows of 1 KiB, written or found from an earlier run."""
    return _made("rows", case, poisson_rows(), count)


def sparse_stack(count: int) -> Stack:
    """A stack of frames that is small on disk however many there are, written or found from an earlier run."""
    return _made("sparse", BY_NAME["bitshuffle+LZ4"], sparse_frames(), count)


def _made(kind: str, case: Case, distinct: NDArray[np.uint16], count: int) -> Stack:
    stack = Stack(data_directory() / f"{kind}-{case.slug}-{count}.nxs", case, distinct, count)
    if not stack.path.exists():
        unfinished = stack.path.with_suffix(".part")
        with h5py.File(unfinished, "w") as file:
            _write(file, stack)
        unfinished.rename(stack.path)
    return stack


def _write(file: h5py.File, stack: Stack) -> None:
    file.attrs["default"] = "entry"
    entry = file.create_group("entry")
    entry.attrs.update(NX_class="NXentry", default="data")
    data = entry.create_group("data")
    data.attrs.update(NX_class="NXdata", signal="counts")
    layout = {"chunks": stack.chunks, **stack.case.layout}
    counts = data.create_dataset("counts", stack.shape, np.uint16, **layout)
    for number in range(min(stack.count, len(stack.distinct))):
        counts[number] = stack.frame(number)
    _repeat(counts, stack)


def _repeat(counts: h5py.Dataset, stack: Stack) -> None:
    first = len(stack.distinct)
    if counts.chunks is None:
        for number in range(first, stack.count):
            counts[number] = stack.frame(number)
        return
    origin = (0,) * (counts.ndim - 1)
    stored = [counts.id.read_direct_chunk((number, *origin))[1] for number in range(min(first, stack.count))]
    for number in range(first, stack.count):
        counts.id.write_direct_chunk((number, *origin), stored[number % first])


def zarr_copy(stack: Stack) -> Path:
    """The same values in a Zarr array of the same chunks, written or found from an earlier run."""
    import zarr

    if stack.case.zarr is None:
        raise UnsupportedError(stack.case.zarr_note)
    path = stack.path.with_suffix(".zarr")
    if not path.exists():
        unfinished = path.with_suffix(".zarr-part")
        shutil.rmtree(unfinished, ignore_errors=True)
        array = zarr.create_array(
            unfinished, shape=stack.shape, chunks=stack.chunks, dtype=np.uint16, fill_value=0, **stack.case.zarr()
        )
        first = min(stack.count, len(stack.distinct))
        array[:first] = stack.distinct[:first]
        for number in range(first, stack.count):
            shutil.copytree(unfinished / "c" / str(number % first), unfinished / "c" / str(number))
        unfinished.rename(path)
    return path
