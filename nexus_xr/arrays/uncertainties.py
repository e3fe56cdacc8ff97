"""Which variable holds the uncertainties of which, and both joined in one that propagates them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code, Diagnostic
from nexus_xr.errors import NexusError, listed, warn_once
from nexus_xr.nexus.output.quantities import is_quantity
from nexus_xr.nexus.rules.reserved import ERRORS, owner_of
from nexus_xr.nexus.rules.variables import Role
from nexus_xr.nexus.tree.metadata import MetadataGroup

from .labels import in_order_of
from .propagation import values_of, variances_of
from .uncertain import UncertainArray
from .units import in_units_of, units_apart

# In the encoding of a variable and of that of its uncertainties, which no arithmetic keeps, the same name.
_HAS, _IS_OF = "has_errors", "is_errors_of"
# In that of the uncertainties, the units of the values at that time.
_UNITS = "units_of_values"
WHY_DOUBTFUL = (
    "it or {!r} was computed without propagation (see with_uncertainties, or say that it is right by assign_errors)"
)

_WHY_LOST = (
    "{!r} has blocks without uncertainties: either an operation took the values alone, as interpolation does, and "
    ".nexus.values is what there is; or exact values were concatenated with uncertain ones, and have to be joined with "
    "zeros before, by exact.nexus.with_uncertainties(xr.zeros_like(exact))"
)


_WHY_UNKNOWN = (
    "{}: has uncertainties of which dask doesn't know, as map_blocks of xarray and first and last of groups lose them; "
    'compute it before, or apply the function by xr.apply_ufunc(..., dask="parallelized"), which keeps them'
)

# --- pairs -----------------------------------------------------------------------------------------------------


def mark(variable: xr.Variable, errors: xr.Variable, name: str) -> None:
    """Note that one variable holds the uncertainties of another, for as long as both have their values."""
    variable.encoding[_HAS] = errors.encoding[_IS_OF] = name
    if variable.attrs.get("units") is not None:
        errors.encoding[_UNITS] = str(variable.attrs["units"])


def units_when_marked(errors: xr.Variable) -> str | None:
    """The units that values had when these were noted as their uncertainties; None where they had none."""
    return errors.encoding.get(_UNITS) if _IS_OF in errors.encoding else None


def errors_by_owner(dataset: xr.Dataset) -> dict[Hashable, Hashable]:
    """The variables that are called the uncertainties of a data variable, whether or not they still are."""
    errors = errors_among(dataset.variables)
    return {owner: name for owner, name in errors.items() if owner in dataset.data_vars}


def errors_among(variables: Mapping[Any, xr.Variable]) -> dict[Any, Any]:
    """The variables that are the uncertainties of others, by these: were so when they were opened, or are called so.

    What was opened says it whatever it is called by now; its uncertainties do as long as they are called so. Of several
    that could be meant, as copies under other names are, it is the one after which they are called.
    """
    by_mark = _pairs_by_mark(variables)
    paired = {*by_mark, *by_mark.values()}
    left = {name: variable for name, variable in variables.items() if name not in paired}
    return by_mark | _pairs_by_name(left)


def _pairs_by_name(variables: Mapping[Any, xr.Variable]) -> dict[Any, Any]:
    called = [name for name in variables if isinstance(name, str) and name.endswith(ERRORS)]
    owners = ((owner_of(name, ERRORS, variables), name) for name in called)
    return {owner: name for owner, name in owners if owner is not None and _fits(variables[name], variables[owner])}


def _fits(errors: xr.Variable, variable: xr.Variable) -> bool:
    """Whether uncertainties are along the same dimensions, or those that were opened or assigned along some of them.

    Arrays that are put together along a new dimension keep one coordinate of uncertainties, if all have the same.
    """
    return errors.dims == variable.dims or (_IS_OF in errors.encoding and {*errors.dims} < {*variable.dims})


def _pairs_by_mark(variables: Mapping[Any, xr.Variable]) -> dict[Any, Any]:
    having: dict[Any, list[Any]] = {}
    for name, variable in variables.items():
        if _HAS in variable.encoding:
            having.setdefault(variable.encoding[_HAS], []).append(name)
    called = [name for name in variables if isinstance(name, str) and name.endswith(ERRORS)] if having else []
    found: dict[Any, Any] = {}
    for name in called:
        variable = variables[name]
        owners = [
            each
            for each in having.get(variable.encoding.get(_IS_OF), ())
            if each not in found and _fits(variable, variables[each])
        ]
        if owners:
            found[next((each for each in owners if name == f"{each}{ERRORS}"), owners[0])] = name
    return found


def called_after_owners(dataset: xr.Dataset) -> xr.Dataset:
    """The same with uncertainties as they are written: called ``<name>_errors``, along all dimensions of the values.

    Where something else has that name they keep theirs, and are variables like others.
    """
    dataset = _of_all_dimensions(dataset)
    names = renamed_errors(dataset)
    if not names:
        return dataset
    others = dataset.drop_vars(names)  # not renamed, which takes the units from indexes of quantities
    coords = {new: dataset.variables[name] for name, new in names.items() if name in dataset.coords}
    data = {new: dataset.variables[name] for name, new in names.items() if name not in dataset.coords}
    return others.assign_coords(coords).assign(data)


def _of_all_dimensions(dataset: xr.Dataset) -> xr.Dataset:
    variables = dataset.variables
    short = {
        name: _broadcast(variables[name], variables[owner])
        for owner, name in errors_among(variables).items()
        if variables[name].dims != variables[owner].dims
    }
    coords = {name: each for name, each in short.items() if name in dataset.coords}
    data = {name: each for name, each in short.items() if name not in coords}
    return dataset.assign_coords(coords).assign(data) if short else dataset


def _broadcast(errors: xr.Variable, variable: xr.Variable) -> xr.Variable:
    """Uncertainties that mean the same for each along the dimensions that they lack."""
    whole: xr.Variable = errors.set_dims(dict(zip(variable.dims, variable.shape, strict=True))).transpose(
        *variable.dims
    )
    whole.encoding = {_IS_OF: errors.encoding[_IS_OF]}  # not how they are stored, which has fewer dimensions
    return whole


def renamed_errors(dataset: xr.Dataset) -> dict[Hashable, Hashable]:
    """The names of uncertainties that are called after something else, and those that they are to have."""
    pairs = errors_among(dataset.variables).items()
    names = {name: f"{owner}{ERRORS}" for owner, name in pairs if name != f"{owner}{ERRORS}"}
    staying = dataset.variables.keys() - names.keys()
    return {name: new for name, new in names.items() if new not in staying}


def doubtful(dataset: xr.Dataset, tree: Mapping[Any, Any]) -> dict[Hashable, Hashable]:
    """Those that an operation may have made of uncertainties as of ordinary values, or left beside other values.

    What came from a file or was assigned is marked, and what was computed since is not. Of two variables that both
    aren't, those beside an opened tree were computed; others somebody named so.
    """
    opened = any(isinstance(value, MetadataGroup) for value in tree.values())
    return {
        owner: name
        for owner, name in errors_by_owner(dataset).items()
        if not _belong(owner, dataset.variables[owner], dataset.variables[name], opened)
    }


def _belong(owner: Hashable, variable: xr.Variable, errors: xr.Variable, opened: bool) -> bool:
    if _IS_OF in errors.encoding:
        return bool(variable.encoding.get(_HAS) == errors.encoding[_IS_OF])
    return not opened or ("nexus_path" in variable.encoding and not _was_looked_up(owner, variable))


def _was_looked_up(name: Hashable, variable: xr.Variable) -> bool:
    """Whether data are positions on an axis, as `idxmax` finds them, to which xarray may give its encoding."""
    path, role = (str(variable.encoding.get(key)) for key in ("nexus_path", "nexus_role"))
    return role == Role.AXIS.value and path.rpartition("/")[2] != name


def assign_errors(dataset: xr.Dataset, errors: Mapping[Any, Any]) -> xr.Dataset:
    """The same with variables that hold the standard uncertainties of others, in place of those that these had.

    Raises
    ------
    NexusError
        There is nothing of that name, or they haven't its shape or its labels, or are in other units.
    """
    dataset = dataset.copy()
    for name, given in errors.items():
        if name not in dataset.variables:
            raise NexusError(f"uncertainties for {name!r}: there is no such variable; there are {[*dataset.variables]}")
        own = dataset[name]
        array = given if isinstance(given, xr.DataArray) else xr.DataArray(given, dims=own.dims[: np.ndim(given)])
        if array.sizes != own.sizes:
            raise NexusError(f"uncertainties of dimensions {dict(array.sizes)} for {name!r} of {dict(own.sizes)}")
        fitting = in_order_of(array, own, f"uncertainties for {name!r}").variable.transpose(*own.dims).copy(deep=False)
        fitting = in_units_of(own.attrs, fitting, f"uncertainties for {name!r}", are_widths=True)
        if is_uncertain(own.variable):
            dataset = dataset.assign({name: values_in(own)})
        mark(dataset.variables[name], fitting, f"{name}{ERRORS}")
        dataset = dataset.assign({f"{name}{ERRORS}": fitting})
    return dataset


# --- joined ----------------------------------------------------------------------------------------------------


def is_uncertain(variable: xr.Variable) -> bool:
    """Whether a variable's values have uncertainties with them."""
    return isinstance(_first_of(variable._data), UncertainArray)


