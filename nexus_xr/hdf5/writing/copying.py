"""Copying a dataset from one file to another without decoding it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5f, h5i, h5o, h5p, h5s, h5t, h5z
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.filters.registry import CODECS
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.addresses import address_of
from nexus_xr.hdf5.library.datatypes import is_newer, older
from nexus_xr.hdf5.library.location import is_in_stream
from nexus_xr.hdf5.library.properties import properties_of
from nexus_xr.hdf5.library.storage import filters_of
from nexus_xr.hdf5.objects.datatypes import split_array_type
from nexus_xr.hdf5.objects.text import as_h5py_takes_it, decode, encode, is_text
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.block_shapes import covering, grouped
from nexus_xr.hdf5.reading.layouts.library_layouts import Peculiarities, peculiarities_of

from .creation import put
from .link_targets import copy_attributes, has_new_attributes
from .new_objects import IN_ORDER, link_properties
from .part_files import copy_values

# How much of what lies in one piece is copied at once.
_COPIED_AT_ONCE = 16 << 20


@dataclass(frozen=True, eq=False)
class OfDataset:
    """All values of a dataset of a file, from which they come as they are.

    Parameters
    ----------
    array
        The dataset.
    """

    array: LazyArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype


class Copied(OfDataset):
    """All values of a dataset of a file, to be copied as they are stored there."""


def copy_dataset(array: LazyArray, group: h5py.Group, name: str, *, in_new_header: bool = False) -> bool:
    """Copy a dataset with its chunks and filters as they are, and without its attributes.

    Parameters
    ----------
    array
        All of the dataset.
    group
        Where it is copied to.
    name
        Name of the copy.
    in_new_header
        Whether it is to have attributes that are too large for a header of HDF5's first version.

    Returns
    -------
    bool
        Whether it was: one whose values are elsewhere (virtual, parts, external raw data), or that has grown, is not.

    Raises
    ------
    NexusError
        It has to be made anew, and can't be.
    """
    if array.layout is not None:
        return False
    if array.dtype.hasobject:
        array[...]  # over damage libhdf5 may go on for ever, which is an error here
    properties = h5p.create(h5p.OBJECT_COPY)
    properties.set_copy_object(h5o.COPY_WITHOUT_ATTR_FLAG)
    with array.opened() as dataset:
        if dataset.is_virtual or dataset.external or dataset.shape != array.shape:
            return False
        peculiarities = _peculiarities(dataset, array.file)
        if in_new_header or not _is_copied_well(dataset, group, peculiarities):
            _make_alike(dataset, group, name, array.file, peculiarities, array)
        elif not (
            _is_for_new_libraries(dataset, peculiarities)
            and _is_made_alike(dataset, group, name, array.file, peculiarities, array)
        ):
            h5o.copy(dataset.id, b".", group.id, encode(name), properties, link_properties())
    return True


def copy_object(found: h5py.Dataset | h5py.Datatype, group: h5py.Group, name: str, file: File | None = None) -> None:
    """Copy a dataset or a named datatype as it is stored, with its attributes.

    What only the newest libraries read, as all of it is that these write in the latest version of the format, is in an
    older one in the copy, where nothing needs the newer.

    Parameters
    ----------
    found
        What is copied.
    group
        Where it is copied to.
    name
        Name of the copy.
    file
        The file that it is in, by default the local one of its name.

    Raises
    ------
    NexusError
        It has to be made anew, and can't be.
    """
    if isinstance(found, h5py.Datatype):
        _copy_datatype(found, group, name)
        return
    file = file or File(found.file.filename)
    peculiarities = _peculiarities(found, file)
    if not _is_copied_well(found, group, peculiarities):
        copy_attributes(found, _make_alike(found, group, name, file, peculiarities))
    elif (_is_for_new_libraries(found, peculiarities) or has_new_attributes(found)) and _is_made_alike(
        found, group, name, file, peculiarities
    ):
        copy_attributes(found, group[as_h5py_takes_it(name)])
    else:
        h5o.copy(found.id, b".", group.id, encode(name), lcpl=link_properties())


def _copy_datatype(found: h5py.Datatype, group: h5py.Group, name: str) -> None:
    if _sizes(found) == _sizes(group) and not (is_newer(found.id) or has_new_attributes(found)):
        h5o.copy(found.id, b".", group.id, encode(name), lcpl=link_properties())
        return
    made = older(found.id.copy())
    made.commit(group.id, encode(name), link_properties())
    copy_attributes(found, h5py.Datatype(made))


def as_stored(array: LazyArray) -> LazyArray:
    """The same with text as it is stored: what is decoded may have no place there when it is encoded again."""
    if not is_text(array.raw_dtype):
        return array
    is_fixed = array.raw_dtype.kind == "S"
    dtype = np.dtype((np.void, array.raw_dtype.itemsize)) if is_fixed else np.dtype(object)
    return _StoredText(array.file, array.path, array.shape, dtype)


class _StoredText(LazyArray):
    """Text as it is stored."""

    def __getitem__(self, key: Any) -> Any:
        values = np.asarray(super().__getitem__(key), None if self.raw_dtype.kind == "V" else object)
        return values.view(f"S{values.itemsize}") if values.dtype.kind == "V" else values  # libhdf5 gives bytes


# --- what libhdf5 copies wrongly -------------------------------------------------------------------------------------


def _peculiarities(dataset: h5py.Dataset, file: File) -> Peculiarities:
    """What is to be heeded in copying a dataset, reached from a file that is that of each dataset in a stream."""
    if dataset.chunks is None:
        return Peculiarities()
    if not is_in_stream(dataset.id):
        where = decode(h5f.get_name(dataset.id))
        file = file if file.path == where else File(where)
    with file.source() as source:
        return peculiarities_of(dataset.id, source)


def _is_copied_well(dataset: h5py.Dataset, group: h5py.Group, peculiarities: Peculiarities) -> bool:
    """Whether what libhdf5's own way of copying makes of a dataset can be read.

    Between files of other lengths of addresses it makes headers that are too short or too long, and may end the
    process. Of a fill value of varying length it copies where that is in the heap of the other file. To filters
    without a name it gives the one that it knows them by, for which there is no room in what is as long as it was. A
    chunk that it has decoded for who else has the dataset open it encodes anew, of which ZFP's filter makes too much.
    """
    if _has_numbers_encoded(dataset) and _is_open_elsewhere(dataset):
        return False
    if any(h5z.filter_avail(number) for number in peculiarities.unnamed_filters):
        return False
    return _sizes(dataset) == _sizes(group) and not _has_varying_fill(dataset)


def _has_numbers_encoded(dataset: h5py.Dataset) -> bool:
    """Whether filters are applied to a dataset whose elements, unlike references and text, are the same elsewhere."""
    kind = dataset.id.get_type()
    return bool(filters_of(properties_of(dataset.id))) and not (kind.detect_class(h5t.REFERENCE) or _varies(kind))


def _is_open_elsewhere(dataset: h5py.Dataset) -> bool:
    """Whether something else in this process has the same dataset open, through whichever file object."""
    file = h5i.get_file_id(dataset.id)
    if h5f.get_obj_count(file, h5f.OBJ_DATASET) == 1:
        return False
    own = address_of(dataset.id)
    return sum(address_of(each) == own for each in h5f.get_obj_ids(file, h5f.OBJ_DATASET)) > 1


def _is_for_new_libraries(dataset: h5py.Dataset, peculiarities: Peculiarities) -> bool:
    """Whether older libraries don't read a dataset, though they would one that is made like it.

    Libhdf5 copies it in the version of the format that it has.
    """
    return peculiarities.is_new_layout or is_newer(dataset.id.get_type())


def _is_made_alike(
    source: h5py.Dataset,
    group: h5py.Group,
    name: str,
    file: File,
    peculiarities: Peculiarities,
    array: LazyArray | None = None,
) -> bool:
    """Make a dataset like another, unless it can't be made just like it; then there is none."""
    try:
        _make_alike(source, group, name, file, peculiarities, array)
    except (NexusError, ValueError):
        if encode(name) in group:
            del group[encode(name)]
        return False
    return True


