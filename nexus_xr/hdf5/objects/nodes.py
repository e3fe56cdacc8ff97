"""The objects of an open HDF5 file, read through h5py's low-level interface.

A tree of thousands of fields is described in a fraction of the time that the high-level interface takes:
each object is opened once, datatypes are looked up by their encoding, and nothing is read that isn't asked for.
The objects live as long as the file is open; what is to outlive it is a plain value.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5, h5a, h5d, h5f, h5fd, h5g, h5i, h5l, h5o, h5p, h5r, h5s, h5t
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.linked_files import FOR_LINKS, find_file, linked_handle
from nexus_xr.hdf5.runtime.compat import phil
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error, Hdf5Errors, reason_of

from .addresses import address_of, object_names
from .text import decode, decode_array, is_text, text_dtype


@dataclass(frozen=True, slots=True)
class Link:
    """Where a link leads that is not followed: nowhere, into another file that is missing, or back up the tree.

    Also what an object reference refers to.

    Parameters
    ----------
    path
        Path that the link names.
    file
        File that an external link names.
    trouble
        What is the matter with the target of a link that leads nowhere.
    """

    path: str
    file: str | None = None
    trouble: str = field(default="is not there", compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.path}" if self.file else self.path


class _Type(NamedTuple):
    """A datatype as it is read into memory.

    What an element takes in the file is None where that depends on the file.
    """

    dtype: np.dtype[Any]
    element: np.dtype[Any]
    inner_shape: tuple[int, ...]
    memory: h5t.TypeID
    is_text: bool
    has_references: bool
    stored_size: int | None


# Others are what programs define for themselves.
LINKS_OF_HDF5 = (h5l.TYPE_HARD, h5l.TYPE_SOFT, h5l.TYPE_EXTERNAL)
# Whether files are locked, and whether it is ignored where that can't be done.
_WAYS_TO_LOCK = ((True, False), (True, True), (False, False), (False, True))
OUT_OF_REACH = (
    "it is a virtual dataset of other files, which are looked for beside local files only; copy all of them, and open "
    "the copy of this one"
)
# What libhdf5 says of a file that has to be opened as a reader beside its writer.
_NEEDS_READER = "open for write"
# What it says where a link leads to a file that it can't open.
_FILE_IS_THERE = ("open for", "unable to lock", "signature", "truncated")
# What stands for a text of variable length: a count, and an address and index in the file's heap.
_HEAP_REFERENCE_BYTES = 16
# Few datatypes make up a file, and building a NumPy dtype takes longer than reading a number.
_MOST_TYPES = 512
_types: dict[bytes, _Type] = {}


def _known_type(type_id: h5t.TypeID) -> _Type:
    encoded = type_id.encode()
    known = _types.get(encoded)
    if known is None:
        dtype = type_id.dtype
        if _ends_the_process(dtype):
            raise TypeError("region references of varying number, with which libhdf5 would end the process")
        element, inner_shape = split_array_type(dtype)
        known = _Type(
            dtype,
            element,
            inner_shape,
            h5t.py_create(dtype),
            is_text(element),
            has_references(element),
            _stored_size(type_id, element),
        )
        if len(_types) >= _MOST_TYPES:
            _types.clear()
        _types[encoded] = known
    return known


def _stored_size(type_id: h5t.TypeID, element: np.dtype[Any]) -> int | None:
    """What an element takes in the file, or less than that: never as much as two or more of them take."""
    if has_references(element):
        return None
    is_varying_text = isinstance(type_id, h5t.TypeStringID) and type_id.is_variable_str()
    return _HEAP_REFERENCE_BYTES if is_varying_text else int(type_id.get_size())


def split_array_type(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The element of an array datatype and the dimensions that it adds behind a dataset's own, as NumPy has them.

    Examples
    --------
    >>> split_array_type(np.dtype(("i4", (3,))))
    (dtype('int32'), (3,))
    """
    shape: tuple[int, ...] = ()
    while dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape += inner
    return dtype, shape


