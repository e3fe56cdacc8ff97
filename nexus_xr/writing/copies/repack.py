"""Writing a file anew, with all that it holds: compressed in another way, and without what was deleted from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
from h5py import h5d, h5i

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.remote.urls import local_path
from nexus_xr.hdf5.io.writers import refuse_growing, refuse_written
from nexus_xr.hdf5.library.addresses import address_of
from nexus_xr.hdf5.library.datatypes import numpy_type
from nexus_xr.hdf5.library.properties import in_high_level, properties_of
from nexus_xr.hdf5.library.storage import filters_of
from nexus_xr.hdf5.objects.paths import path_of_member
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.objects.text import as_h5py_takes_it, as_text, decode
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.writing.atomic_file import NewFile, completed, failing
from nexus_xr.hdf5.writing.copying import copy_object
from nexus_xr.hdf5.writing.creation import (
    SMALL_BYTES,
    Compression,
    create_alike,
    default_chunks,
    filters_named,
    filters_of_source,
)
from nexus_xr.hdf5.writing.delivery import is_elsewhere
from nexus_xr.hdf5.writing.link_targets import UserDefinedLink, copy_attributes, link_of, put_link
from nexus_xr.hdf5.writing.new_objects import create_group
from nexus_xr.hdf5.writing.references import ReferringCopies, refuse_unknown
from nexus_xr.hdf5.writing.stored_anew import StoredAnew
from nexus_xr.signatures import as_path, checks
from nexus_xr.writing.defaults import KEEP

from .soundness import refuse_damaged, refuse_unlike

# Chunks as they are, or as `to_nexus` chooses them.
AUTO = "auto"
_FAILURE = "can't be written anew"
Progress = Callable[[int, int], None]


@checks(num_threads=1)
def repack(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    compression: Compression = KEEP,
    compression_opts: Any = None,
    shuffle: bool | None = None,
    chunks: str = KEEP,
    overwrite: bool = False,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a file anew with all that it holds, and without the room that what was deleted from it has left.

    Large arrays of numbers are compressed anew where that is asked for; all else, and arrays that would lose something
    by it (with a lossy filter), is copied as it is stored. Links stay links.
    References lead to the same objects there. A named datatype is copied, too; datasets that are of it are of one that
    is equal, and not of that itself.

    Parameters
    ----------
    path
        Path; with a target also a URL.
    target
        Path of the new file; None to replace the file.
    compression, compression_opts, shuffle
        As for `to_nexus`: "keep" for the filters that each array has.
    chunks
        "keep" for those that each array has; "auto" for whole frames of 1 to 4 MiB, or parts or groups of them.
    overwrite
        Whether a target that is there is replaced.
    num_threads
        Most threads that decode and encode.
    progress
        Called with the bytes of values that were written so far, and those of all.

    Raises
    ------
    NexusError
        The file names others by paths that wouldn't be right in the target's folder, or has references of a kind that
        h5py doesn't read; or the target is there.
    NexusFileError
        The file can't be read, or the target not be written; what was there is as it was.

    Examples
    --------
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     file["counts"] = [[0] * 200] * 200
    >>> repack("scan.nxs", "small.nxs", compression="gzip")
    >>> os.path.getsize("small.nxs") * 10 < os.path.getsize("scan.nxs")
    True
    """
    if chunks not in (KEEP, AUTO):
        raise NexusError(f'chunks={chunks!r}: expected "keep" or "auto"')
    form = _Form(None if compression == KEEP else filters_named(compression, compression_opts, shuffle), chunks == AUTO)
    asked = File(as_path(path))
    goal = asked.path if target is None else local_path(os.fspath(target))
    if is_elsewhere(goal):
        raise NexusError(f"{goal}: only a file of this machine is written anew; name a path")
    if target is not None and os.path.lexists(goal) and not overwrite:
        raise NexusError(f"{goal}: is there already; choose another name, or replace it with overwrite=True")
    before = refuse_damaged(asked, _FAILURE)
    with asked.opened() as opened:
        is_moved = target is not None and os.path.dirname(os.path.realpath(goal)) != os.path.dirname(asked.path)
        total = _check(opened, asked.name, is_moved)
        mode = "w" if target is None or overwrite else "x"
        is_same = target is None or os.path.realpath(goal) == asked.path
        if is_same:
            refuse_written(asked)
        else:
            refuse_growing(goal)
        new_file = NewFile(goal, mode, user_block=_user_block(asked, opened.userblock_size), takes_over=is_same)
        with completed(new_file, f"{asked.name}: {_FAILURE}") as new:
            written, repacking = new.file.filename, _Repacking(asked, goal, form, num_threads, progress, total)
            repacking.run(opened, new.file)
            new.close()
            refuse_unlike(asked.name, before, File(written), _FAILURE, repacking.stored_anew)
    new.commit()


