"""What more of some arrays is to those that a file has: the same variables, in the form in which they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.arrays.announced import as_announced
from nexus_xr.arrays.edges import bounds_named
from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusError, listed
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.nexus.output.edits import as_text_of
from nexus_xr.nexus.output.entry import DataField
from nexus_xr.nexus.output.nodes import raise_unstorable
from nexus_xr.nexus.output.storable import storable
from nexus_xr.nexus.rules.reserved import DIMENSIONS, EDGES, recorded_dtype, without_marks
from nexus_xr.nexus.tree.find import absolute
from nexus_xr.opening.select import Described
from nexus_xr.opening.times import other_meaning
from nexus_xr.writing.fields.blockwise import LazyVariable
from nexus_xr.writing.fields.casting import cast
from nexus_xr.writing.fields.comparison import Difference, first_difference
from nexus_xr.writing.fields.storage import Storing
from nexus_xr.writing.fields.variables import fields_of, with_true_errors


@dataclass(frozen=True)
class Target:
    """A field of a file, to which more is to be added or with which it has to agree.

    Parameters
    ----------
    path
        Its path.
    dims
        Names of its dimensions.
    shape, dtype, attributes
        Those of the dataset.
    axis
        Which of its dimensions grows; None for none.
    has_edges
        Whether it has one value more than there are elements along that: edges of bins.
    is_scaled
        Whether what is stored isn't what it stands for.
    """

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any]
    axis: int | None
    has_edges: bool
    is_scaled: bool

    @property
    def length(self) -> int:
        """How many elements there are along the dimension that grows."""
        return 0 if self.axis is None else self.shape[self.axis] - self.has_edges


@dataclass(frozen=True)
class Targets:
    """The fields of a group.

    Parameters
    ----------
    file
        The file's name, for errors.
    dim
        The dimension that grows.
    by_name
        The fields, by the names of their variables.
    """

    file: str
    dim: str
    by_name: Mapping[str, Target]

    @property
    def growing(self) -> dict[str, Target]:
        return {name: target for name, target in self.by_name.items() if target.axis is not None}

    @property
    def length(self) -> int:
        """How long the dimension that grows is."""
        return next(target.length for target in self.growing.values())


def targets_of(described: Described, dim: str, file: str) -> Targets:
    """The fields of a group, along a dimension of it.

    Raises
    ------
    NexusError
        It has no such dimension, or its fields have other lengths along that, or corners of bins.
    """
    targets = {}
    for variable in described.data.variables:
        field = described.content.fields[variable.field]
        axis = variable.dims.index(dim) if dim in variable.dims else None
        has_edges = variable.bounds is not None and axis == len(variable.dims) - 1
        targets[variable.name] = Target(
            absolute(described.group.member_path(variable.field)),
            variable.dims,
            field.shape,
            field.dtype,
            field.attributes,
            axis,
            has_edges,
            variable.scaling is not None,
        )
    found = Targets(file, dim, targets)
    if differing := [each.message for each in described.data.diagnostics if each.code is Code.DIMENSION_LENGTHS_DIFFER]:
        raise NexusError(f"{file}: nothing was written, as the lengths of fields differ:\n{listed(differing)}")
    if corners := [target.path for target in targets.values() if _has_corners(target, dim)]:
        raise NexusError(
            f"{file}: nothing was written, as {', '.join(corners)} has edges along {dim!r} and other dimensions, which "
            "can't be added to; write the whole anew"
        )
    if not found.growing:
        dims = ", ".join(sorted({repr(dim) for target in targets.values() for dim in target.dims}))
        raise NexusError(f"{file}:{described.group.path}: has no dimension {dim!r}; there are {dims or 'none'}")
    return found


def _has_corners(target: Target, dim: str) -> bool:
    """Whether it has edges along a dimension in one of its own, as the rules name it, and as long as the data tells."""
    own = next((each for each in target.dims if each.startswith(dim + EDGES)), None)
    return own is not None and DIMENSIONS not in target.attributes


def values_for(targets: Targets, dataset: xr.Dataset) -> dict[str, Any]:
    """The values of each variable of a Dataset, as they are to be stored.

    Raises
    ------
    NexusError
        A variable is missing, or isn't in the file, or has other dimensions, lengths, meaning or type than there.
    """
    diagnostics = Diagnostics()
    where, by_name = targets.file, targets.by_name
    # How it is stored is what the file has; what is named here only keeps anything from being copied as it is.
    fields = fields_of(with_true_errors(dataset, {}, where), where, Storing(None), diagnostics)
    raise_unstorable(where, diagnostics)
    if unknown := [name for name in fields if name not in by_name]:
        raise NexusError(
            f"{where}: nothing was written, as there is no {', '.join(map(repr, unknown))} in the file, only "
            f"{', '.join(map(repr, by_name))}; leave it out with drop_vars"
        )
    if missing := [name for name in targets.growing if name not in fields]:
        raise NexusError(
            f"{where}: nothing was written, as {', '.join(map(repr, missing))} of the file would stay shorter along "
            f"{targets.dim!r} than the others; give more of it, too"
        )
    return {name: _as_stored(field, by_name[name], f"{where}:{by_name[name].path}") for name, field in fields.items()}


def _as_stored(field: DataField, target: Target, where: str) -> Any:
    if set(field.dims) != set(target.dims):
        raise NexusError(f"{where}: nothing was written, as it has dimensions {target.dims}, not {field.dims}")
    if target.is_scaled:
        raise NexusError(f"{where}: nothing was written, as it is scaled in the file; add stored numbers with h5py")
    values = _in_order(field, target)
    if hasattr(values, "dask"):
        values = as_announced(values, where)
    values = _of_type(values, field, target, where)
    own, there = (
        without_marks(attributes, dtype)
        for attributes, dtype in ((field.node.attributes, field.node.values.dtype), (target.attributes, target.dtype))
    )
    if (other := other_meaning(own, there)) is not None:
        raise NexusError(
            f"{where}: nothing was written, as its {other.attribute} {other.verb} {other.there!r}, not {other.own!r}"
        )
    others = [size for axis, size in enumerate(target.shape) if axis != target.axis]
    if [size for axis, size in enumerate(values.shape) if axis != target.axis] != others:
        raise NexusError(
            f"{where}: nothing was written, as its shape is {target.shape}, which {values.shape} doesn't fit"
        )
    return values


def _in_order(field: DataField, target: Target) -> Any:
    """Values with their dimensions in the order that they have in the file."""
    values, order = field.node.values, [field.dims.index(dim) for dim in target.dims]
    if order == sorted(order):
        return values
    if isinstance(values, LazyVariable):
        return LazyVariable(values.variable.transpose(*(values.variable.dims[at] for at in order)))
    return values.transpose(order)


def _of_type(values: Any, field: DataField, target: Target, where: str) -> Any:
    """Values in a type that the dataset holds; of text in `str`."""
    own = recorded_dtype(field.node.attributes, values.dtype) or values.dtype
    wanted = recorded_dtype(target.attributes, target.dtype) or target.dtype
    if is_text(target.dtype) and own.kind in "OSU":
        return text_of(np.asarray(values[...]), where)
    if is_text(target.dtype) or not np.can_cast(own, wanted, "safe") or (own.kind in "mM") != (wanted.kind in "mM"):
        are_alike = (own.kind in "mM") == (wanted.kind in "mM")
        way_out = "use astype" if are_alike else "give times as the file has them, which decode_times=False opens"
        raise NexusError(
            f"{where}: nothing was written, as {wanted}, of which it is, doesn't hold all of {own}; {way_out}"
        )
    if own.kind not in "mM" and not (own.kind in "iu" and wanted.kind in "fc"):
        return values
    if isinstance(values, LazyVariable):
        return LazyVariable(values.variable, wanted)
    try:
        made = cast(values.view(own) if own.kind in "mM" else values, wanted, where)
        return made.view(np.int64) if own.kind in "mM" else made
    except NexusError as error:
        raise NexusError(f"{where}: nothing was written, as {error}") from None


def text_of(values: NDArray[Any], where: str) -> NDArray[Any]:
    """Text as HDF5 holds it; what objects are that dask has isn't known before they are computed."""
    try:
        text: NDArray[Any] = values if is_text(values.dtype) else storable(values.astype(object))
    except ValueError as error:
        raise NexusError(f"{where}: nothing was written, as {error}") from None
    if not is_text(text.dtype):
        raise NexusError(f"{where}: nothing was written, as it is no text, which the file has there")
    return text