def _to_python(values: NDArray[Any], known: _Type, location: h5i.ObjectID) -> Any:
    """A Python scalar or `str` where there is one element, and else an array, with text decoded."""
    if known.has_references:
        values = name_references(values, known.element, location)
    elif known.is_text and values.size != 1:
        return decode_array(values)
    if values.size != 1:
        return values
    element: Any = values.item() if values.dtype.names is None else values.reshape(())[()]
    return decode(element) if known.is_text else element


def has_references(dtype: np.dtype[Any]) -> bool:
    """Whether there are object or region references among the elements of a dtype, or among their parts."""
    if h5py.check_ref_dtype(dtype) is not None:
        return True
    inner = h5py.check_vlen_dtype(dtype)
    if isinstance(inner, np.dtype):
        return has_references(inner)
    if dtype.names is not None:
        return any(has_references(dtype[name]) for name in dtype.names)
    return dtype.subdtype is not None and has_references(dtype.base)


def _ends_the_process(dtype: np.dtype[Any], varies: bool = False) -> bool:
    """Whether libhdf5 crashes on reading a dtype: on region references within elements of varying length."""
    inner = h5py.check_vlen_dtype(dtype)
    if isinstance(inner, np.dtype):
        return _ends_the_process(inner, True)
    if dtype.names is not None:
        return any(_ends_the_process(dtype[name], varies) for name in dtype.names)
    if dtype.subdtype is not None:
        return _ends_the_process(dtype.base, varies)
    return varies and h5py.check_ref_dtype(dtype) is h5py.RegionReference


def name_references(values: NDArray[Any], dtype: np.dtype[Any], location: h5i.ObjectID) -> NDArray[Any]:
    """References as a `Link` to what they refer to, for which the open file is needed; None for null references."""
    linked = [_named(value, dtype, location) for value in values.flat]
    if dtype.names is None:
        return _objects(linked).reshape(values.shape)
    parts = [(name, object if has_references(dtype[name]) else dtype[name]) for name in dtype.names]
    return np.array(linked, dtype=parts).reshape(values.shape)


def _named(value: Any, dtype: np.dtype[Any], location: h5i.ObjectID) -> Any:
    if h5py.check_ref_dtype(dtype) is not None:
        name = object_names.of_target(value, location) if value else None
        return Link(decode(name)) if name else None
    if dtype.names is not None:
        return tuple(_named(value[name], dtype[name], location) for name in dtype.names)
    if not has_references(dtype):
        return value
    inner = h5py.check_vlen_dtype(dtype) or dtype.base
    return _objects([_named(each, inner, location) for each in np.ravel(value)])


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array


class _Node:
    """What groups and datasets have in common."""

    __slots__ = ("diagnostics", "id", "path")

    def __init__(self, object_id: Any, path: str, diagnostics: Diagnostics) -> None:
        self.id = object_id
        self.path = path
        self.diagnostics = diagnostics

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def report(self, code: Code, message: str) -> None:
        """Say what is the matter with it."""
        self.diagnostics.add(code, self.path, message)

    def _reporting(self, code: Code, message: str, path: str | None = None) -> Hdf5Errors:
        """Have what h5py raises reported, of the object itself or of one below it."""
        return Hdf5Errors(
            lambda error: self.diagnostics.add(code, path or self.path, f"{message} ({reason_of(error)})")
        )

    def read_attributes(self) -> dict[str, Any]:
        """All attributes; one that can't be read is reported and left out."""
        names: list[bytes] = []
        with self._reporting(Code.ATTRIBUTES_UNLISTED, "its attributes can't be listed"):
            h5a.iterate(self.id, names.append)
        attributes = {}
        for raw_name in self._distinct(names):
            name = decode(raw_name)
            with self._reporting(Code.ATTRIBUTE_UNREADABLE, f"attribute {name!r} can't be read"):
                attributes[name] = _read_attribute(h5a.open(self.id, raw_name))
        return attributes

    def _distinct(self, raw_names: Sequence[bytes]) -> Iterator[bytes]:
        """Names that differ as text; of two that don't, only the one in UTF-8 can be asked for."""
        known = set(raw_names)
        for raw_name in raw_names:
            name = decode(raw_name)
            if raw_name != name.encode() and name.encode() in known:
                self.report(Code.NAME_CLASH, f"two names read {name!r}; the one that is {raw_name!r} is left out")
            else:
                yield raw_name