def _has_varying_fill(dataset: h5py.Dataset) -> bool:
    is_set = properties_of(dataset.id).fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED
    return bool(is_set) and _varies(dataset.id.get_type())


def _sizes(item: h5py.HLObject) -> tuple[int, int]:
    """How many bytes an address and a length have in the file of an object."""
    sizes: tuple[int, int] = item.file.id.get_create_plist().get_sizes()
    return sizes


def _make_alike(
    source: h5py.Dataset,
    group: h5py.Group,
    name: str,
    file: File,
    peculiarities: Peculiarities,
    array: LazyArray | None = None,
) -> h5py.Dataset:
    """A dataset of the same type and storage, with the same values, and without attributes."""
    kind, properties = older(source.id.get_type()), properties_of(source.id)
    filters = filters_of(properties)
    _ask_again(properties)
    properties.set_attr_creation_order(IN_ORDER)
    if source.chunks is not None and (_varies(kind) or _is_for_new_libraries(source, peculiarities)):
        # Properties keep of how many bytes chunks were, which may be of others, and in which version they are told of.
        properties.set_chunk(source.chunks)
    made = h5py.Dataset(h5d.create(group.id, encode(name), kind, source.id.get_space(), properties, link_properties()))
    if filters_of(made.id.get_create_plist()) != filters:
        advice = (
            "close it where this process has it open" if _is_open_elsewhere(source) else "run h5repack on that file"
        )
        raise NexusError(
            f"{source.file.filename}:{source.name}: has a filter that makes other options of those that it has there, "
            f"so that it can't be copied as it is; {advice} before"
        )
    if made.is_virtual or made.external or not source.size or isinstance(kind, h5t.TypeReferenceID):
        return made  # whose values are elsewhere, or would lead nowhere
    if kind.detect_class(h5t.REFERENCE):
        raise NexusError(
            f"{source.file.filename}:{source.name}: has references among its values, which can't be copied between "
            "files with other lengths of addresses; write that file anew with h5repack before"
        )
    if _varies(kind):
        array = array or _array_of(source, file)
        put(made, [0] * source.ndim, _values(as_stored(array), made.dtype))
    elif source.chunks is not None:
        copy_values(source, made, tuple((0, size) for size in source.shape), [0] * source.ndim)
    elif source.id.get_storage_size():
        _copy_bytes(source.id, made.id)
    return made


