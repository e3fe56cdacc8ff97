"""Writing xarray's objects into NeXus files, block by block, each a new file that replaces the old one at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO

import h5py
import xarray as xr

from nexus_xr._version import __version__
from nexus_xr.arrays.quantified import without_quantities
from nexus_xr.arrays.schedule import computes_elsewhere
from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import NexusError, NexusFileError, WithinFileError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.remote.urls import local_path
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.runtime.hdf5_errors import Hdf5Errors, reason_of
from nexus_xr.hdf5.writing.atomic_file import NewFile
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset
from nexus_xr.hdf5.writing.creation import Compression
from nexus_xr.hdf5.writing.delivery import delivering, is_elsewhere
from nexus_xr.hdf5.writing.link_targets import restore_order
from nexus_xr.hdf5.writing.stored_anew import StoredAnew
from nexus_xr.hdf5.writing.writable_file import why_unwritten
from nexus_xr.nexus.output.edits import apply
from nexus_xr.nexus.output.entry import data_group, entry_group, names_of_entries, root_attributes
from nexus_xr.nexus.output.hyperspy_metadata import BESIDE_ORIGINAL, METADATA, ROOT_ATTRIBUTES, without_nothing
from nexus_xr.nexus.output.node_writing import PendingWrite, write_attributes, write_members
from nexus_xr.nexus.output.nodes import GroupNode, Node, node_of, raise_unstorable, why_no_name
from nexus_xr.nexus.tree.find import Keys
from nexus_xr.signatures import takes

from .changes.append import append, check_append
from .changes.data_update import Rules
from .changes.region import check_region, write_region
from .changes.update import Writable, changes
from .data_tree import TreeWriting, first_data
from .defaults import KEEP
from .distributed import Workers
from .fields.blockwise import fill
from .fields.variables import fields_of, with_true_errors
from .options import WritingOptions, tabled
from .signals import Signal, signals_in
from .storing import stores


@takes(WritingOptions)
@tabled
def to_nexus(
    obj: Writable | Sequence[Writable],
    path: str | os.PathLike[str] | BinaryIO,
    *,
    mode: str | None = None,
    use_default: bool = False,
    save_original_metadata: bool = True,
    skip_metadata_key: Keys = None,
    compression: Compression = KEEP,
    compression_opts: Any = None,
    shuffle: bool | None = None,
    chunks: Sequence[int] | Mapping[Any, int] | None = None,
    unlimited_dims: Keys = None,
    encoding: Mapping[str, Any] | None = None,
    entry: str | None = None,
    region: Mapping[Any, slice] | None = None,
    append_dim: str | None = None,
    layout: str | None = None,
    compute: bool = True,
    num_threads: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Write arrays into a NeXus file, each into an entry of its own, or back into the tree that they came from.

    The file is written under a temporary name beside `path` and takes its place when it is complete; whatever
    happens before, what stands there stays as it was.

    Where dask computes in other processes, as under a client of dask.distributed, these write large dask arrays into
    part files, in a folder ``<name>_parts`` beside `path`, which the file joins as virtual datasets; `consolidate`
    makes it one file. Only then does it grow along `unlimited_dims`.

    Parameters
    ----------
    obj
        A DataArray, a Dataset whose first variable is the signal, a DataTree, whose nodes keep their paths, or a list
        of them, each of which gets an entry, as each node of a DataTree in a list does.
    path
        The file. To a URL that fsspec knows, or into an open binary stream, it goes as a whole when it is complete.
    {options}

    Returns
    -------
    None or dask.delayed.Delayed

    Raises
    ------
    NexusError
        Something can't be stored; nothing has been written then.
    NexusFileError
        The file can't be written.

    Notes
    -----
    Options that the way of writing has no use for are errors:

    {ways}

    Examples
    --------
    >>> counts = xr.DataArray([[1, 2], [3, 4]], dims=("y", "x"), coords={"x": [0.5, 1.0]}, name="counts")
    >>> to_nexus(counts, "counts.nxs", compression="gzip")
    >>> xr.open_dataset("counts.nxs", engine="nexus").counts.sizes
    Frozen({'y': 2, 'x': 2})
    """
    options = WritingOptions(
        mode=mode,
        use_default=use_default,
        save_original_metadata=save_original_metadata,
        skip_metadata_key=skip_metadata_key,
        compression=compression,
        compression_opts=compression_opts,
        shuffle=shuffle,
        chunks=chunks,
        unlimited_dims=unlimited_dims,
        encoding=encoding,
        entry=entry,
        region=region,
        append_dim=append_dim,
        layout=layout,
        compute=compute,
        num_threads=num_threads,
        storage_options=storage_options,
    )
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if is_elsewhere(path):
        return _write_elsewhere(obj, path, options)
    return write_file(obj, local_path(path) if isinstance(path, str) else path, options)