def _read_attribute(attribute: h5a.AttrID) -> Any:
    type_id = attribute.get_type()
    known = _known_type(type_id)
    if not known.inner_shape and _has_one_element(attribute, known):
        values = np.empty((), known.element)
    else:
        if attribute.get_space().get_simple_extent_type() == h5s.NULL:
            return h5py.Empty(known.dtype)
        values = np.empty(attribute.shape, known.dtype)
    attribute.read(values, mtype=known.memory)
    return _to_python(values, known, attribute)


def _has_one_element(attribute: h5a.AttrID, known: _Type) -> bool:
    """Whether an attribute is as large as one item of its type; asking for its dataspace takes twenty times as long."""
    try:
        return bool(attribute.get_storage_size() == known.stored_size)
    except RuntimeError:  # no elements
        return False


class Dataset(_Node):
    """A dataset of an open file: its shape and type at once, its values when they are asked for."""

    __slots__ = ("_type", "is_null", "shape", "size")

    def __init__(self, object_id: h5d.DatasetID, path: str, diagnostics: Diagnostics) -> None:
        super().__init__(object_id, path, diagnostics)
        space = object_id.get_space()
        self._type = _known_type(object_id.get_type())
        extent = space.shape
        self.is_null = extent is None
        self.shape: tuple[int, ...] = (*(extent or ()), *self._type.inner_shape)
        self.size = 0 if self.is_null else math.prod(self.shape)

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """The dtype of an element in the file."""
        return self._type.element

    @property
    def is_being_written(self) -> bool:
        """Whether another process may add to it: whether its file is open as a reader's beside its writer (SWMR)."""
        return bool(h5i.get_file_id(self.id).get_intent() & h5f.ACC_SWMR_READ)

    @property
    def can_grow(self) -> tuple[bool, ...]:
        """Whether each dimension has no end."""
        ends = () if self.is_null else self.id.get_space().get_simple_extent_dims(True)
        return (*(end == h5s.UNLIMITED for end in ends), *(False for _ in self._type.inner_shape))

    @property
    def nbytes(self) -> int:
        return self.size * self.stored_dtype.itemsize

    @property
    def why_no_array(self) -> str | None:
        """Why there are no values that an array could hold, None where there are."""
        if self.is_null:
            return "has no data (a null dataspace)"
        if self.stored_dtype.kind == "O" and not self._type.is_text and not self._type.has_references:
            return "has elements of varying length, which make no array"
        return None

    def read(self) -> Any:
        """All values: a Python scalar or `str`, an array, or an `h5py.Empty` for a null dataspace."""
        if self.is_null:
            return h5py.Empty(self.stored_dtype)
        if is_its_own_source(self.id):
            raise ValueError("it is a virtual dataset that is made of itself")
        if has_sources_out_of_reach(self.id):
            raise ValueError(OUT_OF_REACH)
        values = np.empty(() if self.size == 1 else self.shape, self.stored_dtype)
        if values.size:
            self.id.read(h5s.ALL, h5s.ALL, values, mtype=self._type.memory)
        return _to_python(values, self._type, self.id)