def _user_block(file: File, size: int) -> bytes:
    """What a file has before all that is HDF5's, as MATLAB's have a header."""
    found = memoryview(bytearray(size))
    with file.source() as source:
        source.read_into(found, 0)
    return bytes(found)


@dataclass(frozen=True)
class _Form:
    """How arrays are to be stored; with no filters, with those that they have."""

    filters: tuple[Filter, ...] | None
    rechunks: bool

    def of(self, dataset: h5py.Dataset) -> tuple[tuple[int, ...] | None, tuple[Filter, ...]] | None:
        """Chunks and filters for a dataset; None where it is best copied as it is."""
        if not _can_change(dataset):
            return None
        present = filters_of_source(filters_of(properties_of(dataset.id)))
        filters = present if self.filters is None or dataset.nbytes <= SMALL_BYTES else self.filters
        chunks = dataset.chunks
        if self.rechunks or (filters and chunks is None):
            chunks = default_chunks(dataset.shape, dataset.dtype.itemsize)
        if chunks is None and None in dataset.maxshape:
            chunks = dataset.chunks  # without which it couldn't grow
        if present is None or filters is None or (chunks, filters) == (dataset.chunks, present):
            return None
        return chunks, filters if chunks else ()


def _can_change(dataset: h5py.Dataset) -> bool:
    """Whether a dataset is an array that can be made anew with the type, fill value and lengths that it has."""
    dtype = numpy_type(dataset.id)
    is_plain = dtype is not None and dtype.kind in "biufcV" and not dtype.hasobject and dtype.subdtype is None
    if not is_plain or not dataset.size or dataset.is_virtual or dataset.external:
        return False
    return bool(properties_of(dataset.id).fill_value_defined() != h5d.FILL_VALUE_UNDEFINED)


# --- what can't be written anew --------------------------------------------------------------------------------------


def _check(root: h5py.Group, name: str, is_moved: bool) -> int:
    """Raise an error for what would not be right in a new file; gives the bytes of all values."""
    total, seen, waiting = 0, {address_of(root.id)}, [root]
    while waiting:
        group = waiting.pop()
        with failing(name, _path_of(group), _FAILURE):
            members = _names_in(group)
        for member in members:
            path = _path_of(group, member)
            with failing(name, path, _FAILURE):
                item = _item_of(group, member, name, path, is_moved)
                if item is not None and address_of(item.id) not in seen:
                    seen.add(address_of(item.id))
                    waiting += [item] if isinstance(item, h5py.Group) else []
                    total += _check_dataset(item, name, is_moved) if isinstance(item, h5py.Dataset) else 0
    return total


def _item_of(group: h5py.Group, member: str, name: str, path: str, is_moved: bool) -> Any:
    """The object of a name, None behind a link that may stay one."""
    link = link_of(group, member)
    if isinstance(link, UserDefinedLink):
        raise NexusError(f"{name}:{path}: is a link that only its writer follows; remove it")
    if isinstance(link, h5py.ExternalLink) and is_moved:
        raise _moved(name, path)
    return _opened(group, member) if isinstance(link, h5py.HardLink) else None


def _opened(group: h5py.Group, member: str) -> Any:
    item = group[as_h5py_takes_it(member)]
    return in_high_level(item.id) if isinstance(item, h5py.Dataset) else item


def _names_in(group: h5py.Group) -> list[str]:
    """The names of members, which stand for their bytes where these aren't UTF-8."""
    return [as_text(name) for name in group]


