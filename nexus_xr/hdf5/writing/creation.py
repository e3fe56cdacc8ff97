"""How a new dataset is to be stored: its chunks and filters, and the dataset made so."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t, h5z
from numpy.typing import NDArray

from nexus_xr.errors import NexusError, WithinFileError
from nexus_xr.hdf5.filters.codec import Codec
from nexus_xr.hdf5.filters.codecs.deflate import DEFLATE
from nexus_xr.hdf5.filters.codecs.lzf import LZF
from nexus_xr.hdf5.filters.codecs.only_libhdf5 import SZIP
from nexus_xr.hdf5.filters.codecs.shuffle import SHUFFLE
from nexus_xr.hdf5.filters.registry import CODECS
from nexus_xr.hdf5.library.datatypes import older
from nexus_xr.hdf5.library.properties import properties_of
from nexus_xr.hdf5.objects.paths import path_of_member
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.objects.text import decode, encode
from nexus_xr.hdf5.runtime.h5py_lock import phil

from .new_objects import IN_ORDER, link_properties, new_properties

# An array that is smaller is stored as it is, in one piece.
SMALL_BYTES = 64 * 1024
_SMALLEST_CHUNK = 1 << 20
_LARGEST_CHUNK = 4 << 20
# Of one chunk, in every version of libhdf5.
_MOST_CHUNK_BYTES = (1 << 32) - 1
_GZIP_LEVEL = 4
_SZIP_PIXELS = range(2, 33, 2)
# Of filters that aren't libhdf5's own.
_NUMBERS_OF_OTHERS = range(256, 65536)
_PLUGINS = {codec.plugin.lower(): codec.plugin for codec in CODECS.values() if codec.plugin is not None}

Compression = str | int | Mapping[str, Any] | None


def filters_named(compression: Compression, options: Any = None, shuffle: bool | None = None) -> tuple[Filter, ...]:
    """The filters that a user names as h5py has them.

    Parameters
    ----------
    compression
        ``gzip``, ``lzf``, ``szip``, the name of a filter of `hdf5plugin` or one of its objects, a level of gzip, or
        the number of a filter; None for no compression.
    options
        `compression_opts` of h5py.
    shuffle
        Whether bytes are shuffled before; None for where it helps: gzip, LZF and Zstandard.

    Raises
    ------
    NexusError
        There is no such filter.

    Examples
    --------
    >>> [step.name for step in filters_named("gzip")]
    ['shuffle', 'deflate']
    """
    compression, options = _plain(compression), _plain(options)
    if isinstance(compression, str) and compression.lower() in _PLUGINS:
        compression = _plugin(_PLUGINS[compression.lower()], options)
        options = None
    if isinstance(compression, Mapping):
        number, given = compression.get("compression"), compression.get("compression_opts")
        if not isinstance(number, int):
            raise NexusError(f"compression={compression!r}: expected an object of hdf5plugin")
        steps = [Filter(number, type(compression).__name__, tuple(map(int, given or ())))]
    elif compression is None:
        steps = []
    elif compression == "gzip" or (isinstance(compression, int) and 0 <= compression <= 9):
        level = compression if isinstance(compression, int) else _GZIP_LEVEL if options is None else options
        if not isinstance(level, int) or not 0 <= level <= 9:
            raise NexusError(f"compression_opts={level!r}: expected a level of gzip, 0 to 9")
        steps = [_step(DEFLATE, (level,))]
    elif compression == "lzf":
        if options is not None:
            raise NexusError(f"compression_opts={options!r}: lzf takes no options")
        steps = [_step(LZF)]
    elif compression == "szip":
        steps = [_step(SZIP, _szip_options(("nn", 8) if options is None else options))]
    elif isinstance(compression, int) and compression not in _NUMBERS_OF_OTHERS:
        raise NexusError(
            f"compression={compression!r}: expected a level of gzip, 0 to 9, or the number of a filter, 256 to 65535"
        )
    elif isinstance(compression, int):
        steps = [Filter(compression, str(compression), _numbers(options))]
    else:
        known = ", ".join(["gzip", "lzf", "szip", *_PLUGINS])
        raise NexusError(f"compression={compression!r}: expected one of {known}, an object of hdf5plugin, or None")
    helps = any(step.id in CODECS and CODECS[step.id].helped_by_shuffle for step in steps)
    return (_step(SHUFFLE), *steps) if (helps if shuffle is None else shuffle) else tuple(steps)


def _plain(value: Any) -> Any:
    """NumPy's numbers, also in a tuple, as Python's."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.integer) else value