def _array_of(dataset: h5py.Dataset, file: File) -> LazyArray:
    element, inner = split_array_type(dataset.dtype)
    return LazyArray(file, dataset.name, (*dataset.shape, *inner), element)


def _ask_again(properties: h5p.PropDCID) -> None:
    """Have filters asked for without the options that they have added themselves, as they will do so again."""
    steps = [properties.get_filter(index)[:3] for index in range(properties.get_nfilters())]
    if steps:
        properties.remove_filter(h5z.FILTER_ALL)
    for number, flags, options in steps:
        first = CODECS[number].own_options if number in CODECS else 0
        properties.set_filter(number, flags, tuple(options[first:]))


def _varies(kind: h5t.TypeID) -> bool:
    """Whether elements, or parts of them, lie in the file's heap."""
    if isinstance(kind, h5t.TypeStringID):
        return bool(kind.is_variable_str())
    if isinstance(kind, h5t.TypeArrayID):
        return _varies(kind.get_super())
    if isinstance(kind, h5t.TypeCompoundID):
        return any(_varies(kind.get_member_type(index)) for index in range(kind.get_nmembers()))
    return isinstance(kind, h5t.TypeVlenID)


def _values(array: LazyArray, dtype: np.dtype[Any]) -> NDArray[Any]:
    values = array[...]
    if isinstance(values, np.ndarray) and values.shape == array.shape:
        return values
    element = np.empty((), dtype)
    element[()] = values
    return element


def _copy_bytes(source: h5d.DatasetID, target: h5d.DatasetID) -> None:
    """Copy what lies in one piece, of whatever type, as it is stored."""
    kind = source.get_type()
    for start, lengths in _blocks(source.shape, kind.get_size()):
        content = np.empty(lengths, np.dtype((np.void, kind.get_size())))
        memory, space = (h5s.create_simple(lengths), source.get_space()) if lengths else (h5s.ALL, h5s.ALL)
        if lengths:
            space.select_hyperslab(start, lengths)
        source.read(memory, space, content, kind)
        target.write(memory, space, content, kind)


def _blocks(shape: tuple[int, ...], itemsize: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Where the parts begin that are copied at once, and their lengths."""
    for region in covering(shape, grouped((1,) * len(shape), shape, itemsize, _COPIED_AT_ONCE)):
        yield tuple(begin for begin, _ in region), tuple(end - begin for begin, end in region)
