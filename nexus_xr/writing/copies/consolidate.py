"""Bringing what a file has in others into the file itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import h5py
from h5py import h5f, h5i

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusError, NexusFileError, listed, warn_once
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.writers import UNMARKING, refuse_marked, refuse_written
from nexus_xr.hdf5.library.addresses import address_of
from nexus_xr.hdf5.library.group import root_of
from nexus_xr.hdf5.library.properties import in_high_level
from nexus_xr.hdf5.library.virtual import virtual_mappings_of
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.paths import path_of_member
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.virtual_datasets.found_sources import find_sources
from nexus_xr.hdf5.writing.atomic_file import PARTS, NewFile, completed, failing
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset
from nexus_xr.hdf5.writing.copying import as_stored, copy_object
from nexus_xr.hdf5.writing.creation import (
    create_alike,
    create_dataset,
    default_chunks,
    fill_of,
    filters_named,
    filters_of_source,
    growing_chunks,
)
from nexus_xr.hdf5.writing.link_targets import UserDefinedLink, copy_attributes, link_of, restore_order
from nexus_xr.hdf5.writing.mapped_regions import ChunkForm, MappedRegion, are_chunks_of, chunk_form, mapped_regions_of
from nexus_xr.hdf5.writing.new_objects import create_group
from nexus_xr.hdf5.writing.part_files import copy_values
from nexus_xr.hdf5.writing.references import AnyObject, ReferringCopies, refuse_unknown
from nexus_xr.hdf5.writing.stored_anew import StoredAnew
from nexus_xr.signatures import as_path, checks
from nexus_xr.writing.fields.blockwise import fill

from .soundness import refuse_damaged

_FAILURE = "can't be made one file"


@checks(num_threads=1)
def consolidate(path: str | os.PathLike[str], *, num_threads: int | None = None) -> None:
    """Make a file that has its values in others one file.

    Virtual datasets become datasets of their own, and what external links lead to is copied to their places, where
    references lead to what they led to before, and to nothing where that wasn't brought in. Chunks are copied as they
    are stored, without decoding, where those of the sources fit; else values are decoded and stored anew, as the first
    source has them. The file is replaced when all of it is there, and the part files that belong
    to it are removed then. Other files stay; links into others that lead nowhere stay links, with a `NexusWarning`.

    Parameters
    ----------
    path
        The file.
    num_threads
        Most threads that decode and encode.

    Raises
    ------
    NexusFileError
        It can't be read or written, or sources of virtual datasets are missing, or have less than what is made of them.
        It is as it was then.
    NexusError
        It is no file of this machine, or other files have references of a kind that h5py doesn't read. It is as it was
        then.

    Examples
    --------
    >>> with h5py.File("frames.h5", "w") as file:
    ...     file["data"] = list(range(6))
    >>> with h5py.File("master.nxs", "w") as file:
    ...     file["counts"] = h5py.ExternalLink("frames.h5", "/data")
    >>> consolidate("master.nxs")
    >>> os.unlink("frames.h5")
    >>> with h5py.File("master.nxs") as file:
    ...     file["counts"][...].tolist()
    [0, 1, 2, 3, 4, 5]
    """
    bring_in(path, num_threads)


def bring_in(path: str | os.PathLike[str], num_threads: int | None = None) -> bool:
    """Do what `consolidate` does; gives whether it is one file then, and no link into another one has stayed."""
    asked = File(as_path(path))
    if not asked.is_local:
        raise NexusError(f"{asked.name}: only a file of this machine is made one file; name a path")
    left = Diagnostics()
    with asked.opened() as opened:
        elsewhere = [path for path, _, is_of_others in _own_members(opened, asked.name) if is_of_others]
        if not elsewhere:
            return True
        refuse_written(asked)
        refuse_damaged(asked, _FAILURE, elsewhere, follows=True)
        with completed(NewFile(asked.path, "w", asked), f"{asked.name}: {_FAILURE}") as new:
            _Consolidation(asked.name, opened, new.file, num_threads, left).run(elsewhere)
            new.file.attrs.pop(PARTS, None)
    new.commit()
    warn_once(f"{asked.name} isn't one file, as not all that it links to could be brought in", left)
    return not any(left)


def _own_members(root: h5py.File, file: str) -> Iterator[tuple[str, AnyObject | None, bool]]:
    """Each member of the groups of a file: its path, the object if it is of the file, and whether it is of others."""
    waiting = ["/"]  # by their paths, as an object that is open takes a few KiB in libhdf5
    seen: set[Any] = set()
    while waiting:
        above = waiting.pop()
        with failing(file, above, _FAILURE):
            group = root[above]
            names = [] if address_of(group.id) in seen else list(group)
            seen.add(address_of(group.id))
        for name in names:
            path = path_of_member(above, name)
            with failing(file, path, _FAILURE):
                link = link_of(group, name)
                item = group[name] if isinstance(link, h5py.HardLink) else None
                is_virtual = isinstance(item, h5py.Dataset) and item.is_virtual
            yield path, item, is_virtual or isinstance(link, h5py.ExternalLink)
            if isinstance(item, h5py.Group):
                waiting.append(path)


class _Consolidation:
    """Brings objects of other files into one that has the same paths as the file that leads to them.

    Parameters
    ----------
    name
        Name of the file.
    asked
        The file as it is.
    new
        Its copy, which is changed.
    num_threads
        Most threads that decode and encode.
    left
        Is told of links into other files that lead nowhere.
    """

    def __init__(self, name: str, asked: h5py.File, new: h5py.File, num_threads: int | None, left: Diagnostics) -> None:
        self._name = name
        self._asked = asked
        self._new = new
        self._num_threads = num_threads
        self._left = left
        self._made: dict[tuple[str, int], Any] = {}
        self._orders: dict[str, list[str]] = {}
        self._entered: list[tuple[h5py.Group, h5py.Group]] = []
        self._referring = ReferringCopies(self._successor)
        self._staying: dict[str, h5py.ExternalLink] = {}

    def run(self, paths: Sequence[str]) -> None:
        """Replace what is at these paths by what it leads to."""
        are_own = False
        for path in paths:
            with failing(self._name, path, _FAILURE):
                are_own |= self._replace(path)
        if are_own:
            self._note_own()
        self._referring.redirect(self._name, _FAILURE)
        for above, names in self._orders.items():
            with failing(self._name, above, _FAILURE):
                restore_order(self._new[above], names)
        for path, link in self._staying.items():  # at the end, as what is looked at may stay open, also for h5py
            self._tell_of(path, link)

    def _replace(self, path: str) -> bool:
        """Whether what was replaced is of the file itself."""
        found = self._asked.get(path)
        above, _, name = path.rpartition("/")
        group = self._new[above or "/"]
        if found is None:
            self._staying[path] = link_of(group, name)
            return False
        self._orders.setdefault(group.name, list(group))
        del group[name]
        self._take_in(found, group, name)
        while self._entered:
            entered, made = self._entered.pop()
            for member in entered:
                self._take_in_member(entered, member, made)
        return self._is_own(found.id)

    def _note_own(self) -> None:
        """Note what refers to others and has stayed where it was, as not all that it refers to has."""
        for path, item, _ in [("/", self._asked["/"], False), *_own_members(self._asked, self._name)]:
            with failing(self._name, path, _FAILURE):
                if item is not None and _key_of(item.id) not in self._made:
                    self._referring.note(item, self._new[path])

    def _is_own(self, found: h5i.ObjectID) -> bool:
        return bool(_key_of(found)[0] == os.path.realpath(self._asked.filename))

    def _successor(self, found: h5i.ObjectID) -> h5i.ObjectID | None:
        """What an object is in the new file, None where it wasn't brought there; what has stayed is where it was."""
        made = self._made.get(_key_of(found))
        return made.id if made is not None else found if self._is_own(found) else None

    def _tell_of(self, path: str, link: h5py.ExternalLink) -> None:
        """Say that a link stays, and why it can't be followed."""
        diagnostics = Diagnostics()
        found = root_of(self._asked, diagnostics, self._name).find(path)
        stays, advice = Link(link.path, link.filename), ""
        if isinstance(found, Link):
            stays = replace(stays, trouble=found.trouble)
        elif found is not None or diagnostics.having({Code.BEING_WRITTEN}):  # only a reader beside the writer opens it
            stays = replace(stays, trouble="is in a file that another process is writing, or was when that was killed")
            advice = f"; {UNMARKING}"
        self._left.add(stays.code, path, f"links to {stays}, which {stays.trouble}; it stays a link{advice}")

    def _take_in(self, found: Any, group: h5py.Group, name: str) -> None:
        """Copy an object; a second time it is a hard link. The members of a group are still to be taken in."""
        key = _key_of(found.id)
        if key in self._made:
            group[name] = self._made[key]
        elif isinstance(found, h5py.Group):
            self._made[key] = create_group(group, name)
            copy_attributes(found, self._made[key])
            self._referring.note(found, self._made[key])
            self._entered.append((found, self._made[key]))
        else:
            if isinstance(found, h5py.Dataset):
                found = in_high_level(found.id)
                refuse_unknown(found, f"{found.file.filename}:{found.name}")
            if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
                self._make_real(found, group, name)
            else:
                copy_object(found, group, name)
            self._made[key] = group[name]
            self._referring.note(found, self._made[key])

    def _take_in_member(self, found: h5py.Group, member: str, made: h5py.Group) -> None:
        link = link_of(found, member)
        if isinstance(link, UserDefinedLink):
            raise NexusFileError(
                f"{found.file.filename}:{found.name}/{member}: nothing was done, as this link is of a kind that only "
                "its writer follows; remove it"
            )
        target = found.get(member)
        if target is not None:
            self._take_in(target, made, member)
        elif isinstance(link, h5py.ExternalLink):
            there = os.path.join(os.path.dirname(found.file.filename), link.filename)
            made[member] = h5py.ExternalLink(there, link.path)
            self._staying[f"{made.name}/{member}"] = made.get(member, getlink=True)
        else:
            made[member] = link

    def _make_real(self, source: h5py.Dataset, group: h5py.Group, name: str) -> None:
        """A dataset with the values of one that is made of others."""
        file = File(source.file.filename)
        _refuse_incomplete(source, file)
        regions = mapped_regions_of(source) if source.is_virtual else None
        for each in dict.fromkeys(region.file for region in regions or ()):
            refuse_marked(f"{file.name}:{source.name} is made of {each}", each)
        form = _form_of(regions) if regions else None
        filters = filters_of_source(form.filters) if form else None
        chunks = form.chunks if form and len(form.chunks) == source.ndim else None
        growing = [most is None for most in source.maxshape]
        if chunks is None:
            itemsize = source.dtype.itemsize
            chunks = (
                growing_chunks(source.shape, itemsize, growing)
                if any(growing)
                else default_chunks(source.shape, itemsize)
            )
        if filters is None:
            filters = filters_named("gzip")
        filters = filters if chunks and not source.dtype.hasobject else ()
        array = LazyArray(file, source.name, source.shape, source.dtype)
        where = f"{self._name}:{path_of_member(decode(group.name), decode(name))}"
        if source.external and not source.dtype.hasobject:
            made = create_alike(source, group, name, chunks, filters)
            if made.size:
                StoredAnew(array).write_into(made, self._num_threads, where)
        elif not (regions and form is not None and _move_chunks(source, regions, form, group, name, filters)):
            made = create_dataset(
                group, name, source.shape, source.dtype, chunks, filters, growing, fill=fill_of(source)
            )
            if made.size:
                fill(WrittenDataset(made, self._num_threads, where), as_stored(array))
        copy_attributes(source, group[name])