def _szip_options(options: Any) -> tuple[int, int]:
    match options:
        case ("ec" | "nn" as kind, int(pixels)) if pixels in _SZIP_PIXELS:
            return {"ec": h5z.SZIP_EC_OPTION_MASK, "nn": h5z.SZIP_NN_OPTION_MASK}[kind], pixels
    raise NexusError(
        f'compression_opts={options!r}: szip takes "ec" or "nn", and an even number of pixels of 2 to 32, as ("nn", 8)'
    )


def _step(codec: Codec, options: tuple[int, ...] = ()) -> Filter:
    return Filter(codec.number, codec.name, options)


def _plugin(name: str, options: Any) -> Mapping[str, Any]:
    import hdf5plugin

    if options is not None and not isinstance(options, Mapping):
        raise NexusError(f"compression_opts={options!r}: expected a dictionary of options of hdf5plugin.{name}")
    try:
        made: Mapping[str, Any] = getattr(hdf5plugin, name)(**(options or {}))
    except (TypeError, ValueError, KeyError) as error:  # as its filters check what they are given
        raise NexusError(f"compression_opts={options!r}: hdf5plugin.{name} takes no such options ({error})") from None
    return made


def _numbers(options: Any) -> tuple[int, ...]:
    try:
        return tuple(map(operator.index, options or ()))
    except TypeError:
        raise NexusError(f"compression_opts={options!r}: expected the numbers that the filter takes") from None


def filters_of_source(steps: Sequence[Filter]) -> tuple[Filter, ...] | None:
    """Filters as a file has them, with the options that made them so; None where one may change values."""
    if any(step.id not in CODECS or not CODECS[step.id].is_lossless for step in steps):
        return None
    return tuple(Filter(step.id, step.name, step.options[CODECS[step.id].own_options :]) for step in steps)


