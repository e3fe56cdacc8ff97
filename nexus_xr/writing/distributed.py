"""Writing dask arrays with workers in other processes: each block into a file of its own, joined where there are many.

Tasks carry paths, and each leaves a file that is complete or none, so that any worker may do any of them, and again.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import accumulate, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.arrays.announced import as_announced
from nexus_xr.arrays.uncertainties import refuse_unknown
from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.hdf5.reading.block_shapes import grouped
from nexus_xr.hdf5.writing.atomic_file import NewFile
from nexus_xr.hdf5.writing.chunk_writer import Region, WrittenDataset, in_words, why_unfit
from nexus_xr.hdf5.writing.part_files import Form, Joined, join_parts, write_part
from nexus_xr.nexus.output.node_writing import PendingWrite
from nexus_xr.nexus.output.nodes import FieldNode, GroupNode, Node
from nexus_xr.nexus.output.storable import raw_dtype
from nexus_xr.opening.chunks import TARGET_BLOCK_BYTES, align_blocks

# Arrays up to this size come to the process that writes the master, and go into that.
MOST_GATHERED_BYTES = 1 << 20
# An array has at most about as many part files, which libhdf5 opens one by one, and none is smaller than this.
MOST_PARTS = 1000
LEAST_PART_BYTES = TARGET_BLOCK_BYTES

_PREFIX = "part_"

# Folders of parts into which nothing is to be written any more, which a worker is told.
_given_up: set[str] = set()


@dataclass(frozen=True)
class Parts:
    """The part files of an array.

    Parameters
    ----------
    folder
        Where they are.
    first
        Number of the first.
    blocks
        How many blocks the array has along each dimension.
    group
        How many of them go into a part.
    form
        How they are stored.
    """

    folder: str
    first: int
    blocks: tuple[int, ...]
    group: tuple[int, ...]
    form: Form

    @property
    def counts(self) -> tuple[int, ...]:
        """How many parts there are along each dimension."""
        return tuple(-(-count // size) for count, size in zip(self.blocks, self.group, strict=True))

    def path(self, index: Sequence[int]) -> str:
        """The file of a part, by its index among the parts."""
        number = self.first + int(np.ravel_multi_index(tuple(index), self.counts))
        return os.path.join(self.folder, f"{_PREFIX}{number:05}.h5")

    def part_of(self, block: Sequence[int]) -> str:
        """The file that a block is to be in."""
        return self.path([number // size for number, size in zip(block, self.group, strict=True)])

    def piece(self, block: Sequence[int]) -> str:
        """The file that a block is written into: the part itself, or one that is to be joined with others."""
        part = self.part_of(block)
        return part if math.prod(self.group) == 1 else f"{part}.{'-'.join(map(str, block))}"

    def pieces(self, index: Sequence[int]) -> NDArray[Any]:
        """The files that make a part, in the order in which they lie."""
        ranges = [
            range(number * size, min((number + 1) * size, count))
            for number, size, count in zip(index, self.group, self.blocks, strict=True)
        ]
        paths = [self.piece(block) for block in product(*ranges)]
        return np.array(paths, dtype=object).reshape([len(each) for each in ranges])


class Workers:
    """What workers write beside a master file, and what of their results goes into it.

    Parameters
    ----------
    file
        The master, to be written.
    """

    def __init__(self, file: NewFile) -> None:
        self._file = file
        self._tasks: list[Any] = []
        self._regions: list[tuple[str, list[Region]]] = []
        self._gathered: dict[str, Any] = {}
        self._count = 0

    def divided(self, path: str, node: Node) -> Node:
        """What is to stand at a path, with the large dask arrays joined of parts that the workers write."""
        if isinstance(node, GroupNode):
            members = {name: self.divided(f"{path}/{name}", member) for name, member in node.members.items()}
            return replace(node, members=members)
        if not isinstance(node, FieldNode) or not hasattr(node.values, "dask"):
            return node
        dtype = raw_dtype(node.values)
        if dtype.hasobject or node.values.nbytes <= MOST_GATHERED_BYTES:
            return node
        if not self._tasks:
            self._file.make_parts()
        values = in_pieces(node.values, node.chunks, f"{self._file.path}:{path}")
        form = Form(dtype, node.chunks, node.filters, is_laid_out(node.values))
        parts = Parts(self._file.parts, self._count + 1, values.numblocks, _grouped(values), form)
        self._count += math.prod(parts.counts)
        regions = _regions(values.chunks, parts)
        self._tasks.append(_tasks(values, parts, path.rpartition("/")[2]))
        self._regions.append((path, [region for region, _ in regions]))
        return replace(node, values=Joined(values.shape, dtype, regions, node.growing))

    def gather(self, pending: Sequence[PendingWrite]) -> None:
        """Have the values of dask arrays come back, and be written into their datasets in the master."""
        for dataset, values in pending:
            self._gathered[dataset.name] = as_announced(values, f"{self._file.path}:{dataset.name}")

    @property
    def are_idle(self) -> bool:
        """Whether there is nothing that dask has to compute."""
        return not self._tasks and not self._gathered

    def delayed(self) -> Any:
        """A `Delayed` that has all written and completes the master, whoever computes it."""
        import dask

        self._file.close()
        return dask.delayed(_complete, pure=False)(self._file, self._gathered, self._tasks, self._regions)

    def run(self) -> None:
        """Have all written, and complete the master here."""
        import dask

        self._file.close()
        begun, gathering = dask.persist(self._tasks, self._gathered)
        try:
            tasks, gathered = dask.compute(begun, gathering)
        except BaseException as error:
            if isinstance(error, Exception):
                for where in self._failed(begun):
                    error.add_note(f"while writing {self._file.path}:{where}")
            _give_up(self._file.parts, begun)
            raise
        _complete(self._file, gathered, tasks, self._regions)

    def _failed(self, begun: Sequence[Any]) -> Iterator[str]:
        """The arrays and regions that workers could not write, as far as they tell it."""
        for (path, regions), tasks in zip(self._regions, begun, strict=True):
            for region, task in zip(regions, _in_order(tasks), strict=True):
                if getattr(task, "status", None) == "error":
                    yield f"{path}{in_words(region)}"


def _give_up(folder: str, begun: Any) -> None:
    """Have workers begin nothing more, and say nothing of what they can't put into a folder that is gone by then."""
    distributed = sys.modules.get("distributed")
    with suppress(Exception):  # of a cluster that is gone, or has lost a worker
        if distributed is not None and (futures := distributed.futures_of(begun)):
            client = futures[0].client
            client.cancel(futures)
            client.run(_note_given_up, folder, on_error="ignore")