def _write_elsewhere(obj: Any, target: Any, options: WritingOptions) -> None:
    """Write a file in threads of this process, and send it."""
    import dask

    options.refuse_elsewhere(target)
    with (
        delivering(target, options.mode or "w", options.storage_options) as path,
        dask.config.set(scheduler="threads"),
    ):
        write_file(obj, path, options)


def write_file(obj: Any, path: Any, options: WritingOptions, for_swmr: bool = False) -> Any:
    """Write a file of this machine, as `to_nexus` does it, perhaps one to be read while it is written (SWMR)."""
    options.refuse_unused(path)
    obj = _in_numbers(obj)
    if options.way == "region":
        return _write_region(obj, path, options)
    if options.way == "append_dim":
        return _append(obj, path, options)
    options.storing.check([signal.dataset for signal in signals_in(obj)])
    content = _content(obj, options)(obj, path, options)
    mode = "a" if options.mode == "r+" else options.mode or "w"
    file = NewFile(path, mode, content.origin, for_swmr)
    workers = Workers(file) if computes_elsewhere() else None
    try:
        with Hdf5Errors(partial(_unwritten, path)):
            pending = content.write(file, workers.divided if workers is not None else _undivided)
        of_dask = _write(pending, file.path, options.num_threads)
        if workers is not None:
            workers.gather(of_dask)
            if not options.compute and not workers.are_idle:
                return workers.delayed()
            workers.run()
            return None if options.compute else _nothing_left()
        if of_dask:
            delayed = _stores(of_dask, file.path, options.num_threads)
            if not options.compute:
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
    return None if options.compute else _nothing_left()


def _in_numbers(obj: Any) -> Any:
    """What is to be written, with numbers and their units for quantities."""
    return [*map(_in_numbers, obj)] if isinstance(obj, list | tuple) else without_quantities(obj)


def _unwritten(path: str | os.PathLike[str], error: Exception) -> Exception:
    """What is said of an error that came up while all but large values was written."""
    if isinstance(error, WithinFileError):
        return NexusError(f"{os.fspath(path)}:{error}")
    if isinstance(error, NexusError | MemoryError):
        return error
    names_another = getattr(error, "filename", None) is not None
    reason = reason_of(error) if names_another else why_unwritten(error)
    return NexusFileError(f"{os.fspath(path)}: can't be written ({reason})")


def _write_region(obj: Any, path: str | os.PathLike[str], options: WritingOptions) -> Any:
    """Write a part of arrays that are there, or give a `Delayed` that does."""
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        raise NexusError(f"region: expected a DataArray or a Dataset, found {type(obj).__name__}")
    region, entry, num_threads = options.region, options.entry, options.num_threads
    assert region is not None
    if options.compute:
        return write_region(obj, path, region, entry, num_threads)
    import dask

    check_region(obj, path, region, entry)
    return dask.delayed(partial(write_region, obj, os.path.abspath(path), region, entry, num_threads), pure=False)()


def _append(obj: Any, path: str | os.PathLike[str], options: WritingOptions) -> Any:
    """Write more of arrays that are there, or give a `Delayed` that does."""
    dim, entry, num_threads = options.append_dim, options.entry, options.num_threads
    assert dim is not None
    if options.compute:
        return append(obj, path, dim, entry, num_threads)
    import dask

    check_append(obj, path, dim, entry)
    return dask.delayed(partial(append, obj, os.path.abspath(path), dim, entry, num_threads), pure=False)()


Divide = Callable[[str, Node], Node]


