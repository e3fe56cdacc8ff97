"""Reading a selection: raw chunks decoded by all cores straight into the result.

libhdf5 decodes one chunk at a time behind a lock for the whole process. Here it is asked neither for chunks nor for
where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.reading.layouts.layout import StoredLayout
from nexus_xr.hdf5.reading.selection import Indexer, length
from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.runtime.memory import result

from .few_chunks import few_whole_chunks, read_run, read_within_chunk
from .many_chunks import Reading
from .plan import plan_selection


def read(
    layout: StoredLayout,
    source: Source,
    indexers: Sequence[Indexer],
    num_threads: int | None = None,
    *,
    comes_back: bool = True,
) -> NDArray[Any]:
    """Read the outer product of one indexer a dimension; each chunk that is touched is decoded once.

    Parameters
    ----------
    layout
        Where the values are.
    source
        The bytes of the file.
    indexers
        One a dimension, normalized.
    num_threads
        Most threads to use; None for as many as there are CPUs for this process.
    comes_back
        Whether who asks for a part of a chunk is likely to ask for another part of it soon.

    Returns
    -------
    numpy.ndarray
        Elements of the layout's carrier dtype, without the dimensions that an integer selected.

    Raises
    ------
    ChunkError
        A chunk isn't in the file as the index says, or its bytes are not what its filters make.
    """
    values = read_run(layout, source, indexers)
    if values is None:
        values = read_within_chunk(layout, source, indexers, comes_back)
    if values is not None:
        return values
    values = result(tuple(map(length, indexers)), layout.carrier)  # first, as it may be more than there is
    shape = [length(indexer) for indexer in indexers if not isinstance(indexer, int)]
    if not values.size:  # whatever number of chunks there may be along other dimensions
        return values.reshape(shape)
    tasks = few_whole_chunks(layout, source, indexers, values) if not source.plans_ahead else None
    if tasks is not None:
        threads.run(tasks, num_threads)
        return values.reshape(shape)
    plan = plan_selection(indexers, layout.shape, layout.chunks, layout.padded)
    target = values[tuple(slice(None, None, -1 if d in plan.backwards else 1) for d in range(values.ndim))]
    Reading(layout, source, values, target, plan.axes).run(num_threads)
    return values.reshape(shape)


def tasks_into(
    layout: StoredLayout,
    source: Source,
    indexers: Sequence[Indexer],
    values: NDArray[Any],
    target: NDArray[Any],
) -> list[threads.Task]:
    """What there is to do to read a selection into a part of a larger result; it raises as `read` does.

    Parameters
    ----------
    layout, source
        Where the values are, and the bytes of the file.
    indexers
        One a dimension, normalized; slices rise.
    values
        The whole result, which lies together in memory.
    target
        A view of the part of it that is filled, with all dimensions of the layout.
    """
    tasks = few_whole_chunks(layout, source, indexers, target)
    if tasks is None:
        plan = plan_selection(indexers, layout.shape, layout.chunks, layout.padded)
        tasks = Reading(layout, source, values, target, plan.axes).tasks()
    return tasks
