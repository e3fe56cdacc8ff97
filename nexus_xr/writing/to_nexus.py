"""Writing xarray's objects into NeXus files, block by block, each a new file that replaces the old one at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import h5py
import numpy as np
import xarray as xr

from nexus_xr._version import __version__
from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.writing.atomic_file import NewFile
from nexus_xr.hdf5.writing.chunk_writer import Target
from nexus_xr.hdf5.writing.creation import Compression
from nexus_xr.nexus.output.edits import apply
from nexus_xr.nexus.output.hyperspy import METADATA
from nexus_xr.nexus.output.layout import data_group, entry_group, next_entry, root_attributes, valid_name
from nexus_xr.nexus.output.nodes import GroupNode, Late, Node, Skip, node_of, raise_problems, store, why_no_name
from nexus_xr.nexus.rules.content import free_name
from nexus_xr.nexus.tree.find import Keys, as_keys
from nexus_xr.nexus.tree.metadata import same_tree

from .distributed import Workers, aligned
from .region import check_region, write_region
from .schedule import computes_elsewhere
from .update import Rules, changes
from .variables import KEEP, Storing, blocks, fields_of

Writable = xr.DataArray | xr.Dataset | xr.DataTree


def to_nexus(
    obj: Writable | Sequence[Writable],
    path: str | os.PathLike[str],
    *,
    mode: str | None = None,
    use_default: bool = False,
    save_original_metadata: bool = True,
    skip_metadata_key: Keys = None,
    compression: Compression = KEEP,
    compression_opts: Any = None,
    shuffle: bool | None = None,
    chunks: Sequence[int] | Mapping[Any, int] | None = None,
    entry: str | None = None,
    region: Mapping[Any, slice] | None = None,
    layout: str | None = None,
    compute: bool = True,
    num_threads: int | None = None,
) -> Any:
    """Write arrays into a NeXus file, each into an entry of its own, or back into the tree that they came from.

    The file is written under a temporary name beside `path` and takes its place when it is complete; whatever
    happens before, what stands there stays as it was.

    Where dask computes in other processes, as under a client of dask.distributed, these write large dask arrays into
    part files, in a folder ``<name>_parts`` beside `path`, which the file joins as virtual datasets; `consolidate`
    makes it one file.

    Parameters
    ----------
    obj
        A DataArray, a Dataset whose first variable is the signal, a DataTree of these, or a list of them.
    path
        The file.
    mode
        ``w``, as by default, replaces a file that is there, ``x`` doesn't, ``a`` adds entries to it, beside those that
        others add meanwhile.
    use_default
        Whether the first is the default plot where there are several.
    save_original_metadata
        Whether the tree in ``attrs`` is written.
    skip_metadata_key
        Part of the path, or several, of what of the tree is left out.
    compression
        ``gzip``, ``lzf``, ``szip``, the name of a filter of hdf5plugin or one of its objects, a level of gzip, or None.
        By default as the array's source has it, and gzip for what comes from no file.
    compression_opts, shuffle
        As h5py has them.
    chunks
        Shape of the chunks, or lengths by dimension. By default those of the array's source, or whole frames.
    entry
        Name of the entry where one is written; by default the first of ``entry1``, ``entry2``, ... that is free. With
        `region`, the entry that has the variables, or the path of their group, where several have some of these names.
    region
        A slice for each dimension of which `obj` is only a part: its values go into the variables of these names that
        the file has already, in place and as they are stored; several threads may do so at once. Of the other
        arguments only `entry`, `compute` and `num_threads` go with it.
    layout
        ``entry``, as by default, an entry for each array, as HyperSpy has it. ``inplace``, the tree of the file that
        they were opened from: the new file is a copy of that one, in which only what is new or has other values is
        changed, at its place. What the objects no longer have stays, links stay links, and no other file is changed.
    compute
        Whether the values of dask arrays are written at once; if not, a `dask.delayed.Delayed` is returned that
        writes them and completes the file. That of a region writes all of it.
    num_threads
        Most threads that encode; None for what ``NEXUS_XR_NUM_THREADS`` says, or else the CPUs that this process
        may use. Blocks of dask arrays are encoded by dask's threads.

    Returns
    -------
    None or dask.delayed.Delayed

    Raises
    ------
    NexusError
        Something can't be stored; nothing has been written then.
    NexusFileError
        The file can't be written.

    Examples
    --------
    >>> counts = xr.DataArray([[1, 2], [3, 4]], dims=("y", "x"), coords={"x": [0.5, 1.0]}, name="counts")
    >>> to_nexus(counts, "counts.nxs", compression="gzip")
    >>> xr.open_dataset("counts.nxs", engine="nexus").counts.sizes
    Frozen({'y': 2, 'x': 2})
    """
    if region is not None:
        asked = {
            "mode": mode is not None,
            "layout": layout is not None,
            "use_default": use_default,
            "save_original_metadata": not save_original_metadata,
            "skip_metadata_key": skip_metadata_key is not None,
            "compression": compression != KEEP,
            "compression_opts": compression_opts is not None,
            "shuffle": shuffle is not None,
            "chunks": chunks is not None,
        }
        return _write_region(obj, path, region, entry, compute, num_threads, [name for name in asked if asked[name]])
    mode = "w" if mode is None else mode
    layout = "entry" if layout is None else layout
    if mode not in ("w", "x", "a"):
        raise NexusError(f'mode={mode!r}: expected "w" (replace), "x" (create) or "a" (add)')
    storing = Storing(compression, compression_opts, shuffle, chunks)
    storing.check([signal.dataset for signal in _signals(obj)])
    skip = _skipper(as_keys(skip_metadata_key))
    if layout == "inplace":
        if mode == "a" or use_default or entry is not None:
            raise NexusError(
                'layout="inplace" takes no entry, no use_default and not mode="a": the tree is the file\'s'
            )
        content = _content_inplace(obj, path, save_original_metadata, skip, storing)
    elif layout == "entry":
        content = _content_of_entries(obj, path, save_original_metadata, skip, storing, entry, use_default)
    else:
        raise NexusError(f'layout={layout!r}: expected "entry" or "inplace"')
    file = NewFile(path, mode, content.origin)
    workers = Workers(file) if computes_elsewhere() else None
    try:
        try:
            late = content.store(file, workers.divided if workers is not None else _undivided)
        except OSError as error:
            raise NexusFileError(f"{os.fspath(path)}: can't be written ({error})") from error
        of_dask = _write(late, file.path, num_threads)
        if workers is not None:
            workers.gather(of_dask)
            if not compute and not workers.are_idle:
                return workers.delayed()
            workers.run()
            return None if compute else _nothing_left()
        if of_dask:
            delayed = _stores(of_dask, file.path, num_threads)
            if not compute:
                return _completed(file, delayed)
            try:
                delayed.compute()
            except Exception as error:
                error.add_note(f"while writing {file.path}:{', '.join(dataset.name for dataset, _ in of_dask)}")
                raise
    except BaseException:
        file.abort()
        raise
    file.commit()
    return None if compute else _nothing_left()


def _write_region(
    obj: Writable | Sequence[Writable],
    path: str | os.PathLike[str],
    region: Any,
    entry: str | None,
    compute: bool,
    num_threads: int | None,
    also_asked: Sequence[str],
) -> Any:
    """Write a part of arrays that are there, or give a `Delayed` that does."""
    if also_asked:
        raise NexusError(
            f"{os.fspath(path)}: nothing was written: region goes into arrays that are there, as they are stored, and "
            f"takes no {', '.join(also_asked)}; leave that out, or write the whole without region"
        )
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        raise NexusError(f"region: expected a DataArray or a Dataset, found {type(obj).__name__}")
    if compute:
        return write_region(obj, path, region, entry, num_threads)
    import dask

    check_region(obj, path, region, entry)
    return dask.delayed(partial(write_region, obj, os.path.abspath(path), region, entry, num_threads), pure=False)()


Divide = Callable[[str, Node], Node]


def _undivided(_: str, node: Node) -> Node:
    return node


@dataclass(frozen=True)
class _Content:
    """What will be written, found to be storable.

    Parameters
    ----------
    store
        Writes all but large values into a new file, and gives the datasets for these. Is given how arrays are divided
        among files.
    origin
        The file that the new one begins as a copy of; None where it begins empty.
    """

    store: Callable[[NewFile, Divide], list[Late]]
    origin: File | None = None


def _content_inplace(
    obj: Any, path: str | os.PathLike[str], save_original_metadata: bool, skip: Skip, storing: Storing
) -> _Content:
    problems: list[str] = []
    changed = changes(obj, Rules(save_original_metadata, skip, storing, problems))
    raise_problems(os.fspath(path), problems)

    def store(file: NewFile, divide: Divide) -> list[Late]:
        edits = [
            edit if edit.node is None else replace(edit, node=divide(edit.path, edit.node)) for edit in changed.edits
        ]
        return apply(file.file, edits) if edits else []

    return _Content(store, changed.origin)


def _content_of_entries(
    obj: Any,
    path: str | os.PathLike[str],
    save_original_metadata: bool,
    skip: Skip,
    storing: Storing,
    name: str | None,
    use_default: bool,
) -> _Content:
    problems: list[str] = []
    signals = list(_signals(obj))
    entries = [_entry(signal, save_original_metadata, skip, storing, problems) for signal in signals]
    raise_problems(os.fspath(path), problems)
    if not entries:
        raise NexusError(f"{os.fspath(path)}: nothing was written, as there is no variable to write")
    if name is not None and (len(entries) > 1 or why_no_name(name) is not None):
        raise NexusError(f"entry={name!r}: expected a name for the one entry of one array; there are {len(entries)}")
    return _Content(lambda file, divide: _store_entries(file, entries, name, use_default, divide))


@dataclass(frozen=True)
class _Signal:
    """One thing to write into an entry of its own."""

    name: str
    dataset: xr.Dataset
    field: str
    tree: Mapping[str, Any]


def _signals(obj: Any) -> Iterable[_Signal]:
    if isinstance(obj, xr.DataArray):
        yield _signal_of_array(obj)
    elif isinstance(obj, xr.Dataset):
        yield from _signals_of_dataset(obj, obj.attrs, None)
    elif isinstance(obj, xr.DataTree):
        for node in obj.subtree:
            if node.data_vars:
                above = [node, *node.parents]
                attributes = next((each.attrs for each in above if each.attrs), {})
                yield from _signals_of_dataset(node.to_dataset(), attributes, node.name)
    elif isinstance(obj, Sequence) and not isinstance(obj, str):
        for each in obj:
            yield from _signals(each)
    else:
        raise NexusError(f"{type(obj).__name__}: expected a DataArray, a Dataset, a DataTree or a list of them")


def _signal_of_array(array: xr.DataArray) -> _Signal:
    """A DataArray's attributes that are dictionaries are its tree, the others its field's."""
    name = valid_name("data" if array.name is None else str(array.name))
    tree = {key: value for key, value in array.attrs.items() if isinstance(value, Mapping)}
    own = array.variable.copy(deep=False)
    own.attrs = {key: value for key, value in array.attrs.items() if key not in tree}
    free = free_name(name, set(map(str, array.coords)))
    return _Signal(name, xr.Dataset({free: own}, coords=array.coords), free, tree)


def _signals_of_dataset(dataset: xr.Dataset, tree: Mapping[Any, Any], name: str | None) -> Iterable[_Signal]:
    names = [str(each) for each in dataset.data_vars]
    first = next((each for each in names if not _is_errors(each, names)), None)
    if first is not None:
        dataset, tree = _with_trees_apart(dataset, tree)
        yield _Signal(valid_name(name or first), dataset, first, tree)


def _with_trees_apart(dataset: xr.Dataset, tree: Mapping[Any, Any]) -> tuple[xr.Dataset, Mapping[Any, Any]]:
    """Trees that the data variables have among their attributes, as signals do, belong to the entry's."""
    dataset, tree = dataset.copy(), dict(tree)
    for variable in dataset.data_vars.values():
        for key, value in list(variable.attrs.items()):
            if isinstance(value, Mapping) and same_tree(tree.setdefault(key, value), value):
                del variable.attrs[key]
    return dataset, tree


