"""Copies of files in Zarr stores."""

from __future__ import annotations

import asyncio
import itertools
import operator
import os
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, StorePath

from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.hdf5.io.naming.url_path import is_url, said_of, shown, words_of
from nexus_xr.hdf5.io.remote.urls import is_named, local_path, url_of
from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.writing.replacing import refuse_source, replacing_folder, stands_there, unwritten
from nexus_xr.hdf5.writing.store_folder import DOCUMENTS

from .arrays import ZarrArray
from .batches import batches_of, copy_together, opened
from .chunks import chunk_of
from .codecs.frames import Encoded
from .metadata import Document, array_document, encoded, node_document
from .shards import shard_coordinates, shard_of, shard_shape, sharded
from .view import METADATA, ZarrView, chunk_key, join, view_of

Target = str | os.PathLike[str] | Store | StorePath
# A key, and what makes its value; None where nothing is stored.
_Make = Callable[[], Encoded | None]
_Entries = Generator[tuple[str, _Make], None, None]

# Chunks that are on their way into a store, or behind a network to a folder, at once.
_ON_THEIR_WAY = 16
# Chunks that are put into a folder before the next ones are listed.
_LISTED = 4096


def to_zarr(
    path: Any,
    target: Target,
    *,
    mode: str = "w-",
    shards: int | None = None,
    codecs: str = "core",
    verify: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Copy a whole NeXus file into a Zarr store: what `zarr_store` shows of it, hardly anything of it decoded.

    Chunks are copied by several threads, each of which holds one at a time. A folder appears when it is complete; in
    other stores the document of the root is written last, and what was written is deleted after an error.

    Parameters
    ----------
    path
        Path, URL or open binary file.
    target
        Path of a folder, URL, path of universal_pathlib, or Zarr store, which can be written.
    mode
        "w-" refuses a target in which there is anything, "w" replaces it: a folder when its new content is complete,
        what is in other stores before anything is written.
    shards
        Bytes of decoded values that are put together in one shard at most; None for no shards. A thread holds one.
    codecs, verify, storage_options
        As for `zarr_store`.

    Raises
    ------
    NexusError
        The file isn't HDF5, isn't there or can't be read, or the target is there already.
    TypeError
        ``shards`` is no whole number, or ``target`` none of these.

    Examples
    --------
    >>> import h5py
    >>> import zarr
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     file["entry/data/counts"] = [4, 5, 6]
    >>> to_zarr("scan.nxs", "scan.zarr")
    >>> zarr.open_array("scan.zarr", path="entry/data/counts", mode="r")[:]
    array([4, 5, 6])
    """
    if mode not in ("w-", "w"):
        raise NexusError(f'mode={mode!r}: expected "w-" or "w"')
    most_bytes = None if shards is None else _shard_bytes(shards)
    view = view_of(path, codecs, verify, storage_options)
    is_new = mode == "w-"
    plan = _Plan(view, most_bytes)
    where, options = _where(target)
    if isinstance(where, str) and not is_url(where):
        if view.file.is_local:
            refuse_source(where, view.file.path)
        with replacing_folder(where, is_new) as folder:
            _fill_folder(folder, plan)
        return
    try:
        _fill(_store_at(where, options) if isinstance(where, str) else where, plan, is_new)
    except (NexusError, MemoryError):
        raise
    except Exception as error:  # each store raises its own
        raise unwritten(str(where), error) from error


def _store_at(url: str, options: dict[str, Any]) -> Store:
    """The store behind a URL."""
    try:
        return FsspecStore.from_url(url, options)
    except (TypeError, RuntimeError) as error:  # of file systems that can't be asynchronous, as those of sftp://
        raise NexusFileError(
            f"{shown(url)}: Zarr can't write by this file system ({said_of(url, words_of(error))}); copy into a folder "
            "of this machine and send that, or give a store of zarr"
        ) from error


def _where(target: Any) -> tuple[str | Store, dict[str, Any]]:
    """A path or URL with options for that, or a store."""
    if isinstance(target, StorePath) and not target.path:
        target = target.store
    if isinstance(target, Store):
        return target, {}
    if isinstance(target, str | os.PathLike):
        return local_path(os.fspath(target)), {}
    found = url_of(target) if is_named(target) else None
    if found is None:
        raise TypeError(
            "the target of a copy is the path of a folder, a URL, or a store of zarr that has nothing else in it, and "
            f"can't be of type {type(target).__name__}; wrap a dict in zarr.storage.MemoryStore, a store of obstore in "
            "zarr.storage.ObjectStore, a file system of fsspec in zarr.storage.FsspecStore"
        )
    url, options = found
    return local_path(url), options


def _shard_bytes(shards: Any) -> int:
    """The bytes of a shard, which are checked."""
    expected = "expected the most bytes of a shard, 1 or more, or None"
    try:
        most_bytes = operator.index(shards)
    except TypeError:
        raise TypeError(f"shards={shards!r}: {expected}, found {type(shards).__name__}") from None
    if most_bytes < 1:
        raise NexusError(f"shards={shards!r}: {expected}")
    return most_bytes


def _fill_folder(folder: Path, plan: _Plan) -> None:
    """Copy into a folder that nobody else knows yet, in which a key is a path."""
    num_threads = None if plan.view.file.is_local else _ON_THEIR_WAY
    with opened(folder) as descriptor:
        tasks = _tasks(folder, descriptor, plan)
        while some := list(itertools.islice(tasks, _LISTED)):
            threads.run(some, num_threads)


def _tasks(folder: Path, descriptor: int | None, plan: _Plan) -> Iterator[threads.Task]:
    if descriptor is None or not plan.passes_on:
        yield from (partial(_write_file, folder, key, make) for key, make in plan.entries())
        return
    for path, array in plan.view.hierarchy.arrays.items():
        for coordinates in batches_of(array):
            yield partial(_write_batch, folder, descriptor, path, array, coordinates)
    yield from (partial(_write_file, folder, key, make) for key, make in plan.documents())


def _write_batch(
    folder: Path, descriptor: int, path: str, array: ZarrArray, coordinates: Sequence[tuple[int, ...]]
) -> None:
    keys = [chunk_key(path, coordinate) for coordinate in coordinates]
    for position in copy_together(array, coordinates, keys, descriptor):
        _write_file(folder, keys[position], partial(chunk_of, array, coordinates[position]))


def _write_file(folder: Path, key: str, make: _Make) -> None:
    value = make()
    if value is not None:
        path = f"{folder}/{key}"
        _make_folder(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(value)


def _make_folder(path: str) -> None:
    """Make a folder where there is none yet, in as few steps as chunks in folders of their own need."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_folder(os.path.dirname(path))
        _make_folder(path)


class _InterruptedError(Exception):
    """Whoever wanted the copy wants it no more."""


def _fill(store: Store, plan: _Plan, is_new: bool) -> None:
    """Copy into a store; an interrupt, of which zarr's thread doesn't know, is raised when nothing is left of it."""
    interrupted, done = threading.Event(), threading.Event()

    async def fill() -> None:
        try:
            await _fill_store(store, plan, is_new, interrupted)
        finally:
            done.set()

    try:
        sync(fill())
    except KeyboardInterrupt:
        interrupted.set()
        done.wait()
        raise


async def _fill_store(store: Store, plan: _Plan, is_new: bool, interrupted: threading.Event) -> None:
    """Copy into a store, in which there is nothing of it after an error or an interrupt."""
    await store._ensure_open()  # as zarr's own functions do it for a `ZipStore` that nobody has used yet
    if not await store.is_empty(""):
        if is_new:
            raise stands_there(store)
        await _empty(store)
    try:
        # Some stores, as icechunk's, take no chunk of an array that they know nothing of.
        for entries in (plan.documents(with_root=False), plan.chunks()):
            await _side_by_side(partial(_write, store, entries, interrupted))
        await _write(store, plan.entries_of([""]), interrupted)
    except BaseException:
        await _empty(store)
        raise


async def _empty(store: Store) -> None:
    """Delete all that is in a store.

    Documents go first, that of the root before the others: an array without its chunks reads as fill values.
    """
    if not store.supports_deletes:  # as with `ZipStore`, whose file is made anew
        await store.clear()
        return
    documents = [key async for key in store.list_prefix("") if key.rpartition("/")[2] in DOCUMENTS]
    await _delete(store, (key for key in documents if "/" not in key))
    await _delete(store, documents)
    await store.clear()
    # That of `FsspecStore` ends at the first folder that went with the one around it, and leaves what comes behind.
    await _delete(store, [key async for key in store.list_prefix("")])


async def _delete(store: Store, keys: Iterable[str]) -> None:
    left = iter(keys)

    async def delete_some() -> None:
        for key in left:
            await store.delete(key)

    await _side_by_side(delete_some)


async def _side_by_side(work: Callable[[], Awaitable[None]]) -> None:
    """Have several do some work until nothing is left of it; an error of one of them is raised when all are done."""
    errors = await asyncio.gather(*(work() for _ in range(_ON_THEIR_WAY)), return_exceptions=True)
    for error in filter(None, errors):
        raise error


async def _write(store: Store, entries: _Entries, interrupted: threading.Event) -> None:
    """Write what is left of entries that several take from; after an error, nobody takes any more."""
    buffer = default_buffer_prototype().buffer
    try:
        for key, make in entries:
            value = await asyncio.to_thread(make)
            if interrupted.is_set():
                raise _InterruptedError
            if value is not None:
                await store.set(key, buffer.from_bytes(value))
    except BaseException:
        entries.close()
        raise


@dataclass(frozen=True)
class _Plan:
    """What is to be written."""

    view: ZarrView
    shards: int | None

    @property
    def passes_on(self) -> bool:
        """Whether chunks of a file of this system are copied by themselves, and without being decoded."""
        return self.shards is None and not self.view.verify and self.view.file.is_local

    def entries(self) -> _Entries:
        """All chunks, or shards of them, and then all documents, that of the root at the end."""
        yield from self.chunks()
        yield from self.documents()

    def chunks(self) -> _Entries:
        """All chunks, or shards of them."""
        for path, array in self.view.hierarchy.arrays.items():
            shape = self._shard_shape(array)
            for coordinate in array.coordinates() if shape is None else shard_coordinates(array, shape):
                yield chunk_key(path, coordinate), partial(self._value, array, coordinate, shape)

    def documents(self, *, with_root: bool = True) -> _Entries:
        """All documents, that of the root at the end or not at all."""
        hierarchy = self.view.hierarchy
        yield from self.entries_of(filter(None, (*hierarchy.arrays, *hierarchy.groups)))
        if with_root:
            yield from self.entries_of([""])

    def entries_of(self, paths: Iterable[str]) -> _Entries:
        """The documents of groups and arrays."""
        for path in paths:
            yield join(path, METADATA), partial(self._encoded, path)

    def _value(self, array: ZarrArray, coordinate: tuple[int, ...], shape: tuple[int, ...] | None) -> Encoded | None:
        verify = self.view.verify
        return chunk_of(array, coordinate, verify) if shape is None else shard_of(array, coordinate, shape, verify)

    def _encoded(self, path: str) -> bytes | None:
        document = node_document(self.view.hierarchy, path, self._document_of)
        return None if document is None else encoded(document)

    def _document_of(self, array: ZarrArray) -> Document:
        document, shape = array_document(array), self._shard_shape(array)
        return document if shape is None else sharded(document, shape)

    def _shard_shape(self, array: ZarrArray) -> tuple[int, ...] | None:
        return None if self.shards is None else shard_shape(array, self.shards)