def _refuse_incomplete(source: h5py.Dataset, file: File) -> None:
    """Raise where not all is there that a virtual dataset is made of."""
    found = find_sources(virtual_mappings_of(source.id), source.shape, file, thoroughly=True)
    name = f"{file.name}:{source.name}: nothing was done, as sources of it"
    if found is None:
        return
    missing = [each.absolute(file) for each in found.missing] + [each.explained(file) for each in found.gaps]
    if missing:
        raise NexusFileError(f"{name} are missing:\n{listed(missing)}")
    if found.short:
        raise NexusFileError(f"{name} aren't whole:\n{listed(each.explained(file) for each in found.short)}")


def _key_of(item: h5i.ObjectID) -> tuple[str, int]:
    """What tells an object from those of all files."""
    return os.path.realpath(os.fsdecode(h5f.get_name(item))), address_of(item)[1]


def _move_chunks(
    source: h5py.Dataset,
    regions: list[MappedRegion],
    form: ChunkForm,
    group: h5py.Group,
    name: str,
    filters: Sequence[Filter],
) -> bool:
    """Make a dataset of the chunks of others as they are stored, unless these can't be its own."""
    if not are_chunks_of(source, regions, form):
        return False
    made = create_alike(source, group, name, form.chunks, filters)
    if chunk_form(made) != form:
        del group[name]
        return False
    for mapped in regions:
        _copy_region(mapped, made)
    return True


def _copy_region(mapped: MappedRegion, made: h5py.Dataset) -> None:
    with h5py.File(mapped.file, "r", locking=False) as file:
        copy_values(file[mapped.path], made, mapped.box, [first for first, _ in mapped.region])


def _form_of(regions: list[MappedRegion]) -> ChunkForm | None:
    with h5py.File(regions[0].file, "r", locking=False) as file:
        source = file.get(regions[0].path)
        return chunk_form(source) if isinstance(source, h5py.Dataset) else None