def _is_errors(name: str, names: Sequence[str]) -> bool:
    return name.endswith("_errors") and name.removesuffix("_errors") in names


def _skipper(keys: Sequence[str]) -> Skip:
    return lambda path: any(key in path for key in keys)


@dataclass(frozen=True)
class _Entry:
    name: str
    group: GroupNode


def _entry(signal: _Signal, save_original_metadata: bool, skip: Skip, storing: Storing, problems: list[str]) -> _Entry:
    fields = fields_of(signal.dataset, signal.name, storing, problems)
    if signal.field not in fields:
        return _Entry(signal.name, GroupNode())
    aside = {key: value for key, value in signal.tree.items() if key in METADATA[1:] and isinstance(value, Mapping)}
    original = {key: value for key, value in signal.tree.items() if key not in aside}
    trees = {METADATA[0]: original if save_original_metadata else {}, **aside}
    metadata = {key: node_of(tree, key, problems, skip) for key, tree in trees.items()}
    return _Entry(signal.name, entry_group(signal.name, data_group(signal.field, fields), metadata))


def _store_entries(
    file: NewFile, entries: Sequence[_Entry], name: str | None, use_default: bool, divide: Divide
) -> list[Late]:
    root = file.file
    names: list[str] = []
    late: list[Late] = []
    if name is not None and name in root:
        raise NexusError(f"{file.path}: has an entry {name!r} already; nothing was written")
    for entry in entries:
        names.append(name or next_entry(root))
        late += store(root, GroupNode({names[-1]: divide(f"/{names[-1]}", entry.group)}))
    file.carry = _Entries(tuple(names), name is not None, use_default, file.path)
    if len(root) == len(entries):
        default = names[0] if use_default or len(names) == 1 else None
        time = datetime.now(UTC).isoformat(timespec="seconds")
        root.attrs.update(root_attributes(__version__, os.path.basename(file.path), time, default))
    elif use_default:
        root.attrs["default"] = names[0]
    return late


