"""What there is to open, and the metadata alone: what takes nothing of xarray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_xr.hdf5.io.reference import Roots
from nexus_xr.nexus.tree.find import Keys
from nexus_xr.nexus.tree.scan import Walk
from nexus_xr.signatures import takes

from .options import Options
from .select import Opening, describe_with


@takes(Options)
def list_datasets(
    path: Any,
    *,
    dataset_key: Keys = None,
    hardlinks_only: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    within: Roots = None,
) -> tuple[list[str], list[str]]:
    """List what there is to open: the paths of NXdata groups, and those of datasets of two or more elements.

    Parameters
    ----------
    path
        Path, URL or open binary file.
    {options}

    Returns
    -------
    tuple of two lists of str
        Paths of NXdata groups, paths of datasets.

    Raises
    ------
    NexusError
        The file isn't HDF5.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     file["entry/data/counts"] = [1, 2, 3]
    ...     file["entry/data"].attrs["NX_class"] = "NXdata"
    >>> list_datasets("scan.nxs")
    (['/entry/data'], ['/entry/data/counts'])
    """
    options = Options(
        dataset_key=dataset_key, hardlinks_only=hardlinks_only, storage_options=storage_options, within=within
    )
    selected = describe_with(Opening.selected, options.file(path), options)
    groups = [found.path for found in selected if found.is_group]
    return groups, [found.path for found in selected if not found.is_group]


@takes(Options)
def read_metadata(
    path: Any,
    *,
    metadata_key: Keys = None,
    skip_array_metadata: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    within: Roots = None,
) -> dict[str, Any]:
    """Read the tree of a whole file, without its NXdata groups.

    Parameters
    ----------
    path
        Path, URL or open binary file.
    {options}

    Returns
    -------
    dict
        Members by name: a group is a dictionary of its members, with its attributes under ``"attrs"``; a field
        is ``{"value": value, "attrs": {...}}``.

    Raises
    ------
    NexusError
        The file isn't HDF5.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     file["entry/title"] = "a scan"
    >>> read_metadata("scan.nxs")["entry"]["title"]["value"]
    'a scan'
    """
    options = Options(
        metadata_key=metadata_key,
        skip_array_metadata=skip_array_metadata,
        storage_options=storage_options,
        within=within,
    )
    return describe_with(_whole_tree, options.file(path), options)


def _whole_tree(opening: Opening) -> dict[str, Any]:
    return opening.narrowed(Walk(opening.root, opening.file).through(opening.root).tree, "/")
