"""Every signal of a file, each a DataArray."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from nexus_xr.errors import NexusError, listed
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.naming.url_path import shown
from nexus_xr.hdf5.io.reference import Roots
from nexus_xr.hdf5.runtime.compat import give_attrs
from nexus_xr.nexus.tree.find import Keys
from nexus_xr.nexus.tree.scan import Found
from nexus_xr.signatures import takes

from .arrays import Chunks
from .files import files_of
from .options import Options
from .select import Described, Opening, describe_with
from .session import variables


@takes(Options)
def open_signals(
    path: Any,
    *,
    dataset_path: Keys = None,
    dataset_key: Keys = None,
    nxdata_only: bool = False,
    hardlinks_only: bool = False,
    use_default: bool = False,
    metadata_key: Keys = None,
    skip_array_metadata: bool = False,
    mask_and_scale: bool = True,
    decode_times: bool = False,
    edges: str = "index",
    uncertainties: str = "coordinate",
    missing: str = "fill",
    chunks: Chunks = None,
    storage_options: Mapping[str, Any] | None = None,
    num_threads: int | None = None,
    within: Roots = None,
) -> list[xr.DataArray]:
    """Open every signal of a file, or of several: of each NXdata group, and each other dataset of two or more elements.

    Parameters
    ----------
    path
        Path, URL or open binary file; a list of them, or a path or URL with wildcards (``scan_*.nxs``).
    {options}

    Returns
    -------
    list of xarray.DataArray
        NXdata groups first, each under the name of its signal. ``attrs`` holds the tree of the entry, whose
        values are dictionaries, and the attributes of the field, whose values are not. Of several files, those of one
        after those of the other, as the list has them, and what a pattern matches in natural order (``scan_9`` before
        ``scan_10``); ``encoding["source"]`` tells the file.

    Raises
    ------
    NexusError
        A file isn't HDF5, or what was asked for isn't in it; or no file matches the pattern; or the chunks are none
        that the signals can have.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     file["entry/data/counts"] = [1, 2, 3]
    ...     file["entry/data"].attrs.update(NX_class="NXdata", signal="counts")
    >>> [signal] = open_signals("scan.nxs", nxdata_only=True)
    >>> signal.name, signal.dims, signal.values
    ('counts', ('dim_0',), array([1, 2, 3]))
    """
    options = Options(
        dataset_path=dataset_path,
        dataset_key=dataset_key,
        metadata_key=metadata_key,
        skip_array_metadata=skip_array_metadata,
        hardlinks_only=hardlinks_only,
        use_default=use_default,
        mask_and_scale=mask_and_scale,
        decode_times=decode_times,
        edges=edges,
        uncertainties=uncertainties,
        missing=missing,
        nxdata_only=nxdata_only,
        chunks=chunks,
        storage_options=storage_options,
        num_threads=num_threads,
        within=within,
    )
    files = map(options.file, files_of(path, storage_options))
    signals = [signal for file in files for signal in signals_of(file, options)]
    if isinstance(chunks, Mapping) and signals:
        _check_dimensions(chunks, signals)
    return signals


def signals_of(file: File, options: Options, did_grow: frozenset[str] = frozenset()) -> list[xr.DataArray]:
    """Every signal of one file, where these fields are such as can grow, or could."""
    return describe_with(_signals, file, options, "signals", did_grow)


def _signals(opening: Opening) -> list[xr.DataArray]:
    signals = []
    plotted: set[str] = set()
    waiting = sorted(opening.several(), key=lambda found: not found.is_group)
    for found in waiting:
        if not found.is_group and (opening.options.nxdata_only or found.path in plotted):
            continue
        described = opening.describe(found)
        name = described.data.signal
        if found.is_group:
            opening.diagnostics.extend(described.data.diagnostics)
        if name is None:
            # Without paths to go by, all datasets are there already.
            waiting += [each for each in _arrays_of(described) if opening.options.paths and each not in waiting]
            continue
        made, options = variables(opening, described), opening.options
        signal = made.array(name, options.chunks, options.joins_errors, described.group.diagnostics)
        if found.is_group:
            segments = described.content.fields[name].segments
            plotted.update(map(described.group.member_path, segments), [signal.encoding["nexus_path"]])
        own = opening.attrs(described)
        own.update(signal.attrs)
        give_attrs(signal.variable, own)
        signal.set_close(opening.file.close)
        signals.append(signal)
    return signals


def _check_dimensions(chunks: Mapping[Any, Any], signals: Sequence[xr.DataArray]) -> None:
    """What chunks are given for must be a dimension of a signal; one of several signals need not have it."""
    sizes = {
        f"{shown(signal.encoding['source'])}:{signal.encoding['nexus_path']}": dict(signal.sizes) for signal in signals
    }
    unknown = [dim for dim in chunks if not any(dim in each for each in sizes.values())]
    if unknown:
        there_are = listed(f"{path}: {own}" for path, own in sizes.items())
        raise NexusError(f"chunks={chunks!r}: no signal has a dimension {unknown[0]!r}; there are:\n{there_are}")


def _arrays_of(described: Described) -> list[Found]:
    """The datasets of a group that are signals of their own where it has none."""
    fields = described.content.fields.items()
    return [Found(described.group.member_path(name), False) for name, field in fields if math.prod(field.shape) >= 2]