def _first_of(data: Any) -> Any:
    """What an array is made of, the units of a quantity and the blocks of dask taken away."""
    bare = data.magnitude if is_quantity(data) else data
    return getattr(bare, "_meta", bare)


def with_uncertainties(dataset: xr.Dataset) -> xr.Dataset:
    """The same with each variable that has uncertainties joined with these.

    Raises
    ------
    NexusError
        There are none; or they aren't those of the variable any more, or are in other units, or it has others with its
        values.
    """
    _refuse_two(dataset)
    pairs = errors_by_owner(dataset)
    lost = doubtful(dataset, dataset.attrs)
    if not pairs or lost:
        reason = f"{sorted(map(str, lost.values()))} were computed without propagation" if lost else "there are none"
        raise NexusError(f"no uncertainties to go by: {reason}; say which they are by assign_errors")
    refuse_other_units(dataset.variables, pairs)
    pairwise = {owner: joined(dataset.variables[owner], dataset.variables[name]) for owner, name in pairs.items()}
    return dataset.drop_vars(pairs.values()).assign(pairwise)


def why_not_in_units(variables: Mapping[Any, xr.Variable], owner: Hashable, name: Hashable) -> str | None:
    """Why uncertainties can't be joined with their values as they are: the units of both; None where they are alike."""
    apart = units_apart(variables[name].attrs, variables[owner].attrs)
    return None if apart is None else f"{name!r} is in {apart[0]!r}, and {owner!r} in {apart[1]!r}"