@dataclass(frozen=True)
class _Entries:
    """Entries that were added to a file, to be brought into another copy of it."""

    names: tuple[str, ...]
    are_named: bool
    use_default: bool
    path: str

    def __call__(self, written: h5py.File, current: h5py.File) -> None:
        names = []
        for name in self.names:
            if self.are_named and name in current:
                raise NexusError(f"{self.path}: has an entry {name!r} by now; nothing was written")
            names.append(name if self.are_named else next_entry(current))
            written.copy(written[name], current, name=names[-1])
        if self.use_default:
            current.attrs["default"] = names[0]


def _write(late: Sequence[Late], path: str, num_threads: int | None) -> list[Late]:
    """Write what isn't dask's, and give what is."""
    of_dask: list[Late] = []
    for dataset, values in late:
        if hasattr(values, "dask"):
            of_dask.append((dataset, values))
        else:
            fill(Target(dataset, num_threads, f"{path}:{dataset.name}"), values)
    return of_dask


def _stores(late: Sequence[Late], path: str, num_threads: int | None) -> Any:
    """What writes dask arrays block by block, in threads of this process."""
    import dask
    import dask.array as da

    targets = [Target(dataset, num_threads, f"{path}:{dataset.name}") for dataset, _ in late]
    sources = [aligned(values, target.chunks) for (_, values), target in zip(late, targets, strict=True)]
    return dask.delayed(da.store(sources, targets, lock=False, compute=False))  # type: ignore[arg-type]


def fill(target: Target, values: Any) -> None:
    """Write all values into a dataset; those that aren't in memory block by block."""
    if isinstance(values, np.ndarray):
        target.write(tuple((0, size) for size in values.shape), values)
        return
    for region in blocks(values, target.chunks):
        target.write(region, np.asarray(values[tuple(slice(*each) for each in region)]))


def _completed(file: NewFile, delayed: Any) -> Any:
    """A `Delayed` that completes the file once the values are written; given up, it leaves nothing behind."""
    import dask

    return dask.delayed(_finish, pure=False)(file, delayed)


def _finish(file: NewFile, _: Any) -> None:
    file.commit()


def _nothing_left() -> Any:
    import dask

    return dask.delayed(lambda: None)()