class Group(_Node):
    """A group of an open file."""

    __slots__ = ("address",)

    def __init__(self, object_id: h5g.GroupID, path: str, diagnostics: Diagnostics) -> None:
        super().__init__(object_id, path, diagnostics)
        self.address = address_of(object_id)

    def members(self) -> Iterator[tuple[str, Group | Dataset | Link, bool]]:
        """Each member's name, the object, and whether a soft or external link leads to it, in h5py's order.

        A link that leads nowhere is a `Link`; what can't be opened, user-defined links, and named datatypes, are left
        out with a report.
        """
        links: list[tuple[bytes, int]] = []
        with self._reporting(Code.MEMBERS_UNLISTED, "its members can't be listed"):
            self.id.links.iterate(lambda name, info: links.append((name, info.type)), info=True, idx_type=self._index)
        kinds = dict(links)
        for raw_name in self._distinct(list(kinds)):
            kind = kinds[raw_name]
            member = self._open(raw_name, kind)
            if member is not None:
                yield decode(raw_name), member, kind != h5l.TYPE_HARD

    @property
    def _index(self) -> int:
        """What the members are listed by: in the order in which they were made, where that is known."""
        in_order = False
        with self._reporting(Code.MEMBERS_UNORDERED, "the order of its members can't be told"):
            in_order = bool(self.id.get_create_plist().get_link_creation_order() & h5p.CRT_ORDER_TRACKED)
        return int(h5.INDEX_CRT_ORDER if in_order else h5.INDEX_NAME)

    def member_path(self, name: str) -> str:
        """Path of a member of that name."""
        return f"{self.path.rstrip('/')}/{name}"

    def get(self, name: str) -> Group | Dataset | Link | None:
        """The member of that name, None where there is none."""
        found = self._look_up(name)
        return None if found is None else self._open(*found)

    def find(self, path: str) -> Group | Dataset | Link | None:
        """What lies at a path below this group, None where there is nothing; the root finds absolute paths."""
        found: Group | Dataset | Link | None = self
        for name in path.split("/"):
            if not isinstance(found, Group):
                return None
            found = found.get(name) if name not in ("", ".") else found
        return found

    def _look_up(self, name: str) -> tuple[bytes, int] | None:
        """A member's name as it is stored, and the kind of its link; None where there is none."""
        # Text that isn't UTF-8 in the file was decoded as Latin-1.
        for encoding in ("utf-8", "latin-1"):
            raw_name = name.encode(encoding, "ignore")
            if raw_name and b"\0" not in raw_name and decode(raw_name) == name:
                with self._reporting(Code.MEMBER_UNREADABLE, f"its member {name!r} can't be looked up"):
                    if self.id.links.exists(raw_name):
                        return raw_name, self.id.links.get_info(raw_name).type
        return None

    def _open(self, raw_name: bytes, kind: int) -> Group | Dataset | Link | None:
        path = self.member_path(decode(raw_name))
        if kind not in LINKS_OF_HDF5:
            self.diagnostics.add(
                Code.LINK_KIND_UNKNOWN,
                path,
                f"is a link of a kind that only its writer follows ({kind}), and is left out",
            )
            return None
        link = None
        if kind == h5l.TYPE_EXTERNAL:
            link = self._dangling(raw_name, kind)
            if link is None or is_in_stream(self.id) or _is_special_file(self.id, link.file):
                return link
        try:
            opened = _open_in_other_file(self.id, link) if link is not None else None
            return self._wrap(opened or _open_object(self.id, raw_name), path)
        except AnyHdf5Error as error:
            if _NEEDS_READER in str(error):
                self.diagnostics.add(Code.BEING_WRITTEN, path, f"can't be opened ({reason_of(error)})")
                return None
            if kind == h5l.TYPE_HARD:
                self.diagnostics.add(Code.OBJECT_UNREADABLE, path, f"can't be opened ({reason_of(error)})")
                return None
            link, reason = self._dangling(raw_name, kind), reason_of(error)
            is_there = any(words in reason for words in _FILE_IS_THERE)
            return replace(link, trouble=f"can't be opened ({reason})") if link is not None and is_there else link

    def _wrap(self, opened: h5i.ObjectID, path: str) -> Group | Dataset | None:
        if isinstance(opened, h5d.DatasetID):
            try:
                return Dataset(opened, path, self.diagnostics)
            except TypeError as error:
                self.diagnostics.add(Code.DATATYPE_UNREADABLE, path, f"its datatype can't be read ({reason_of(error)})")
            return None
        if isinstance(opened, h5g.GroupID):
            return Group(opened, path, self.diagnostics)
        self.diagnostics.add(Code.NAMED_DATATYPE, path, "is a named datatype, and is left out")
        return None

    def _dangling(self, raw_name: bytes, kind: int) -> Link | None:
        """The soft or external link of that name; one whose target can't be read is reported, and None."""
        target: Any = None
        path = self.member_path(decode(raw_name))
        with self._reporting(Code.LINK_UNREADABLE, "is a link whose target can't be read", path):
            target = self.id.links.get_val(raw_name)
        if target is None:
            return None
        if kind == h5l.TYPE_EXTERNAL:
            return Link(decode(target[1]), decode(target[0]))
        return Link(decode(target) if isinstance(target, bytes) else repr(target))

    def link_to(self, name: str) -> Link:
        """The soft or external link of that name, not followed."""
        found = self._look_up(name)
        link = self._dangling(*found) if found is not None and found[1] in LINKS_OF_HDF5 else None
        if link is None:
            raise KeyError(name)
        return link


