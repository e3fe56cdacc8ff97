"""The options of writing: their names, defaults and documentation, and which way of writing has use for which."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.runtime.cpus import asked_threads
from nexus_xr.nexus.tree.find import Keys, as_keys
from nexus_xr.signatures import check_types

from .defaults import KEEP

if TYPE_CHECKING:
    from nexus_xr.hdf5.writing.creation import Compression

    from .fields.storage import Storing

_MODES = ("w", "x", "a", "r+")
_LAYOUTS = ("entry", "inplace")

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class WritingOptions:
    """What `to_nexus` takes as keyword arguments.

    Parameters
    ----------
    mode
        ``w``, as by default, replaces a file that is there, ``x`` doesn't, ``a`` adds entries to it, beside those that
        others add meanwhile, and ``r+`` puts one in the place of that which `entry` names.
    use_default
        Whether the first is the default plot where there are several.
    save_original_metadata
        Whether the tree in ``attrs`` is written.
    skip_metadata_key
        Part of the path, or several, of what of the tree is left out.
    compression
        ``gzip``, ``lzf``, ``szip``, the name of a filter of hdf5plugin or one of its objects, a level of gzip, or None.
        By default as the array's source has it, and gzip for what comes from no file. Arrays of up to 64 KiB are
        stored as they are, in one piece, unless `chunks` says otherwise. Filters that lose something are applied to
        the signal and to data of its dimensions alone; all else gets gzip in their place.
    compression_opts
        Options of the filter, as h5py has them; of a filter of hdf5plugin, a dictionary of the arguments of its class.
    shuffle
        Whether bytes are shuffled before they are compressed, as h5py has it.
    chunks
        Shape of the chunks, or lengths by dimension; an array that is shorter has one chunk along it. By default those
        of the array's source, or whole frames. Of coordinates, and of what has not all dimensions of the signal, it
        concerns those of more than 64 KiB.
    unlimited_dims
        Names of the dimensions that have no end in the file, so that more can be appended along them.
    encoding
        How single variables are stored, by name: dictionaries of ``chunks`` (or ``chunksizes``), ``compression``,
        ``compression_opts``, ``shuffle`` and ``dtype``; also of those that `compression` and `chunks` don't concern.
    entry
        Name of the entry where one is written; by default the first of ``entry1``, ``entry2``, ... that is free. With
        `region` and `append_dim`, the entry that has the variables, or the path of their group, where several have some
        of these names.
    region
        A slice for each dimension of which `obj` is only a part: its values go into the variables of these names that
        the file has already, in place and as they are stored; several threads may do so at once. What has none of these
        dimensions has to be as it is in the file, which may lack scalar coordinates.
    append_dim
        A dimension along which variables of these names, which the file has already, are continued with the values of
        `obj`, as they are stored. It has to be one of `unlimited_dims` of who wrote the file. All that spans it is to
        be given, and what else is given has to be as it is in the file, which is as it was if anything fails.
    layout
        ``entry``, as by default, an entry for each array, as HyperSpy has it. ``inplace``, the tree of the file that
        they were opened from: the new file is a copy of that one, in which only what is new or has other values is
        changed, at its place. What the objects no longer have stays, links stay links, and no other file is changed.
    compute
        Whether the values of dask arrays are written at once; if not, a `dask.delayed.Delayed` is returned that
        writes them and completes the file. That of `region` or `append_dim` writes all of it.
    num_threads
        Most threads that encode; None for what ``NEXUS_XR_NUM_THREADS`` says, or else the CPUs that this process
        may use. Blocks of dask arrays are encoded by dask's threads.
    storage_options
        Options for the fsspec file system of a URL.
    """

    mode: str | None = None
    use_default: bool = False
    save_original_metadata: bool = True
    skip_metadata_key: Keys = None
    compression: Compression = KEEP
    compression_opts: Any = None
    shuffle: bool | None = None
    chunks: Sequence[int] | Mapping[Any, int] | None = None
    unlimited_dims: Keys = None
    encoding: Mapping[str, Any] | None = None
    entry: str | None = None
    region: Mapping[Any, slice] | None = None
    append_dim: str | None = None
    layout: str | None = None
    compute: bool = True
    num_threads: int | None = None
    storage_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_types(self, num_threads=1)
        if self.num_threads is None:
            asked_threads()  # what can't be meant is told also where no thread would be asked for
        if self.mode not in (None, *_MODES):
            raise NexusError(f'mode={self.mode!r}: expected "w" (replace), "x" (create), "a" (add) or "r+" (one entry)')
        if self.layout not in (None, *_LAYOUTS):
            raise NexusError(f'layout={self.layout!r}: expected "entry" or "inplace"')

    @property
    def way(self) -> str:
        """Into an ``entry`` of its own, ``inplace``, into a ``region``, or behind what is there."""
        if self.region is not None:
            return "region"
        return "append_dim" if self.append_dim is not None else self.layout or "entry"

    @cached_property
    def storing(self) -> Storing:
        """How arrays are to be stored."""
        from .fields.storage import Storing

        return Storing(
            self.compression,
            self.compression_opts,
            self.shuffle,
            self.chunks,
            unlimited_dims=as_keys(self.unlimited_dims),
            encoding=self.encoding or {},
        )

    def skips(self, path: str) -> bool:
        """Whether what is at a path of the tree is left out."""
        return any(key in path for key in as_keys(self.skip_metadata_key))

    def refuse_unused(self, path: str | os.PathLike[str]) -> None:
        """Raise an error that names what was asked for and the way of writing has no use for."""
        way = WAYS[self.way]
        unused = [each.name for each in fields(self) if each.name not in way.uses and self._is_given(each)]
        if way.modes and self.mode not in (None, *way.modes):
            unused.append(f'mode="{self.mode}"')
        if unused:
            raise NexusError(
                f"{os.fspath(path)}: nothing was written: {way.asked} {way.does} and takes no {', '.join(unused)}; "
                f"leave that out, or write the whole without {way.asked}"
            )

    def refuse_elsewhere(self, target: Any) -> None:
        """Raise an error where what was asked for needs a file of this machine, and the target is none."""
        asked = {way: self.way == way for way in ("region", "append_dim")}
        asked |= {f'mode="{self.mode}"': self.mode in ("a", "r+"), "compute=False": not self.compute}
        if unfit := [name for name, is_asked in asked.items() if is_asked]:
            where = target if isinstance(target, str) else type(target).__name__
            raise NexusError(f"{where}: a file is sent there as a whole, which {', '.join(unfit)} doesn't go with")

    def _is_given(self, option: Field[Any]) -> bool:
        value = getattr(self, option.name)
        return type(value) is not type(option.default) or bool(value != option.default)


@dataclass(frozen=True)
class Way:
    """A way of writing.

    Parameters
    ----------
    asked
        How it is asked for.
    does
        What it does, in words that say why it has no use for the other options.
    uses
        The options that it has use for.
    modes
        The values of `mode` that it has use for.
    """

    asked: str
    does: str
    uses: Collection[str]
    modes: Sequence[str] = ()


_OPTIONS = tuple(each.name for each in fields(WritingOptions))
WAYS: Mapping[str, Way] = {
    "entry": Way('layout="entry"', "makes entries", {*_OPTIONS} - {"region", "append_dim"}, _MODES),
    "inplace": Way(
        'layout="inplace"',
        "writes the tree of the file",
        {*_OPTIONS} - {"region", "append_dim", "entry", "use_default", "unlimited_dims", "encoding"},
        ("w", "x"),
    ),
    "region": Way(
        "region", "goes into arrays that are there, as they are stored,", {"region", "entry", "compute", "num_threads"}
    ),
    "append_dim": Way(
        "append_dim",
        "continues arrays that are there, as they are stored,",
        {"append_dim", "mode", "entry", "compute", "num_threads"},
        ("a",),
    ),
}


def tabled(function: _Function) -> _Function:
    """Put a table of what each way of writing has use for into a function's docstring, for ``{ways}``."""
    if function.__doc__ is not None:  # python -OO leaves none
        function.__doc__ = inspect.cleandoc(function.__doc__).replace("{ways}", _table())
    return function


def _table() -> str:
    heading = ("option", *(way.asked for way in WAYS.values()))
    rows = [heading, *((name, *(_use(way, name) for way in WAYS.values())) for name in _OPTIONS)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    border = "  ".join("=" * width for width in widths)
    head, *lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join([border, head, border, *lines, border])


def _use(way: Way, option: str) -> str:
    if option == "mode" and way.modes:
        return ", ".join(way.modes)
    return "yes" if option in way.uses else "no"
