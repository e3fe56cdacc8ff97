"""Many files as one Dataset, along an axis that their metadata gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import xarray as xr

from nexus_xr.errors import NexusError
from nexus_xr.nexus.tree.find import as_keys
from nexus_xr.opening.files import common_attrs, files_of

from .promotion import Promotion, promoting

# Where the attributes of a Dataset tell its file and its units, from the process that opens it to that which combines.
_UNITS = "nexus_xr: file and units"
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
    prepared = partial(_prepared, promotion, preprocess, "combine_attrs" not in options)
    chosen = {"combine": "nested", "coords": "different", "compat": "equals", "data_vars": "all", "join": "exact"}
    files = files_of(paths, options.get("storage_options"))
    opened = xr.open_mfdataset(
        files,
        engine="nexus",
        concat_dim=concat_dim,
        preprocess=prepared,
        **{**chosen, "combine_attrs": _agreed_attrs, **options},
    )
    opened.attrs.pop(_UNITS, None)  # where they are those of the file that `attrs_file` names
    same = [name for name, _ in promotion.paths if concat_dim not in opened[name].dims]
    span = {concat_dim: opened.sizes[concat_dim]}
    return opened.assign_coords({name: opened[name].expand_dims(span) for name in same})


def _prepared(
    promotion: Promotion,
    preprocess: Callable[[xr.Dataset], xr.Dataset] | None,
    units_matter: bool,
    dataset: xr.Dataset,
) -> xr.Dataset:
    """A Dataset with what is promoted, and where units matter with those noted, as another process may open it."""
    promoted = promotion(dataset)
    made = promoted if preprocess is None else preprocess(promoted)
    if not units_matter:
        return made
    units = {name: str(each.attrs["units"]) for name, each in made.variables.items() if "units" in each.attrs}
    return made.assign_attrs({_UNITS: (str(dataset.encoding.get("source")), units)})


def _agreed_attrs(attrs: Sequence[Mapping[str, Any]], context: Any = None) -> dict[str, Any]:
    """What several trees agree on, of Datasets whose variables agree in their units."""
    _refuse_several([each[_UNITS] for each in attrs if _UNITS in each])
    return common_attrs([{name: value for name, value in each.items() if name != _UNITS} for each in attrs])


def _refuse_several(noted: Sequence[tuple[str, Mapping[Any, str]]]) -> None:
    """Raise an error where files have a variable in several units, by which files that is."""
    files: dict[Any, dict[str, str]] = {}
    for file, units in noted:
        for name, unit in units.items():
            files.setdefault(name, {})[unit] = file
    for name, by_unit in files.items():
        if len(by_unit) > 1:
            told = ", ".join(f"{unit!r} in {file}" for unit, file in by_unit.items())
            raise NexusError(f"{name!r} has the units {told}; convert it in preprocess")