def refuse_other_units(variables: Mapping[Any, xr.Variable], pairs: Mapping[Hashable, Hashable]) -> None:
    """Raise an error where uncertainties are in other units than their values, or in per cent of these."""
    reasons = [why for pair in pairs.items() if (why := why_not_in_units(variables, *pair)) is not None]
    if reasons:
        raise NexusError(
            "uncertainties in other units than their values can't be propagated with these; convert them and say so in "
            "their attribute 'units', or leave them out by drop_vars:\n" + listed(reasons)
        )


def without_uncertainties(dataset: xr.Dataset) -> xr.Dataset:
    """The same with uncertainties as data variables of their own, called ``<name>_errors``.

    Raises
    ------
    NexusError
        There is a variable of that name already.
    """
    _refuse_two(dataset)
    for name in [name for name, each in dataset.data_vars.variables.items() if is_uncertain(each)]:
        array = dataset[name]
        dataset = assign_errors(dataset.assign({name: values_in(array)}), {name: xr.DataArray(errors_in(array))})
    return dataset


def _refuse_two(dataset: xr.Dataset) -> None:
    """Raise an error where a variable has uncertainties with its values, and there is one that is called so as well."""
    names = [name for name in dataset.data_vars if f"{name}{ERRORS}" in dataset.variables]
    for name in names:
        if is_uncertain(dataset.variables[name]):
            raise NexusError(
                f"{name!r} has uncertainties with its values, and there is a variable {f'{name}{ERRORS}'!r}, which is "
                f"what these are to be called; leave it out, by drop_vars, or say by assign_errors({name}=...) which "
                "ones hold"
            )


