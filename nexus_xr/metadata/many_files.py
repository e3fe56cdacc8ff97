"""Many files as one Dataset, along an axis that their metadata gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import xarray as xr

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.naming.url_path import shown
from nexus_xr.hdf5.io.reference import FileLike
from nexus_xr.nexus.tree.find import as_keys
from nexus_xr.opening.files import common_attrs, files_of
from nexus_xr.opening.times import clock_attributes

from .promotion import Promotion, promoting

# Where the attributes of a Dataset tell its file and what its values mean, from the process that opens it to that which
# combines.
_MEANING = "nexus_xr: file and meaning of values"
# What an attribute that differs asks for.
_WAY_OUT = {"units": "convert it in preprocess"}
_MOST_TOLD = 3
_WAY_OUT_OF_TIMES = "open them with decode_times=True, or bring them to one in preprocess"
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
        units differ, and since when times are counted.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    NexusError
        A file isn't HDF5 or has no such field, no file matches the pattern, or a variable has other units in some, or,
        of times, another ``start``, ``offset`` or ``scaling_factor``; or axes differ, where the first file that has
        another one is named.

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
    settings = {**chosen, "combine_attrs": _agreed_attrs, **options}

    def open_files(some: Sequence[FileLike]) -> xr.Dataset:
        return xr.open_mfdataset(some, engine="nexus", concat_dim=concat_dim, preprocess=prepared, **settings)

    try:
        opened = open_files(files)
    except xr.AlignmentError as error:
        told = _first_other_axis(files, concat_dim, open_files)
        if told is None:
            raise
        raise NexusError(told) from error
    opened.attrs.pop(_MEANING, None)  # where they are those of the file that `attrs_file` names
    same = [name for name, _ in promotion.paths if concat_dim not in opened[name].dims]
    span = {concat_dim: opened.sizes[concat_dim]}
    return opened.assign_coords({name: opened[name].expand_dims(span) for name in same})


def _prepared(
    promotion: Promotion,
    preprocess: Callable[[xr.Dataset], xr.Dataset] | None,
    meaning_matters: bool,
    dataset: xr.Dataset,
) -> xr.Dataset:
    """A Dataset with what is promoted, and a note of what its values mean, where that matters, for other processes."""
    promoted = promotion(dataset)
    made = promoted if preprocess is None else preprocess(promoted)
    if not meaning_matters:
        return made
    meaning = {name: told for name, each in made.variables.items() if (told := _meaning_of(each.attrs))}
    return made.assign_attrs({_MEANING: (shown(str(dataset.encoding.get("source"))), meaning)})


def _meaning_of(attributes: Mapping[Any, Any]) -> dict[str, str]:
    """The attributes by which values can be compared: their units, and of times since when they are counted."""
    units = {"units": str(attributes["units"])} if "units" in attributes else {}
    return units | clock_attributes(attributes)


def _agreed_attrs(attrs: Sequence[Mapping[str, Any]], context: Any = None) -> dict[str, Any]:
    """What several trees agree on, of Datasets whose variables agree in what their values mean."""
    _refuse_several([each[_MEANING] for each in attrs if _MEANING in each])
    return common_attrs([{name: value for name, value in each.items() if name != _MEANING} for each in attrs])


def _refuse_several(noted: Sequence[tuple[str, Mapping[Any, Mapping[str, str]]]]) -> None:
    """Raise an error where values of a variable mean something else in some files, by which files that is."""
    files: dict[tuple[Any, str], dict[str, str]] = {}
    for file, meaning in noted:
        for name, told in meaning.items():
            for attribute, value in told.items():
                files.setdefault((name, attribute), {})[value] = file
    for (name, attribute), by_value in files.items():
        if len(by_value) > 1:
            told_by = ", ".join(f"{value!r} in {file}" for value, file in islice(by_value.items(), _MOST_TOLD))
            if len(by_value) > _MOST_TOLD:
                told_by += f", and {len(by_value) - _MOST_TOLD} more"
            way_out = _WAY_OUT.get(attribute, _WAY_OUT_OF_TIMES)
            raise NexusError(f"{name!r} has the {attribute} {told_by}; {way_out}")


def _first_other_axis(
    files: Sequence[FileLike], concat_dim: str, open_files: Callable[[Sequence[FileLike]], xr.Dataset]
) -> str | None:
    """Which of the files is the first that has another axis than the first, and which one; None where none is found."""
    with open_files(files[:1]) as first:
        axes = {str(dim): first.variables[dim] for dim in first.dims if dim in first.indexes and dim != concat_dim}
        for file in files[1:]:
            with open_files([file]) as other:
                for dim, there in axes.items():
                    here = other.variables.get(dim)
                    if here is not None and not here.equals(there):
                        told = f"{_name(file)}: the axis {dim!r} isn't that of {_name(files[0])}"
                        told += f": {_difference(here, there)}"
                        return f'{told}; bring it to that in preprocess, or have them joined, as by join="outer"'
    return None


def _name(file: FileLike) -> str:
    return shown(str(file))


def _difference(here: xr.Variable, there: xr.Variable) -> str:
    """How the values of two axes differ."""
    if here.shape != there.shape:
        return f"it has {here.size} elements, not {there.size}"
    some, others = here.values, there.values
    at = int(np.argmax(some != others))
    first = f"it is {some[at]} at [{at}], not {others[at]}"
    if not {some.dtype.kind, others.dtype.kind} <= set("iuf"):
        return first
    apart = np.abs(some.astype(np.float64) - others.astype(np.float64))
    return f"{first}, and up to {np.max(apart):g} apart"