def _undivided(_: str, node: Node) -> Node:
    return node


@dataclass(frozen=True)
class _Content:
    """What will be written, found to be storable.

    Parameters
    ----------
    write
        Writes all but large values into a new file, and gives the datasets for these. Is given how arrays are divided
        among files.
    origin
        The file that the new one begins as a copy of; None where it begins empty.
    """

    write: Callable[[NewFile, Divide], list[PendingWrite]]
    origin: File | None = None


def _content(obj: Any, options: WritingOptions) -> Callable[[Any, Any, WritingOptions], _Content]:
    if options.way == "inplace":
        return _content_inplace
    return _content_of_tree if isinstance(obj, xr.DataTree) else _content_of_entries


def _content_inplace(obj: Any, path: str | os.PathLike[str], options: WritingOptions) -> _Content:
    diagnostics = Diagnostics()
    changed = changes(obj, Rules(options.save_original_metadata, options.skips, options.storing, diagnostics))
    raise_unstorable(os.fspath(path), diagnostics)

    def write(file: NewFile, divide: Divide) -> list[PendingWrite]:
        edits = [
            edit if edit.node is None else replace(edit, node=divide(edit.path, edit.node)) for edit in changed.edits
        ]
        return apply(file.file, edits) if edits else []

    return _Content(write, changed.origin)


def _content_of_entries(obj: Any, path: str | os.PathLike[str], options: WritingOptions) -> _Content:
    diagnostics = Diagnostics()
    name = options.entry
    entries = [_entry(signal, options, diagnostics) for signal in signals_in(obj)]
    raise_unstorable(os.fspath(path), diagnostics)
    if not entries:
        raise NexusError(f"{os.fspath(path)}: nothing was written, as there is no variable to write")
    if name is not None and (len(entries) > 1 or why_no_name(name) is not None):
        raise NexusError(f"entry={name!r}: expected a name for the one entry of one array; there are {len(entries)}")
    replaces = options.mode == "r+"
    if replaces and name is None:
        raise NexusError(f'{os.fspath(path)}: mode="r+" replaces one entry; say which one by entry')
    return _Content(lambda file, divide: _write_entries(file, entries, name, replaces, options.use_default, divide))


def _content_of_tree(tree: xr.DataTree, path: str | os.PathLike[str], options: WritingOptions) -> _Content:
    if options.entry is not None or options.mode == "r+":
        asked = f"entry={options.entry!r}" if options.entry is not None else 'mode="r+"'
        raise NexusError(f"{asked}: the groups of a DataTree have the names of its nodes, and replace no entry")
    diagnostics = Diagnostics()
    told = root_attributes(__version__, os.path.basename(path), _now(), None)
    own = {name: value for name, value in told.items() if name not in ROOT_ATTRIBUTES}
    root = TreeWriting(options, diagnostics, first_data(tree, options.use_default)).group(tree, own)
    raise_unstorable(os.fspath(path), diagnostics)
    if not root.members:
        raise NexusError(f"{os.fspath(path)}: nothing was written, as the tree holds nothing to write")
    return _Content(partial(_write_tree, root=root))


def _write_tree(file: NewFile, divide: Divide, root: GroupNode) -> list[PendingWrite]:
    """Write the groups of a tree; what its root knows, too, where the file has nothing yet."""
    if taken := [name for name in root.members if name in file.file]:
        raise NexusError(f"{file.path}: has {taken[0]!r} already; nothing was written")
    attributes = {} if len(file.file) else root.attributes
    members = {
        name: member if isinstance(member, Link) else divide(f"/{name}", member)
        for name, member in root.members.items()
    }
    file.carry = _Entries(tuple(members), True, False, False, file.path)
    return write_members(file.file, GroupNode(members, attributes))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class _Entry:
    name: str
    group: GroupNode