def _open_in_other_file(location: h5i.ObjectID, link: Link) -> h5i.ObjectID | None:
    """What an external link leads to, by the one handle that its file has here; None where only libhdf5 may open it."""
    path = find_file(link.file or "", decode(h5f.get_name(location)), FOR_LINKS)
    if path is not None:
        with (
            suppress(AnyHdf5Error),
            linked_handle(os.path.abspath(path)) as handle,
        ):  # libhdf5 says better what is wrong
            found = None if handle is None else root_of(handle, Diagnostics()).find(link.path)
            return found.id if isinstance(found, Group | Dataset) else None
    return None


def _open_object(location: h5i.ObjectID, raw_name: bytes) -> h5i.ObjectID:
    """The object of a name.

    A file that a link leads to is opened as this process has it open, if it has; as a reader beside its writer where
    another process is adding to it.
    """
    try:
        return h5o.open(location, raw_name)
    except AnyHdf5Error as error:
        for access in _other_accesses(str(error)):
            with suppress(AnyHdf5Error):
                return h5o.open(location, raw_name, access)
        raise


def _other_accesses(reason: str) -> Iterator[h5p.PropLAID]:
    if "lock" in reason:
        yield from map(_link_access, _WAYS_TO_LOCK)
    if _NEEDS_READER in reason:
        access = _link_access((False, True))
        access.set_elink_acc_flags(h5f.ACC_RDONLY | h5f.ACC_SWMR_READ)
        yield access


def _link_access(locking: tuple[bool, bool]) -> h5p.PropLAID:
    access, file_access = h5p.create(h5p.LINK_ACCESS), h5p.create(h5p.FILE_ACCESS)
    file_access.set_fclose_degree(h5f.CLOSE_STRONG)  # as h5py opens every file
    file_access.set_file_locking(*locking)
    access.set_elink_fapl(file_access)
    return access


def properties_of(dataset: h5d.DatasetID) -> h5p.PropDCID:
    """How a dataset was created."""
    with phil:
        _read_through_own_handle(dataset)
        return dataset.get_create_plist()


def in_high_level(dataset: h5d.DatasetID) -> h5py.Dataset:
    """The dataset in h5py's high-level interface, which asks at once how it was created."""
    with phil:
        _read_through_own_handle(dataset)
        return h5py.Dataset(dataset)


def _read_through_own_handle(dataset: h5d.DatasetID) -> None:
    """Let libhdf5 read a fill value of variable length through the handle that the dataset was opened with.

    It does so through the one that read the dataset last, and crashes where that is closed meanwhile. Each reading
    changes that, also one that is refused because as many elements are asked for as there are not.
    """
    type_id = dataset.get_type()
    if isinstance(type_id, h5t.TypeVlenID) or (isinstance(type_id, h5t.TypeStringID) and type_id.is_variable_str()):
        elements = dataset.get_space()
        count = 2 if elements.get_select_npoints() == 1 else 1
        with suppress(AnyHdf5Error):
            nowhere = np.empty(count, f"V{type_id.get_size()}")
            dataset.read(h5s.create_simple((count,)), elements, nowhere, mtype=type_id)