def _path_of(item: h5py.Group | h5py.Dataset, member: str = "") -> str:
    """The path of an object, or of a member of a group, as it reads."""
    path = decode(item.name)
    return path_of_member(path, decode(member)) if member else path


def _moved(name: str, path: str) -> NexusError:
    return NexusError(
        f"{name}:{path}: leads to another file by a path that wouldn't be right elsewhere; name a target in the same "
        "folder, or consolidate the file before"
    )


def _check_dataset(dataset: h5py.Dataset, name: str, is_moved: bool) -> int:
    refuse_unknown(dataset, f"{name}:{_path_of(dataset)}")
    if is_moved and (dataset.is_virtual or dataset.external):
        raise _moved(name, _path_of(dataset))
    return _bytes_of(dataset)


def _bytes_of(dataset: h5py.Dataset) -> int:
    """How many bytes all values have, of whatever type."""
    return (dataset.size or 0) * int(dataset.id.get_type().get_size())


# --- what is written anew -------------------------------------------------------------------------------------------


class _Repacking:
    """Brings what a file holds into an empty one."""

    def __init__(
        self, asked: File, goal: str, form: _Form, num_threads: int | None, progress: Progress | None, total: int
    ) -> None:
        self._asked = asked
        self._goal = goal
        self._form = form
        self._num_threads = num_threads
        self._progress = progress
        self._total = total
        self._done = 0
        self._made: dict[Any, h5py.HLObject] = {}
        self._referring = ReferringCopies(self._successor)
        #: Addresses of the datasets that have other chunks or filters than they had.
        self.stored_anew: set[int] = set()

    def run(self, source: h5py.File, new: h5py.File) -> None:
        self._made[address_of(source["/"].id)] = new["/"]
        with failing(self._asked.name, "/", _FAILURE, self._goal):
            copy_attributes(source["/"], new["/"])
        waiting: list[tuple[h5py.Group, h5py.Group]] = [(source["/"], new["/"])]
        while waiting:
            group, made = waiting.pop()
            for name in _names_in(group):
                with failing(self._asked.name, _path_of(group, name), _FAILURE, self._goal):
                    waiting += self._bring(group, name, made)
        self._referring.note(source["/"], new["/"])
        self._referring.redirect(self._asked.name, _FAILURE, self._goal)

    def _successor(self, found: h5i.ObjectID) -> h5i.ObjectID | None:
        made = self._made.get(address_of(found))
        return None if made is None else made.id

    def _bring(self, group: h5py.Group, name: str, made: h5py.Group) -> Iterator[tuple[h5py.Group, h5py.Group]]:
        """Bring a member of a group; where it is a group, both whose members are to come."""
        link = link_of(group, name)
        if not isinstance(link, h5py.HardLink):
            put_link(made, name, link)
            return
        item = _opened(group, name)
        key = address_of(item.id)
        if key in self._made:
            made[as_h5py_takes_it(name)] = self._made[key]
        elif isinstance(item, h5py.Group):
            self._made[key] = create_group(made, name)
            copy_attributes(item, self._made[key])
            self._referring.note(item, self._made[key])
            yield item, self._made[key]
        else:
            self._copy(item, made, name)
            self._made[key] = made[as_h5py_takes_it(name)]
            self._referring.note(item, self._made[key])

    def _copy(self, item: Any, group: h5py.Group, name: str) -> None:
        form = self._form.of(item) if isinstance(item, h5py.Dataset) else None
        if form is None:
            copy_object(item, group, name, self._asked)
        else:
            self._write(item, group, name, *form)
            self.stored_anew.add(address_of(item.id)[1])
        if isinstance(item, h5py.Dataset) and self._progress is not None:
            self._done += _bytes_of(item)
            self._progress(self._done, self._total)

    def _write(
        self,
        dataset: h5py.Dataset,
        group: h5py.Group,
        name: str,
        chunks: Sequence[int] | None,
        filters: Sequence[Filter],
    ) -> None:
        made = create_alike(dataset, group, name, tuple(chunks) if chunks else None, filters)
        copy_attributes(dataset, made)
        array = LazyArray(self._asked, _path_of(dataset), dataset.shape, dataset.dtype)
        StoredAnew(array).write_into(made, self._num_threads, f"{self._goal}:{_path_of(made)}")
