"""The metadata of an object as a table, by path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from nexus_xr.errors import NexusPathError, some
from nexus_xr.nexus.tree.html import html_of
from nexus_xr.nexus.tree.metadata import (
    MetadataGroup,
    StoredArray,
    fields_of,
    in_words,
    is_field,
    member_at,
    short_value,
)
from nexus_xr.signatures import checks

if TYPE_CHECKING:
    import pandas as pd

_PRINTED = 20
# Of paths like one that isn't there, each of which takes a moment.
_COMPARED = 1000


@dataclass(frozen=True)
class Row:
    """A field of the metadata.

    Parameters
    ----------
    path
        Its path, from the object's metadata on.
    value
        Its value: a number, text, an array, or an array that stays in the file.
    units
        Its units, empty where it has none.
    type
        What kind of value it is: ``float``, ``str``, or dtype and shape of an array.
    """

    path: str
    value: Any
    units: str
    type: str


class MetadataTable:
    """All fields of the metadata of an object; at a path there is what ``attrs`` has there, a field or a group.

    Parameters
    ----------
    tree
        Nested metadata.

    Examples
    --------
    >>> table = MetadataTable({"detector": {"distance": {"value": 0.2, "attrs": {"units": "m"}}}})
    >>> table
    detector/distance  0.2 m  float
    >>> table["detector/distance"]["value"]
    0.2
    >>> [row.units for row in table.rows]
    ['m']
    """

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree
        self._fields = dict(fields_of(tree))

    @checks()
    def __getitem__(self, path: str) -> Any:
        """The field or group at a path."""
        try:
            return member_at(self._tree, path)
        except KeyError:
            raise NexusPathError(f"{path!r} is not in the metadata, which has {self._hint(path)}") from None

    def _hint(self, path: str) -> str:
        """Those fields that are called alike, or else the first ones."""
        name = path.rpartition("/")[2].casefold()
        called = [each for each in self._fields if name in each.casefold()] if name else []
        return (
            some(called or get_close_matches(path, islice(self._fields, _COMPARED)) or [*self._fields]) or "no fields"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, path: object) -> bool:
        try:
            member_at(self._tree, str(path))
        except KeyError:
            return False
        return True

    @property
    def rows(self) -> list[Row]:
        """A row for each field."""
        return [_row(path, field) for path, field in self._fields.items()]

    @checks()
    def find(self, text: str) -> MetadataTable:
        """The fields in whose path a text is, in letters of either case."""
        found = [path for path in self._fields if text.casefold() in path.casefold()]
        return MetadataTable(_only(self._tree, found))

    def to_pandas(self) -> pd.DataFrame:
        """A table of pandas, with the columns path, value, units and type."""
        import pandas as pd

        rows, columns = self.rows, ("path", "value", "units", "type")
        return pd.DataFrame({name: pd.Series([getattr(row, name) for row in rows], dtype=object) for name in columns})

    def __repr__(self) -> str:
        first = [_row(path, self._fields[path]) for path in list(self)[:_PRINTED]]
        lines = [(row.path, f"{short_value(row.value)} {row.units}".strip(), row.type) for row in first]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        more = [f"... {len(self) - _PRINTED} more"] if len(self) > _PRINTED else []
        return "\n".join(["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines] + more)

    def _repr_html_(self) -> str:
        return html_of(self._tree, in_words)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)


def table_of(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> MetadataTable:
    """The metadata of an object; of a DataTree, that of all its nodes."""
    return MetadataTable(_tree_of_nodes(obj) if isinstance(obj, xr.DataTree) else obj.attrs)


def _tree_of_nodes(node: xr.DataTree) -> MetadataGroup:
    trees = ((name, _tree_of_nodes(child)) for name, child in node.children.items())
    own = ((str(name), member) for name, member in node.attrs.items())
    return MetadataGroup([*own, *((name, tree) for name, tree in trees if tree)])


def _row(path: str, field: Any) -> Row:
    attributes = field.get("attrs", {}) if is_field(field) else {}
    value = field["value"] if is_field(field) else field
    is_array = isinstance(value, np.ndarray | StoredArray)
    return Row(path, value, str(attributes.get("units", "")), short_value(value) if is_array else type(value).__name__)


def _only(tree: Mapping[str, Any], paths: Iterable[str]) -> MetadataGroup:
    """A tree of some of its fields."""
    chosen = MetadataGroup()
    for path in paths:
        *above, name = path.split("/")
        group, source = chosen, tree
        for each in above:
            source = source[each]
            group = group.setdefault(each, MetadataGroup({"attrs": source["attrs"]} if "attrs" in source else {}))
        group[name] = source[name]
    return chosen