def _entry(signal: Signal, options: WritingOptions, diagnostics: Diagnostics) -> _Entry:
    dataset = with_true_errors(signal.dataset, signal.tree, signal.name)
    fields = fields_of(dataset, signal.name, options.storing, diagnostics)
    if signal.field not in fields:
        return _Entry(signal.name, GroupNode())
    aside = {key: value for key, value in signal.tree.items() if key in BESIDE_ORIGINAL and isinstance(value, Mapping)}
    original = {key: value for key, value in signal.tree.items() if key not in aside}
    trees = {METADATA[0]: original if options.save_original_metadata else {}, **aside}
    metadata = {key: node_of(tree, key, diagnostics, options.skips) for key, tree in trees.items()}
    metadata |= {key: without_nothing(metadata[key]) for key in aside}
    return _Entry(signal.name, entry_group(signal.name, data_group(signal.field, fields), metadata))


def _write_entries(
    file: NewFile,
    entries: Sequence[_Entry],
    name: str | None,
    replaces: bool,
    use_default: bool,
    divide: Divide,
) -> list[PendingWrite]:
    root = file.file
    names: list[str] = []
    pending: list[PendingWrite] = []
    before, new_names = list(root), names_of_entries(root)
    if name in before and not replaces:
        raise NexusError(
            f'{file.path}: has an entry {name!r} already; nothing was written; mode="r+" puts another in its place'
        )
    if replaces and name not in before:
        raise NexusError(f"{file.path}: nothing was written, as there is no entry {name!r}, only {before}")
    if replaces:
        del root[name]
    for entry in entries:
        names.append(name or next(new_names))
        pending += write_members(root, GroupNode({names[-1]: divide(f"/{names[-1]}", entry.group)}))
    if replaces:
        restore_order(root["/"], before)
    file.carry = _Entries(tuple(names), name is not None, replaces, use_default, file.path)
    if not before:
        default = names[0] if use_default or len(names) == 1 else None
        write_attributes(root, root_attributes(__version__, os.path.basename(file.path), _now(), default))
    elif use_default:
        root.attrs["default"] = names[0]
    return pending


@dataclass(frozen=True)
class _Entries:
    """Entries that were added to a file, to be brought into another copy of it."""

    names: tuple[str, ...]
    are_named: bool
    replace: bool
    use_default: bool
    path: str

    def __call__(self, written: h5py.File, current: h5py.File) -> None:
        if self.replace:
            self._put(written, current)
            return
        names: list[str] = []
        new_names = names_of_entries(current)
        for name in self.names:
            if self.are_named and name in current:
                raise NexusError(f"{self.path}: has an entry {name!r} by now; nothing was written")
            names.append(name if self.are_named else next(new_names))
            written.copy(written[name], current, name=names[-1])
        if self.use_default:
            current.attrs["default"] = names[0]

    def _put(self, written: h5py.File, current: h5py.File) -> None:
        """Put an entry in the place of the one of its name, which another may have removed by now."""
        [name], before = self.names, list(current)
        current.pop(name, None)
        written.copy(written[name], current, name=name)
        restore_order(current["/"], [*before, *({name} - {*before})])
        if self.use_default:
            current.attrs["default"] = name


def _write(pending: Sequence[PendingWrite], path: str, num_threads: int | None) -> list[PendingWrite]:
    """Write what isn't dask's, and give what is."""
    of_dask: list[PendingWrite] = []
    for write in pending:
        if hasattr(write.values, "dask"):
            of_dask.append(write)
        elif isinstance(write.values, StoredAnew):
            write.values.write_into(write.dataset, num_threads, f"{path}:{write.dataset.name}")
        else:
            fill(WrittenDataset(write.dataset, num_threads, f"{path}:{write.dataset.name}"), write.values)
    return of_dask


def _stores(pending: Sequence[PendingWrite], path: str, num_threads: int | None) -> Any:
    """What writes dask arrays block by block, in threads of this process."""
    import dask

    targets = [WrittenDataset(dataset, num_threads, f"{path}:{dataset.name}") for dataset, _ in pending]
    return dask.delayed(stores([values for _, values in pending], targets))


def _completed(file: NewFile, delayed: Any) -> Any:
    """A `Delayed` that completes the file once the values are written; given up, it leaves nothing behind."""
    import dask

    return dask.delayed(_finish, pure=False)(file, delayed)


def _finish(file: NewFile, _: Any) -> None:
    file.commit()


def _nothing_left() -> Any:
    import dask

    return dask.delayed(lambda: None)()