def _note_given_up(folder: str) -> None:
    _given_up.add(folder)


def aligned(array: Any, chunks: tuple[int, ...] | None, where: str) -> Any:
    """A dask array, called so in errors, whose blocks split no chunk, and none of which is empty."""
    blocks = aligned_blocks(array, chunks)
    return array if blocks is None else as_announced(array, where).rechunk(blocks)


def in_pieces(array: Any, chunks: tuple[int, ...] | None, where: str) -> Any:
    """A dask array, called so in errors, whose blocks split no chunk, and take little more memory than those it had.

    Where whole chunks across blocks take more than two of these, it gets others: of as many chunks as fit into a block.
    """
    blocks = aligned_blocks(array, chunks)
    if blocks is None:
        return array
    itemsize = int(array.dtype.itemsize)
    most = max(TARGET_BLOCK_BYTES, math.prod(map(max, array.chunks)) * itemsize)
    if math.prod(blocks) * itemsize > 2 * most:
        unit = align_blocks((1,) * array.ndim, array.shape, chunks)
        blocks = grouped(unit, array.shape, itemsize, most)
    return as_announced(array, where).rechunk(blocks)


def is_laid_out(array: Any) -> bool:
    """Whether a dask array is laid out for values that nobody has written yet, as dask's ``zeros`` are.

    All its blocks are made of one element that is repeated, whatever type and blocks they were given since; but none
    knows where it is, by which a function can have read values for it.

    Examples
    --------
    >>> import dask.array as da
    >>> is_laid_out(da.zeros(4).astype("f4")[::2]), is_laid_out(da.arange(4)), is_laid_out(da.zeros(4) + da.arange(4))
    (True, False, False)
    """
    from dask.layers import ArrayBlockIdDep, ArrayChunkShapeDep, ArrayValuesDep

    graph = array.dask
    told = {name: [*getattr(layer, "io_deps", {}).values()] for name, layer in graph.layers.items()}
    of_nothing = [told[name] for name, others in graph.dependencies.items() if not others]
    if not all(each and all(isinstance(dep, ArrayChunkShapeDep) for dep in each) for each in of_nothing):
        return False
    return not any(isinstance(dep, ArrayBlockIdDep | ArrayValuesDep) for each in told.values() for dep in each)


