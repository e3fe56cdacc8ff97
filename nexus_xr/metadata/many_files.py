"""Many files as one Dataset, along an axis that their metadata gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xarray as xr

from nexus_xr.errors import NexusError
from nexus_xr.nexus.tree.find import as_keys
from nexus_xr.opening.files import common_attrs, files_of

from .promotion import promoting

Promote = str | Sequence[str] | Mapping[str, str]


def open_mfdataset(
    paths: Any,
    *,
    concat_dim: str,
    promote: Promote = (),
    preprocess: Callable[[xr.Dataset], xr.Dataset] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Open many files as one Dataset along a new dimension, with fields of their metadata as coordinates.

    Parameters
    ----------
    paths
        A list of paths or URLs, or one with wildcards, of which the files come in natural order.
    concat_dim
        The new dimension. Named as one of the coordinates that are promoted, that one is its index.
    promote
        Paths of fields as ``"sample/temperature"``, or such paths by the names of the coordinates. Each coordinate has
        the dimension `concat_dim`, also where all files have the same value.
    preprocess
        Is given each Dataset with these coordinates.
    **options
        Those of `xarray.open_mfdataset` and of the engine. Files whose axes differ are an error unless `join` says
        otherwise; of the metadata what all agree on is kept, unless `combine_attrs` says otherwise, which also lets
        units differ.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    NexusError
        A file isn't HDF5 or has no such field, no file matches the pattern, or a variable has other units in some.

    Examples
    --------
    >>> import h5py
    >>> for number, kelvin in enumerate((4.2, 77.0)):
    ...     with h5py.File(f"scan_{number}.nxs", "w") as file:
    ...         file["entry/data/counts"] = [1, 2, 3]
    ...         file["entry/data"].attrs.update(NX_class="NXdata", signal="counts")
    ...         file["entry/sample/temperature"] = kelvin
    >>> scans = open_mfdataset("scan_*.nxs", promote="sample/temperature", concat_dim="temperature")
    >>> scans.counts.sel(temperature=77.0).values, scans.temperature.values
    (array([1, 2, 3]), array([ 4.2, 77. ]))
    """
    promotion = promoting(**promote) if isinstance(promote, Mapping) else promoting(*as_keys(promote))

    units: dict[Any, dict[str, str]] = {}

    def prepared(dataset: xr.Dataset) -> xr.Dataset:
        promoted = promotion(dataset)
        made = promoted if preprocess is None else preprocess(promoted)
        for name, variable in made.variables.items():
            if "units" in variable.attrs:
                units.setdefault(name, {})[str(variable.attrs["units"])] = str(dataset.encoding.get("source"))
        return made

    chosen = {"combine": "nested", "coords": "different", "compat": "equals", "data_vars": "all", "join": "exact"}
    files = files_of(paths, options.get("storage_options"))
    opened = xr.open_mfdataset(
        files,
        engine="nexus",
        concat_dim=concat_dim,
        preprocess=prepared,
        **{**chosen, "combine_attrs": common_attrs, **options},
    )
    if "combine_attrs" not in options:
        _refuse_several(units, opened)
    same = [name for name, _ in promotion.paths if concat_dim not in opened[name].dims]
    span = {concat_dim: opened.sizes[concat_dim]}
    return opened.assign_coords({name: opened[name].expand_dims(span) for name in same})


def _refuse_several(units: Mapping[Any, Mapping[str, str]], opened: xr.Dataset) -> None:
    """Raise an error where files have a variable in several units, by which files that is."""
    for name, files in units.items():
        if len(files) > 1:
            opened.close()
            told = ", ".join(f"{unit!r} in {file}" for unit, file in files.items())
            raise NexusError(f"{name!r} has the units {told}; convert it in preprocess")
