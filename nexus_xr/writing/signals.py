"""What of xarray's objects goes into an entry of its own: a signal, with all that belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

from nexus_xr.arrays.uncertainties import called_after_owners, errors_as_data
from nexus_xr.errors import NexusError
from nexus_xr.nexus.output.entry import valid_name
from nexus_xr.nexus.output.hyperspy_metadata import title_of
from nexus_xr.nexus.rules.content import free_name
from nexus_xr.nexus.tree.metadata import is_of_tree, same_tree

from .fields.variables import signal_of


@dataclass(frozen=True)
class Signal:
    """One thing to write into an entry of its own.

    Parameters
    ----------
    name
        Its name.
    dataset
        All that belongs to it.
    field
        Which of the variables is plotted.
    tree
        What is known of it.
    """

    name: str
    dataset: xr.Dataset
    field: str
    tree: Mapping[str, Any]


def signals_in(obj: Any) -> Iterable[Signal]:
    """What is to be written of a DataArray, a Dataset, a DataTree or a list of them.

    Raises
    ------
    NexusError
        It is something else.
    """
    if isinstance(obj, xr.DataArray):
        yield _of_array(obj)
    elif isinstance(obj, xr.Dataset):
        yield from _of_dataset(obj, obj.attrs, None)
    elif isinstance(obj, xr.DataTree):
        for node in obj.subtree:
            if node.data_vars:
                above = [node, *node.parents]
                attributes = next((each.attrs for each in above if each.attrs), {})
                yield from _of_dataset(node.to_dataset(), attributes, node.name)
    elif isinstance(obj, Sequence) and not isinstance(obj, str):
        for each in obj:
            yield from signals_in(each)
    else:
        raise NexusError(f"{type(obj).__name__}: expected a DataArray, a Dataset, a DataTree or a list of them")


def _of_array(array: xr.DataArray) -> Signal:
    """A DataArray's attributes that are dictionaries or links are its tree, the others its field's."""
    name = valid_name("data" if array.name is None else str(array.name))
    tree = {key: value for key, value in array.attrs.items() if is_of_tree(value)}
    own = array.variable.copy(deep=False)
    own.attrs = {key: value for key, value in array.attrs.items() if key not in tree}
    # In a Dataset, what is called like its one dimension is a coordinate.
    free = free_name(name, {str(each) for each in (*array.coords, *(array.dims if array.ndim == 1 else ()))})
    dataset = called_after_owners(errors_as_data(xr.Dataset({free: own}, coords=array.coords)))
    return Signal(_group_name(name, tree, own), dataset, free, tree)


def _of_dataset(dataset: xr.Dataset, tree: Mapping[Any, Any], name: str | None) -> Iterable[Signal]:
    dataset = called_after_owners(dataset)
    first = signal_of(dataset)
    if first is not None:
        dataset, tree = with_trees_apart(dataset, tree)
        yield Signal(_group_name(name or first, tree, dataset.variables[first]), dataset, first, tree)


def _group_name(name: str, tree: Mapping[Any, Any], signal: xr.Variable) -> str:
    """The name of the group of data: the title that HyperSpy gave it, or the name of what is written."""
    return valid_name(title_of(tree, signal.encoding.get("nexus_path", "")) or name)


def data_and_tree(node: xr.Dataset) -> tuple[xr.Dataset, Mapping[Any, Any]]:
    """The variables of a node of a tree, and what is known of it."""
    return with_trees_apart(called_after_owners(node), node.attrs)


def with_trees_apart(dataset: xr.Dataset, tree: Mapping[Any, Any]) -> tuple[xr.Dataset, Mapping[Any, Any]]:
    """Trees that the data variables have among their attributes, as signals do, belong to the entry's."""
    dataset, tree = dataset.copy(), dict(tree)
    for variable in dataset.data_vars.variables.values():
        for key, value in list(variable.attrs.items()):
            if is_of_tree(value) and same_tree(tree.setdefault(key, value), value):
                del variable.attrs[key]
    return dataset, tree