def default_chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...] | None:
    """Chunks of a new array: whole frames where they have 1 to 4 MiB, parts or groups of frames otherwise.

    Examples
    --------
    >>> default_chunks((1000, 1024, 1024), 2), default_chunks((50_000, 100), 8), default_chunks((100,), 8)
    ((1, 1024, 1024), (5000, 100), None)
    """
    if not shape or math.prod(shape) * itemsize <= SMALL_BYTES:
        return None
    chunk = [1] * len(shape)
    for dimension in reversed(range(len(shape))):
        row = math.prod(chunk) * itemsize
        is_frame = dimension >= len(shape) - 2
        most = max(1, (_LARGEST_CHUNK if is_frame else _SMALLEST_CHUNK) // row)
        if shape[dimension] <= most:
            chunk[dimension] = shape[dimension]
            continue
        if is_frame or row < _SMALLEST_CHUNK:
            pieces = -(-shape[dimension] // max(1, most))
            chunk[dimension] = -(-shape[dimension] // pieces)
        break
    return tuple(chunk)


def growing_chunks(
    shape: tuple[int, ...], itemsize: int, growing: Sequence[bool], most: int = SMALL_BYTES
) -> tuple[int, ...]:
    """Chunks of a new array that will be longer than it is: whole frames as well, or groups of those that are small.

    Parameters
    ----------
    shape
        Its shape now.
    itemsize
        Bytes of an element.
    growing
        Which of its dimensions grow.
    most
        Bytes of a group of small frames.

    Examples
    --------
    >>> growing_chunks((0, 1024, 1024), 2, (True, False, False)), growing_chunks((0,), 8, (True,))
    ((1, 1024, 1024), (8192,))
    """
    present = tuple(max(size, 1) for size in shape)
    chunks = default_chunks(present, itemsize)
    if chunks is not None:
        return chunks
    length = max(1, most // (math.prod(present) * max(itemsize, 1)))
    first = list(growing).index(True)
    return tuple(size * length if dim == first else size for dim, size in enumerate(present))


def fitting_chunks(chunks: Sequence[int], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Chunks for an array of that shape, None where they are for another number of dimensions."""
    return tuple(chunks) if shape and len(chunks) == len(shape) and min(chunks) > 0 else None


def create_dataset(
    group: h5py.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunks: tuple[int, ...] | None = None,
    filters: Sequence[Filter] = (),
    growing: Sequence[bool] = (),
    fill: NDArray[Any] | None = None,
) -> h5py.Dataset:
    """Make a dataset without values; one with filters is chunked, and so must one be of which a dimension grows.

    It has the one element `fill` where nothing is stored, where that is given.

    Raises
    ------
    WithinFileError
        The filters aren't for such values, or such chunks.
    """
    properties = new_properties(h5p.DATASET_CREATE)
    chunks = chunks or (shape if filters and all(shape) and shape else None)
    # Every element is written, so nothing is to be filled before.
    properties.set_fill_time(h5d.FILL_TIME_IFSET)
    space = h5s.create_simple(shape, _largest(shape, chunks, growing)) if shape else h5s.create(h5s.SCALAR)
    with _explained(group, name, dtype, chunks):
        if chunks:
            _set_storage(properties, chunks, filters, dtype, dtype.itemsize)
        if fill is not None:
            properties.set_fill_value(fill)
        kind = h5t.py_create(dtype, logical=True)
        made = h5d.create(group.id, encode(name), kind, space, properties, link_properties())
    return h5py.Dataset(made)


def create_alike(
    source: h5py.Dataset, group: h5py.Group, name: str, chunks: tuple[int, ...] | None, filters: Sequence[Filter]
) -> h5py.Dataset:
    """Make a dataset without values that is like another, with its type as the file has it, but for how it is stored.

    Raises
    ------
    WithinFileError
        The filters aren't for such elements, or such chunks.
    """
    kind, properties = older(source.id.get_type().copy()), _properties_alike(source)
    if not chunks and (filters or source.maxshape != source.shape):  # for which it has to be of chunks
        chunks = source.chunks or tuple(max(length, 1) for length in source.shape)
    largest = tuple(h5s.UNLIMITED if most is None else most for most in source.maxshape)
    if chunks:  # which nothing can have that is shorter and can't grow
        largest = tuple(h5s.UNLIMITED if most < length else most for most, length in zip(largest, chunks, strict=True))
    with _explained(group, name, source.dtype, chunks):
        if chunks:
            _set_storage(properties, chunks, filters, source.dtype, kind.get_size())
        else:
            properties.set_layout(h5d.CONTIGUOUS)
        space = h5s.create_simple(source.shape, largest)
        made = h5d.create(group.id, encode(name), kind, space, properties, link_properties())
    return h5py.Dataset(made)


def _properties_alike(source: h5py.Dataset) -> h5p.PropDCID:
    """Properties of a dataset with the fill value of another, which says nothing of how it is stored."""
    if source.external or source.is_virtual:  # which nothing takes from properties again
        properties = new_properties(h5p.DATASET_CREATE)
        if (fill := fill_of(source)) is not None:
            properties.set_fill_value(fill)
    else:
        properties = properties_of(source.id)
        properties.set_attr_creation_order(IN_ORDER)
        properties.set_alloc_time(h5d.ALLOC_TIME_DEFAULT)
        if properties.get_nfilters():
            properties.remove_filter(h5z.FILTER_ALL)
    properties.set_fill_time(h5d.FILL_TIME_IFSET)
    return properties


def _set_storage(
    properties: h5p.PropDCID, chunks: tuple[int, ...], filters: Sequence[Filter], dtype: np.dtype[Any], itemsize: int
) -> None:
    _check_chunks(filters, chunks, dtype, itemsize)
    properties.set_chunk(chunks)
    for step in filters:
        _append(properties, step)


@contextmanager
def _explained(group: h5py.Group, name: str, dtype: np.dtype[Any], chunks: tuple[int, ...] | None) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        where = path_of_member(decode(group.name), decode(name))
        raise WithinFileError(
            f"{where}: {dtype} in chunks of {chunks} can't be stored so ({error}); "
            "choose another compression or other chunks"
        ) from error


def fill_of(dataset: h5py.Dataset) -> NDArray[Any] | None:
    """The fill value that a dataset was given, as `create_dataset` takes it; None for none, and of what h5py hasn't."""
    if properties_of(dataset.id).fill_value_defined() != h5d.FILL_VALUE_USER_DEFINED:
        return None
    text = h5py.check_string_dtype(dataset.dtype)
    if dataset.dtype.hasobject and text is None:
        return None
    # Of text h5py only takes the bytes from where they lie if their length varies, whatever the dataset has.
    return np.array(dataset.fillvalue, dataset.dtype if text is None else h5py.string_dtype(text.encoding))


def put(dataset: h5py.Dataset, start: Sequence[int], values: NDArray[Any], where: str | None = None) -> None:
    """Write values into a dataset from an element on, by libhdf5; `where` is what it is called in errors.

    h5py would take elements of varying length that happen to have the same one for one array more.
    """
    if not isinstance(h5py.check_vlen_dtype(dataset.dtype), np.dtype):
        # Behind its dimensions come those of an array datatype.
        part = tuple(slice(at, at + size) for at, size in zip(start, values.shape, strict=False))
        if values.dtype.kind == "S" == dataset.dtype.kind:
            values = values.astype(dataset.dtype)  # which notes the encoding, and libhdf5 converts none to another
        try:
            dataset[part] = values
        except UnicodeEncodeError:
            dataset[part] = _encoded(dataset, values, where)
        except (TypeError, ValueError) as error:
            if not dataset.dtype.hasobject:
                raise
            raise _unwritable(dataset, where, _unwritable_text(values, error)) from None
        return
    space = dataset.id.get_space()
    if start:
        space.select_hyperslab(tuple(start), values.shape)
    dataset.id.write(h5s.create_simple(values.shape) if start else h5s.ALL, space, values.astype(dataset.dtype))


def _unwritable(dataset: h5py.Dataset, where: str | None, found: str) -> NexusError:
    if where is None:
        return WithinFileError(f"{dataset.name}: there is {found}")
    return NexusError(f"{where}: there is {found}")


def _unwritable_text(values: NDArray[Any], error: Exception) -> str:
    """What h5py doesn't write among elements that are to be text."""
    other = next((type(each).__name__ for each in values.flat if not isinstance(each, str | bytes)), None)
    if other is not None:
        return f"no text but a value of type {other}; load an array of dask before it is written, or make it text"
    return "text with a zero in it, which would end there" if "NULL" in str(error) else f"no text ({error})"


def _encoded(dataset: h5py.Dataset, texts: NDArray[Any], where: str | None) -> NDArray[Any]:
    try:
        encoded = [encode(each) if isinstance(each, str) else each for each in texts.flat]
    except UnicodeEncodeError as error:
        raise _unwritable(dataset, where, f"text that is no Unicode ({error.reason})") from None
    return np.fromiter(encoded, dtype=object, count=texts.size).reshape(texts.shape)


def _largest(shape: tuple[int, ...], chunks: tuple[int, ...] | None, growing: Sequence[bool]) -> tuple[int, ...]:
    """Only a dimension that may grow can be shorter than its chunks."""
    along = zip(shape, chunks or shape, growing or (False,) * len(shape), strict=True)
    return tuple(h5s.UNLIMITED if grows or length > size else size for size, length, grows in along)


def _check_chunks(filters: Sequence[Filter], chunks: tuple[int, ...], dtype: np.dtype[Any], itemsize: int) -> None:
    """Raise an error for chunks that a filter doesn't encode, or that not every libhdf5 opens."""
    for codec in (CODECS[step.id] for step in filters if step.id in CODECS):
        if (reason := codec.why_unfit(chunks, dtype)) is not None:
            raise ValueError(reason)
    nbytes = math.prod(chunks) * itemsize
    if nbytes > _MOST_CHUNK_BYTES:
        raise ValueError(f"a chunk has {nbytes} bytes, and libhdf5 before 2.0 opens less than 4 GiB")


def _append(properties: h5p.PropDCID, step: Filter) -> None:
    codec = CODECS.get(step.id)
    if codec is None or codec.ask is None:
        _register_plugins()
        properties.set_filter(step.id, h5z.FLAG_OPTIONAL, step.options)
    else:
        codec.ask(properties, step.options)


@functools.cache
def _register_plugins() -> None:
    """Have the filters of `hdf5plugin` for those that others brought.

    netCDF4 names filters of its own to every libhdf5 in the process and its children; they are linked with its own
    libhdf5 and fail in h5py's.
    """
    import hdf5plugin

    # In one step: what is made while a filter has gone has its chunks stored without it, or can't be read at all.
    with phil:
        registered = hdf5plugin.get_config().registered_filters
        for name in (name for name, path in registered.items() if not path.startswith(hdf5plugin.PLUGIN_PATH)):
            with suppress(RuntimeError):  # an open dataset uses it as it is
                hdf5plugin.register((name,), force=True)
