"""Names with a meaning of their own: NeXus's by how they end, and those that are written beside them.

Source: the reserved suffixes of the NeXus manual's chapter "NeXus Names". What NeXus has no words for comes back as it
was by attributes of other conventions.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from nexus_xr.hdf5.objects.dimension_scales import DIMENSION_LABELS
from nexus_xr.hdf5.objects.text import is_text

from .attributes import integers, text

# Of a file.
EXTENSIONS = (".nxs", ".nx", ".nexus", ".nx5")
# Of a field: its uncertainties, and the numbers by which it is scaled.
ERRORS = "_errors"
SCALING_FACTOR = "_scaling_factor"
OFFSET = "_offset"
# Of an attribute of an NXdata group: the dimensions that an axis spans.
INDICES = "_indices"
# Of a variable: the lower and upper bounds of a coordinate's bins, which a file has as one value more. As CF has it.
BOUNDS = "_bounds"
# Of a dimension: that of edges between its bins, where they are the corners of an axis of several dimensions.
EDGES = "_edges"
# A field of the older NXdata: the uncertainties of the signal.
SIGNAL_ERRORS = "errors"

# On a field: names of its dimensions, where the attributes of NXdata don't tell them. As xarray writes it to Zarr.
DIMENSIONS = "_ARRAY_DIMENSIONS"
# On an NXdata group: fields that are coordinates, where `@axes` and `@AXISNAME_indices` don't tell it. As CF has it.
COORDINATES = "coordinates"
# On an NXdata group: its other data, which aren't plotted with the signal, as auxiliary signals of its shape are. As CF
# has it.
ANCILLARY = "ancillary_variables"
# On a field: NumPy's dtype of the dates or lengths of time that integers stand for, or of text.
DTYPE = "numpy_dtype"
# What is written there. NumPy is asked of nothing else: a divisor of zero, as in "M8[ns/0]", ends the process.
_RECORDED = re.compile(
    r"[<>=|]?U\d{1,9}|(datetime64|timedelta64|[<>=|]?[mM]8)\[([1-9]\d{0,8})?[A-Za-z]{1,2}\]", re.ASCII
)
# On a group: its members that were values in a dictionary, and not fields of one.
PLAIN = "_PLAIN_VALUES"
# On a group: of how many elements a list was, which are its members, called by their numbers; and behind that, the
# numbers of those that are None and no members.
ELEMENTS = "_LIST_ELEMENTS"
# On a group that was a node of a tree, and on a field: what it has for others to understand it, and had not before. On
# such a group also: the member that holds the tree of a node that has data. On an entry without the first: the one that
# holds its metadata.
ADDED = "_ADDED_ATTRIBUTES"
METADATA_GROUP = "_METADATA_GROUP"
_ADDED_TO_FIELDS = {DIMENSION_LABELS}
# On the first group of such a tree: groups of datasets were nodes, and are in the trees of those above as well.
DATASETS = "_DATASETS_ARE_NODES"
# Before the name of an attribute that tells of a place where something is no longer: it is kept, and not believed.
ORIGINAL = "original_"
# Attributes of a field that name other fields of its group: its uncertainties, and NXcanSAS's widths of its resolution.
NAMING = ("uncertainties", "uncertainty", "resolutions")
# Attributes of a field that tell of its place: what it is in its group, what its dimensions are, what is beside it, and
# the path of what it is a link to.
CLAIMS = ("signal", "axes", "axis", "primary", "interpretation", *NAMING, DIMENSION_LABELS, "target")


def owner_of(name: str, suffix: str, fields: Container[Any]) -> str | None:
    """The field that a name with a reserved ending is about, None where it is about none.

    Examples
    --------
    >>> owner_of("x_indices", "_indices", {"x"}), owner_of("x_indices", "_indices", {"y"})
    ('x', None)
    """
    owner = name.removesuffix(suffix)
    return owner if owner != name and owner in fields else None


def recorded_dtype(attributes: Mapping[str, Any], stored: np.dtype[Any]) -> np.dtype[Any] | None:
    """The dtype of what a field stands for, None where that is just what is stored.

    Examples
    --------
    >>> recorded_dtype({"numpy_dtype": "datetime64[ns]"}, np.dtype("i8"))
    dtype('<M8[ns]')
    """
    described = text(attributes.get(DTYPE)) or ""
    if not _RECORDED.fullmatch(described):
        return None
    try:
        dtype = np.dtype(described)
    except TypeError:  # no such unit, or text longer than NumPy has
        return None
    is_time = dtype.kind in "mM" and stored == np.dtype(np.int64)
    is_words = dtype.kind == "U" and dtype.itemsize >= 0 and is_text(stored)  # below, where NumPy 2.0 counts no further
    return dtype if is_time or is_words else None


def without_marks(attributes: Mapping[str, Any], stored: np.dtype[Any]) -> dict[str, Any]:
    """The attributes of a field that are not there only to be understood, here or by others.

    Examples
    --------
    >>> without_marks({"DIMENSION_LABELS": ["dim_0"], "units": "m", "_ADDED_ATTRIBUTES": ["DIMENSION_LABELS"]}, "f8")
    {'units': 'm'}
    """
    hidden = {DIMENSIONS, ADDED, *(_ADDED_TO_FIELDS & set(listed(attributes.get(ADDED))))}
    dtype = recorded_dtype(attributes, stored)
    if dtype is not None:
        hidden |= {DTYPE} if dtype.kind == "U" else {DTYPE, "units"}
    shown = {name: value for name, value in attributes.items() if name not in hidden}
    return {own_name(name, shown): value for name, value in shown.items()}


def own_name(name: str, attributes: Container[str], names: Container[str] = CLAIMS) -> str:
    """The name that an attribute had before it was kept from being believed.

    Parameters
    ----------
    name
        Its name in the file.
    attributes
        All that are beside it.
    names
        Those that may have been kept so.

    Examples
    --------
    >>> own_name("original_target", {"original_target", "units"}), own_name("original_name", {"original_name"})
    ('target', 'original_name')
    """
    own = name.removeprefix(ORIGINAL)
    return own if own in names and own not in attributes else name


def listed(value: Any) -> tuple[str, ...]:
    """The names that an attribute lists as they are, whatever characters they have.

    Examples
    --------
    >>> listed(np.array(["a:b", "c"], dtype=object)), listed(None)
    (('a:b', 'c'), ())
    """
    return () if value is None else tuple(map(str, np.ravel(np.asarray(value, dtype=object))))


def elements_in(attributes: Mapping[str, Any], members: Mapping[str, Any]) -> list[Any] | None:
    """The elements of the list that the members of a group were, in their order; None for a group that was none.

    Examples
    --------
    >>> elements_in({"_LIST_ELEMENTS": 2}, {"1": "b", "0": "a"}), elements_in({"_LIST_ELEMENTS": 2}, {"0": "a"})
    (['a', 'b'], None)
    >>> elements_in({"_LIST_ELEMENTS": [2, 1]}, {"0": "a"})
    ['a', None]
    """
    count, *missing = integers(attributes.get(ELEMENTS)) or (-1,)
    if count != len(members) + len(missing):
        return None
    names = [str(number) for number in range(count)]
    return [members.get(name) for name in names] if {*members, *map(str, missing)} == {*names} else None


def without_added(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes of a group without what was added when it was written, as they were before.

    Examples
    --------
    >>> without_added({"signal": "n", "original_signal": "m", "x": 1, "_ADDED_ATTRIBUTES": ["signal"]})
    {'x': 1, 'signal': 'm'}
    """
    if not {PLAIN, ADDED, ELEMENTS, METADATA_GROUP} & attributes.keys():
        return attributes
    added = listed(attributes.get(ADDED))
    before = {name: attributes[ORIGINAL + name] for name in added if ORIGINAL + name in attributes}
    hidden = {PLAIN, ADDED, ELEMENTS, METADATA_GROUP, DATASETS, *added, *(ORIGINAL + name for name in before)}
    return {**{name: value for name, value in attributes.items() if name not in hidden}, **before}