def is_in_stream(location: h5i.ObjectID) -> bool:
    """Whether the file is read through a file object; libhdf5 then takes every other file for this one as well."""
    return bool(h5i.get_file_id(location).get_access_plist().get_driver() == h5fd.fileobj_driver)


def has_sources_out_of_reach(dataset: h5d.DatasetID) -> bool:
    """Whether a virtual dataset of a file that is read through a file object has sources in other files."""
    if not is_virtual(dataset) or not is_in_stream(dataset):
        return False
    properties = properties_of(dataset)
    return any(properties.get_virtual_filename(index) != "." for index in range(properties.get_virtual_count()))


def _is_special_file(location: h5i.ObjectID, file: str | None) -> bool:
    """Whether an external link leads to a pipe or device, which could block for ever when it is opened."""
    here = os.path.dirname(decode(h5f.get_name(location)))
    for path in (file or "", os.path.join(here, file or "")):
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            continue
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return True
    return False


def is_virtual(dataset: h5d.DatasetID) -> bool:
    """Whether a dataset is a virtual one."""
    if dataset.get_offset() is not None:  # contiguous, as most are; and much faster to know than the properties
        return False
    # Not by the size of what it stores, for which libhdf5 looks at every node of a chunk index.
    try:
        return bool(properties_of(dataset).get_layout() == h5d.VIRTUAL)
    except AnyHdf5Error:  # a virtual dataset has nothing that could be broken
        return False


def is_its_own_source(dataset: h5d.DatasetID, above: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Whether a virtual dataset maps, by whatever detour in its file, onto itself; to read it would crash."""
    if not is_virtual(dataset):
        return False
    properties = properties_of(dataset)
    above |= {address_of(dataset)}
    names = {decode(h5f.get_name(dataset)), "."}
    for index in range(properties.get_virtual_count()):
        if properties.get_virtual_filename(index) in names:
            try:
                source = h5d.open(h5i.get_file_id(dataset), properties.get_virtual_dsetname(index).encode())
            except AnyHdf5Error:  # a source that isn't there reads as fill values
                continue
            if address_of(source) in above or is_its_own_source(source, above):
                return True
    return False


def located(dataset: h5d.DatasetID) -> tuple[str, str] | None:
    """The file that an open dataset is in, and a path of it there; None where it has none."""
    file = h5i.get_file_id(dataset)
    name = h5i.get_name(dataset)
    # Where a soft link led on to another file, it is the name of that link.
    if name is None or not _leads_to(file, name, dataset):
        name = h5r.get_name(h5r.create(dataset, b".", h5r.OBJECT), file)
    return None if name is None else (os.path.abspath(decode(h5f.get_name(file))), decode(name))


def _leads_to(file: h5f.FileID, name: bytes, dataset: h5d.DatasetID) -> bool:
    try:
        return address_of(h5o.open(file, name)) == address_of(dataset)
    except AnyHdf5Error:
        return False


def same_object(a: Group | Dataset, b: Group | Dataset) -> bool:
    """Whether two paths lead to one object."""
    return address_of(a.id) == address_of(b.id)


def root_of(file: h5py.File, diagnostics: Diagnostics) -> Group:
    """The root group; `diagnostics` is given each thing that can't be read."""

    def unreadable(error: Exception) -> NexusFileError:
        return NexusFileError(f"{file.filename}: the root group can't be read ({error}); the file is damaged")

    with Hdf5Errors(unreadable):
        return Group(h5g.open(file.id, b"/"), "/", diagnostics)


def presented_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that values of a stored dtype have once they are read: text decoded, references named."""
    if is_text(dtype):
        return text_dtype(dtype)
    if not has_references(dtype):
        return dtype
    if dtype.names is None:
        return np.dtype(object)
    return np.dtype([(name, object if has_references(dtype[name]) else dtype[name]) for name in dtype.names])