def without_first_edge(values: Any, target: Target, count: int, last: Any, where: str) -> Any:
    """What edges of bins add to those that are there, which end with the one that these begin with.

    Parameters
    ----------
    values
        The edges.
    target
        Where they are added.
    count
        How many bins are added.
    last
        The last edge that is there; None where there is none.
    where
        What it is called in errors.
    """
    assert target.axis is not None
    has_edges = values.shape[target.axis] == count + 1
    if has_edges != target.has_edges:
        said = "edges of bins, not middles" if target.has_edges else "values, not edges of bins"
        raise NexusError(f"{where}: nothing was written, as the file has {said}")
    if not has_edges or last is None:
        return values
    along = (slice(None),) * target.axis
    if not np.array_equal(np.asarray(values[(*along, slice(0, 1))]), last):
        raise NexusError(
            f"{where}: nothing was written, as the bins begin at {np.ravel(values[(*along, 0)])}, and those of "
            f"the file end at {np.ravel(last)}"
        )
    return values[(*along, slice(1, None))]


def text_for(dataset: h5py.Dataset, values: Any, where: str) -> NDArray[Any]:
    """Text as a dataset has it; some that it doesn't hold is an error."""
    text = as_text_of(dataset.id.get_type(), values)
    if text is None:
        raise NexusError(f"{where}: nothing was written, as there is text that {dataset.dtype} doesn't hold")
    return text


def check_same(name: str, values: Any, stored: Any, targets: Targets) -> None:
    """Raise an error where a variable that doesn't grow has other values than those that are stored."""
    target = targets.by_name[name]
    where = f"{targets.file}:{target.path}"
    refuse_others(where, name, repr(targets.dim), first_difference(values, stored, is_text(target.dtype)))


def refuse_others(where: str, name: str, dims: str, found: Difference | None) -> None:
    """Raise an error where a variable that spans none of the dimensions differs from the one that is stored."""
    if found is not None:
        raise NexusError(
            f"{where}: nothing was written, as it hasn't the values of {name!r}, which spans no {dims}: it is {found}; "
            "bring all into the order of the file, leave that out with drop_vars, or write an entry of its own"
        )


def names_in(dataset: xr.Dataset) -> Iterable[str]:
    """Names of the variables of a Dataset that are fields, as bounds of others are not."""
    bounds = {bounds_named(variable) for variable in dataset.variables.values()}
    return [str(name) for name in dataset.variables if name not in bounds]