def errors_as_data(dataset: xr.Dataset) -> xr.Dataset:
    """What a DataArray has among its coordinates, for want of another place: uncertainties as data variables."""
    errors = errors_by_owner(dataset).values()
    return dataset.reset_coords([name for name in errors if name in dataset.coords and name not in dataset.xindexes])


def values_in(array: xr.DataArray) -> xr.Variable:
    """The values, without uncertainties."""
    return xr.Variable(array.dims, _of_each(array, values_of, array.dtype), array.attrs, array.encoding)


def variances_in(array: xr.DataArray) -> xr.Variable:
    """The squares of the standard uncertainties, whose unit isn't that of the values."""
    return xr.Variable(array.dims, _of_each(array, partial(_variances, array.name), _type_of_variances(array), power=2))


def errors_in(array: xr.DataArray) -> xr.Variable:
    """The standard uncertainties, in the unit of the values."""
    units = {key: value for key, value in array.attrs.items() if key == "units"}
    return xr.Variable(array.dims, _of_each(array, partial(_errors, array.name), _type_of_variances(array)), units)


def _of_each(array: xr.DataArray, function: Callable[[Any], NDArray[Any]], dtype: np.dtype[Any], power: int = 1) -> Any:
    """What a function makes of the array, or of each block of dask's; of quantities with a power of their units."""
    data: Any = array.data
    if is_quantity(data):
        return type(data)(_of_data(data.magnitude, function, dtype), data.units**power)
    return _of_data(data, function, dtype)


def _of_data(data: Any, function: Callable[[Any], NDArray[Any]], dtype: np.dtype[Any]) -> Any:
    if not hasattr(data, "dask"):
        return function(data)
    return data.map_blocks(function, dtype=dtype, meta=np.empty((0,) * data.ndim, dtype))


def _type_of_variances(array: xr.DataArray) -> np.dtype[Any]:
    return variances_of(_first_of(array.data)).dtype


def _variances(name: Hashable, block: Any) -> NDArray[Any]:
    """The variances of a block, which may have none though dask takes the array for one that has.

    What `xarray.apply_ufunc` applies to blocks may give values alone, of which dask isn't told, and nothing tells these
    from exact ones that others were concatenated with.
    """
    if not isinstance(block, UncertainArray):
        raise NexusError(_WHY_LOST.format(name))
    return block.variances


def _errors(name: Hashable, block: Any) -> NDArray[Any]:
    errors: NDArray[Any] = np.sqrt(_variances(name, block))
    return errors


def refuse_unknown(where: str, block: Any) -> None:
    """Raise an error where a block of an array of dask has uncertainties, of which dask doesn't know then.

    Parameters
    ----------
    where
        What the array is called in errors.
    block
        One of those that dask computes of an array without uncertainties.
    """
    if isinstance(block, UncertainArray) and not getattr(block, "is_exact", False):
        raise NexusError(_WHY_UNKNOWN.format(where))


def joined(variable: xr.Variable, errors: xr.Variable) -> xr.Variable:
    """One variable of both; of dask arrays where one of them is."""
    values, others = variable, errors if errors.dims == variable.dims else _broadcast(errors, variable)
    encoding = {key: value for key, value in variable.encoding.items() if key != "opened"}  # it can't be opened anew
    where = errors.encoding.get("nexus_path", "uncertainties")
    if values.chunks is None and others.chunks is None:
        return xr.Variable(values.dims, _join(values.values, others.values, where), values.attrs, encoding)
    import dask.array as da

    values = values if values.chunks is not None else values.chunk(others.chunksizes)
    others = others.chunk(values.chunksizes)
    nothing = _join(np.empty((0,) * values.ndim, values.dtype), np.empty((0,) * values.ndim, others.dtype), where)
    data = da.map_blocks(_join, values.data, others.data, where, dtype=values.dtype, meta=nothing)
    return xr.Variable(values.dims, data, values.attrs, encoding)


def _join(values: NDArray[Any], errors: NDArray[Any], where: str) -> UncertainArray:
    if (errors < 0).any():
        told = Diagnostic.of(Code.ERRORS_NEGATIVE, where, "has negative values; took them without their sign")
        warn_once("uncertainties are joined with values, but not just as they are", [told])
    return UncertainArray(values, np.square(errors, dtype=np.result_type(np.float32, errors.dtype)))