def aligned_blocks(array: Any, chunks: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Shape of the blocks that a dask array is to have so that none splits a chunk; None where it is so already."""
    chunks = chunks or (1,) * array.ndim
    is_aligned = all(0 not in lengths for lengths in array.chunks) and all(
        all(length % chunk == 0 for length in lengths[:-1]) for lengths, chunk in zip(array.chunks, chunks, strict=True)
    )
    if is_aligned:
        return None
    return align_blocks(tuple(max(lengths) for lengths in array.chunks), array.shape, chunks)


def _grouped(array: Any) -> tuple[int, ...]:
    """How many blocks go into a part along each dimension: few enough parts, and none too small."""
    block_bytes = max(1, array.nbytes // array.npartitions)
    return group_shape(array.numblocks, max(array.npartitions / MOST_PARTS, LEAST_PART_BYTES / block_bytes))


def group_shape(counts: Sequence[int], wanted: float) -> tuple[int, ...]:
    """Shape of groups of that many items or somewhat more: whole rows of the fastest dimensions, as an array lies.

    Examples
    --------
    >>> group_shape((100_000, 1, 1), 100), group_shape((10, 1000, 10), 100), group_shape((5, 3), 1)
    ((100, 1, 1), (1, 10, 10), (1, 1))
    """
    shape = [1] * len(counts)
    for dimension in reversed(range(len(counts))):
        shape[dimension] = min(counts[dimension], max(1, math.ceil(wanted)))
        wanted /= shape[dimension]
    return tuple(shape)


def _tasks(values: Any, parts: Parts, name: str) -> Any:
    """A dask array of the shapes of the parts, each of which is there when its part is."""
    written = _shapes(values.map_blocks, _write_block, parts, parts.blocks, f"write-{name}")
    if math.prod(parts.group) == 1:
        return written
    grouped = written.rechunk(parts.group, method="tasks")
    return _shapes(grouped.map_blocks, _join_blocks, parts, parts.counts, f"join-{name}")


def _shapes(map_blocks: Any, function: Any, parts: Parts, counts: tuple[int, ...], token: str) -> Any:
    ones, meta = tuple((1,) * count for count in counts), np.empty((0,) * len(counts), object)
    return map_blocks(function, parts=parts, chunks=ones, dtype=object, meta=meta, token=token)


def _in_order(tasks: Any) -> Iterator[Any]:
    """What stands for each block of a dask array in its graph, in their order."""
    graph = dict(tasks.__dask_graph__())
    for index in np.ndindex(tasks.numblocks):
        yield graph.get((tasks.name, *index))


def _write_block(values: NDArray[Any], parts: Parts, block_id: tuple[int, ...]) -> NDArray[Any]:
    piece, part = parts.piece(block_id), parts.part_of(block_id)
    refuse_unknown(piece, values)
    values = np.asanyarray(values)
    if values.ndim != len(block_id):
        raise NexusError(f"{piece}: a block of dask has {values.ndim} dimensions, not {len(block_id)}")
    if (reason := why_unfit(values, values.shape, parts.form.dtype)) is not None:
        raise NexusError(f"{piece}: a block of dask {reason}")
    if piece == part or not os.path.exists(part):  # which has this block already, if it is there
        with _wanted(parts.folder):
            write_part(piece, values, parts.form)
    return _told(values.shape)


def _join_blocks(shapes: NDArray[Any], parts: Parts, block_id: tuple[int, ...]) -> NDArray[Any]:
    path = parts.path(block_id)
    along = [[first[axis] for first in _first_along(shapes, axis)] for axis in range(shapes.ndim)]
    for index in np.ndindex(shapes.shape):
        expected = tuple(lengths[number] for lengths, number in zip(along, index, strict=True))
        if shapes[index] != expected:
            raise NexusError(f"{path}: a block of dask has the shape {shapes[index]}, and by others {expected}")
    for lengths, chunk in zip(along, parts.form.chunks or (1,) * shapes.ndim, strict=True):
        if any(length % chunk for length in lengths[:-1]):
            raise NexusError(f"{path}: blocks of dask have the lengths {lengths}, and end within chunks of {chunk}")
    with _wanted(parts.folder):
        join_parts(path, parts.pieces(block_id), parts.form)
    return _told(tuple(map(sum, along)))


@contextmanager
def _wanted(folder: str) -> Iterator[None]:
    """Have it be no error that a ``with`` block can't write where nothing is to be written any more."""
    try:
        yield
    except NexusFileError:
        if folder not in _given_up:
            raise


def _first_along(array: NDArray[Any], axis: int) -> Iterator[Any]:
    """The elements of an array along an axis, the first along all others."""
    for number in range(array.shape[axis]):
        yield array[tuple(number if each == axis else 0 for each in range(array.ndim))]


def _told(shape: tuple[int, ...]) -> NDArray[Any]:
    """A shape as the one element of an array of as many dimensions."""
    told = np.empty((1,) * len(shape), object)
    told[(0,) * len(shape)] = shape
    return told


def _regions(chunks: Sequence[Sequence[int]], parts: Parts) -> list[tuple[Any, str]]:
    """Which region is in which part, whose path begins at the master's folder."""
    ends = [list(accumulate(lengths, initial=0))[::size] for lengths, size in zip(chunks, parts.group, strict=True)]
    for along, lengths in zip(ends, chunks, strict=True):
        if along[-1] != sum(lengths):
            along.append(sum(lengths))
    above = os.path.dirname(os.path.dirname(parts.folder))
    found = []
    for index in np.ndindex(parts.counts):
        region = tuple((along[number], along[number + 1]) for along, number in zip(ends, index, strict=True))
        found.append((region, os.path.relpath(parts.path(index), above).replace(os.sep, "/")))
    return found


def _complete(
    file: NewFile, gathered: Mapping[str, Any], shapes: Sequence[Any], regions: Sequence[tuple[str, list[Region]]]
) -> None:
    try:
        for (path, of_array), found in zip(regions, shapes, strict=True):
            for region, shape in zip(of_array, found.flat, strict=True):
                expected = tuple(last - first for first, last in region)
                if shape != expected:
                    where = f"{file.path}:{path}{in_words(region)}"
                    raise NexusError(f"{where}: what dask gave has the shape {shape}, not {expected}")
        if gathered:
            for name, values in gathered.items():
                target = WrittenDataset(file.file[name], where=f"{file.path}:{name}")
                target.write(tuple((0, size) for size in values.shape), values)
        _sweep(file.parts)
    except BaseException:
        file.abort()
        raise
    file.commit()


def _sweep(folder: str) -> None:
    """Remove what workers that were killed or given up have left."""
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if not (name.startswith(_PREFIX) and name.endswith(".h5")):
            os.unlink(os.path.join(folder, name))
