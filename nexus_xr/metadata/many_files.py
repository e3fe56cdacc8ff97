"""Many files as one Dataset, along an axis that their metadata gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusError, some, warn_once
from nexus_xr.hdf5.io.naming.url_path import shown
from nexus_xr.hdf5.io.reference import FileLike
from nexus_xr.nexus.tree.find import as_keys
from nexus_xr.opening.files import common_attrs, files_of
from nexus_xr.opening.times import clock_attributes

from .promotion import Promotion, promoting

# Where the attributes of a Dataset tell its file and what its values mean, from the process that opens it to that which
# combines.
_MEANING = "nexus_xr: file and meaning of values"
# The attributes that say that: of times, since when and by how much they count, too.
_COMPARED = ("units", "start", "offset", "scaling_factor")
# The path of a variable, and what it says of these; and for a file, all its variables by their names.
_Said: TypeAlias = tuple[str, dict[str, Any]]
_Note: TypeAlias = tuple[str, dict[Any, _Said]]
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
        units differ, and since when times are counted. Where some files don't say these, they are those of the others,
        with a `NexusWarning`.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    NexusError
        A file isn't HDF5 or has no such field, no file matches the pattern, or a variable has other units in some, or,
        of times, another ``start``, ``offset`` or ``scaling_factor``; or axes differ, where the first file that has
        another one is named, or lengths of a dimension without an axis, with files that have them.

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
    settings = {**chosen, **options}

    def open_files(those: Sequence[FileLike]) -> xr.Dataset:
        noted: list[_Note] = []
        agreed = {"combine_attrs": partial(_agreed_attrs, noted), **settings}
        opened = xr.open_mfdataset(those, engine="nexus", concat_dim=concat_dim, preprocess=prepared, **agreed)
        _add_what_others_say(opened, noted)
        return opened

    try:
        opened = open_files(files)
    except xr.AlignmentError as error:
        told = _what_differs(files, concat_dim, open_files)
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
    said = {name: _said_of(str(name), each) for name, each in made.variables.items()}
    return made.assign_attrs({_MEANING: (shown(str(dataset.encoding.get("source"))), said)})


def _said_of(name: str, variable: xr.Variable) -> _Said:
    path = str(variable.encoding.get("nexus_path", name))
    return path, {attribute: variable.attrs[attribute] for attribute in _COMPARED if attribute in variable.attrs}


def _agreed_attrs(noted: list[_Note], attrs: Sequence[Mapping[str, Any]], context: Any = None) -> dict[str, Any]:
    """What several trees agree on, of Datasets whose variables agree in what their values mean, which is noted."""
    new = [each[_MEANING] for each in attrs if _MEANING in each]
    noted += new
    for name in _names_in(new):
        _refuse_several(name, _meanings(name, noted))
    return common_attrs([{name: value for name, value in each.items() if name != _MEANING} for each in attrs])


def _names_in(noted: Sequence[_Note]) -> dict[Any, None]:
    return {name: None for _, said in noted for name in said}


def _meanings(name: Any, noted: Sequence[_Note]) -> list[tuple[str, dict[str, str]]]:
    """What each file that has a variable says of its values: its units, and of times since when they are counted.

    Where one says no units, those of the others tell whether it has times.
    """
    told = [(file, said[name][1]) for file, said in noted if name in said]
    units = next((attributes["units"] for _, attributes in told if "units" in attributes), None)
    return [(file, _meaning_of(attributes, units)) for file, attributes in told]


def _meaning_of(attributes: Mapping[str, Any], units: Any) -> dict[str, str]:
    own = {"units": str(attributes["units"])} if "units" in attributes else {}
    return own | clock_attributes({"units": units, **attributes})


def _refuse_several(name: Any, meanings: Iterable[tuple[str, Mapping[str, str]]]) -> None:
    """Raise an error where values of a variable mean something else in some files, by which files that is."""
    files: dict[str, dict[str, str]] = {}
    for file, told in meanings:
        for attribute, value in told.items():
            files.setdefault(attribute, {})[value] = file
    for attribute, by_value in files.items():
        if len(by_value) > 1:
            told_by = ", ".join(f"{value!r} in {file}" for value, file in islice(by_value.items(), _MOST_TOLD))
            if len(by_value) > _MOST_TOLD:
                told_by += f", and {len(by_value) - _MOST_TOLD} more"
            way_out = _WAY_OUT.get(attribute, _WAY_OUT_OF_TIMES)
            raise NexusError(f"{name!r} has the {attribute} {told_by}; {way_out}")


def _add_what_others_say(opened: xr.Dataset, noted: Sequence[_Note]) -> None:
    """Have variables say what some files say of their values and others don't, and tell of it."""
    diagnostics = Diagnostics()
    for name in _names_in(noted):
        meanings = _meanings(name, noted)
        for attribute in {attribute: None for _, told in meanings for attribute in told}:
            silent = some([file for file, told in meanings if attribute not in told], _MOST_TOLD)
            if silent and name in opened.variables:
                path, said = next(each[name] for _, each in noted if name in each and attribute in each[name][1])
                opened.variables[name].attrs[attribute] = said[attribute]  # where assign would leave edges behind
                message = (
                    f"{silent} doesn't say the {attribute} of {name!r}; took {said[attribute]!r}, as others have it; "
                    "if that is wrong, assign the right one in preprocess"
                )
                diagnostics.add(Code.MEANING_UNTOLD, path, message)
    warn_once("several files were opened as one, but not all say what their values mean", diagnostics)


def _what_differs(
    files: Sequence[FileLike], concat_dim: str, open_files: Callable[[Sequence[FileLike]], xr.Dataset]
) -> str | None:
    """Which of the files is the first that has another axis than the first, or how long a dimension without one is.

    None where nothing differs so.
    """
    lengths: dict[str, dict[int, str]] = {}
    with open_files(files[:1]) as first:
        axes = {str(dim): first.variables[dim] for dim in first.dims if dim in first.indexes and dim != concat_dim}
        _note_lengths(lengths, first, files[0])
        for file in files[1:]:
            with open_files([file]) as other:
                _note_lengths(lengths, other, file)
                for dim, there in axes.items():
                    here = other.variables.get(dim)
                    if here is not None and not here.equals(there):
                        told = f"{_name(file)}: the axis {dim!r} isn't that of {_name(files[0])}"
                        told += f": {_difference(here, there)}"
                        return f'{told}; bring it to that in preprocess, or have them joined, as by join="outer"'
    lengths.pop(concat_dim, None)  # of which each file may have as many as it likes
    return next((_other_lengths(dim, found) for dim, found in lengths.items() if len(found) > 1), None)


def _note_lengths(lengths: dict[str, dict[int, str]], dataset: xr.Dataset, file: FileLike) -> None:
    """Note, of each dimension without an axis, the file as an example of its length."""
    for dim in dataset.dims:
        if dim not in dataset.indexes:
            lengths.setdefault(str(dim), {}).setdefault(dataset.sizes[dim], _name(file))


def _other_lengths(dim: str, by_length: Mapping[int, str]) -> str:
    told = ", ".join(f"{length} long in {file}" for length, file in islice(by_length.items(), _MOST_TOLD))
    if len(by_length) > _MOST_TOLD:
        told += f", and of {len(by_length) - _MOST_TOLD} more lengths"
    return (
        f"the dimension {dim!r} is {told}, and has no axis by which they could be joined; bring them to one length in "
        f"preprocess, as by ds.isel({{{dim!r}: slice({min(by_length)})}}), or leave out those of another"
    )


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
