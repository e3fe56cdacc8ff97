"""CSV of the flat form: a table of the signal and all that spans its dimensions, below lines with the rest; and back.

Each line before the table is a "#" and a JSON object: an attribute, or a variable with its attributes, and its values
where these are not in the table.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TextIO

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.writing.replacing import replacing

from .flat import LEAVE, flat, read_from, unflat
from .json_file import opened, variable_of_json, variable_to_json
from .origins import refuse_origin
from .parts import TEXT

_COMMENT = "# "
_QUOTE = '"'
_FIELD = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",]*))(,|\Z)')
_BLOCK_ROWS = 1 << 18
# What a line says of a variable, beside what JSON of it says.
_IN_TABLE, _COORDINATE = "is_in_table", "is_coordinate"


def to_csv(obj: xr.DataArray | xr.Dataset, path: str | os.PathLike[str], large_arrays: str = LEAVE) -> None:
    """Write a CSV file of the flat form; it takes its place only when it is complete.

    Parameters
    ----------
    obj
        A DataArray or a Dataset. The table has a row for each value of its first data variable.
    path
        The file.
    large_arrays
        As for `flat`.

    Raises
    ------
    NexusError
        It is a DataTree, which no one table is.
    """
    if isinstance(obj, xr.DataTree):
        raise NexusError("a DataTree is no table; write each node, or the tree by to_json")
    refuse_origin(obj, path)
    dataset = flat(obj, large_arrays)
    assert isinstance(dataset, xr.Dataset)
    dims = next((variable.dims for variable in dataset.data_vars.variables.values()), ())
    if not _are_distinct(dims) or not math.prod(dataset.sizes[dim] for dim in dims):
        dims = ()
    spans = {name: variable.dims for name, variable in dataset.variables.items() if variable.dims}
    columns = [name for name, own in spans.items() if _are_distinct(own) and {*own} <= {*dims}]
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        for line in _heading(dataset, columns, dims):
            stream.write(f"{_COMMENT}{json.dumps(line, allow_nan=False)}\n")
        if dims:
            _write_table(stream, dataset.variables, columns, dims)


def read_csv(path: str | os.PathLike[str]) -> xr.DataArray | xr.Dataset:
    """What `to_csv` wrote.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    NexusError
        It isn't such a file.
    NexusFileError
        It can't be opened.

    Examples
    --------
    >>> counts = xr.DataArray([1, 2], {"x": [0.5, 1.5]}, dims="x", name="counts", attrs={"units": "1/s"})
    >>> to_csv(counts, "counts.csv")
    >>> read_csv("counts.csv").identical(counts)
    True
    """
    with opened(path) as stream:
        try:
            return unflat(read_from(path, _dataset(stream)))  # type: ignore[return-value]  # no tree
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise NexusError(f"{os.fspath(path)}: expected what to_csv wrote ({error})") from error


# --- writing ---------------------------------------------------------------------------------------------------


def _heading(dataset: xr.Dataset, columns: Sequence[Any], dims: Sequence[Any]) -> Iterator[dict[Any, Any]]:
    """The attributes, the variables, each with what isn't in the table, and the dimensions of the table."""
    yield from ({name: value} for name, value in dataset.attrs.items())
    for name, variable in dataset.variables.items():
        made = _of_column(variable) if name in columns else variable_to_json(variable)
        yield {name: {**made, _COORDINATE: name in dataset.coords}}
    yield {"rows": dims}


def _are_distinct(dims: Sequence[Any]) -> bool:
    return len({*dims}) == len(dims)


def _of_column(variable: xr.Variable) -> dict[str, Any]:
    dtype = "text" if variable.dtype.hasobject else variable.dtype.str
    return {"dims": variable.dims, "attrs": variable.attrs, "dtype": dtype, "shape": variable.shape, _IN_TABLE: True}


def _write_table(
    stream: TextIO, variables: Mapping[Any, xr.Variable], columns: Sequence[Any], dims: Sequence[Any]
) -> None:
    """A row for each combination of the dimensions, which are counted where they have no coordinate."""
    spans = {name: variables[name] for name in columns}
    sizes = {dim: size for variable in spans.values() for dim, size in variable.sizes.items()}
    counted = {dim: xr.Variable(dim, np.arange(sizes[dim])) for dim in dims if dim not in spans}
    names = [*dims, *(name for name in columns if name not in dims)]
    writer = csv.writer(stream)
    writer.writerow(names)
    for block in _blocks({dim: sizes[dim] for dim in dims}):
        writer.writerows(zip(*(_column((spans | counted)[name], block) for name in names), strict=True))


def _blocks(sizes: Mapping[Any, int]) -> Iterator[dict[Any, slice]]:
    """Parts of the dimensions with as many rows as are held in memory at once."""
    first, *others = sizes
    length = max(1, _BLOCK_ROWS // math.prod(sizes[dim] for dim in others))
    for start in range(0, sizes[first], length):
        stop = min(start + length, sizes[first])
        yield {first: slice(start, stop), **{dim: slice(0, sizes[dim]) for dim in others}}


def _column(variable: xr.Variable, block: Mapping[Any, slice]) -> list[Any]:
    """The values of a variable in the rows of a block."""
    part = variable.isel({dim: span for dim, span in block.items() if dim in variable.dims})
    sizes = {dim: span.stop - span.start for dim, span in block.items()}
    values = np.asarray(part.set_dims(sizes).values).reshape(-1)
    if values.dtype.kind == "M":
        return values.astype(str).tolist()
    if values.dtype.kind == "S":
        return [text.decode("latin-1") for text in values]
    return (values.view(np.int64) if values.dtype.kind == "m" else values).tolist()


# --- reading ---------------------------------------------------------------------------------------------------


def _dataset(stream: TextIO) -> xr.Dataset:
    attrs: dict[str, Any] = {}
    made: dict[str, dict[str, Any]] = {}
    dims: list[str] = []
    heading, rows = _parted(stream)
    for line in heading:
        ((name, content),) = json.loads(line).items()
        if isinstance(content, list):
            dims = content
        else:
            (made if isinstance(content, dict) else attrs)[name] = content
    columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True)) if dims else {}
    spans = [zip(each["dims"], each["shape"], strict=True) for each in made.values() if _IN_TABLE in each]
    sizes = {dim: size for span in spans for dim, size in span}
    variables = {
        name: _variable_of_column(each, columns[name], {dim: sizes[dim] for dim in dims})
        if _IN_TABLE in each
        else variable_of_json(each)
        for name, each in made.items()
    }
    coordinates = {name: variables.pop(name) for name, each in made.items() if each[_COORDINATE]}
    return xr.Dataset(variables, xr.Coordinates(coordinates, indexes={}), attrs)


def _variable_of_column(made: Mapping[str, Any], texts: Sequence[str], sizes: Mapping[str, int]) -> xr.Variable:
    whole = xr.Variable(list(sizes), _typed(texts, made["dtype"]).reshape(tuple(sizes.values())))
    own = whole.isel({dim: 0 for dim in sizes if dim not in made["dims"]})
    return own.transpose(*made["dims"])._replace(attrs=made["attrs"])


def _typed(texts: Sequence[str], name: str) -> NDArray[Any]:
    if name == "text":
        return np.array(texts, TEXT)
    dtype = np.dtype(name)
    if dtype.kind == "b":
        return np.array([text == "True" for text in texts])
    if dtype.kind == "S":
        return np.array([text.encode("latin-1") for text in texts], dtype)
    wide = {"f": "f8", "m": "i8", "i": "i8", "u": "u8"}.get(dtype.kind)
    values = np.array(texts)
    return (values if wide is None else values.astype(wide)).astype(dtype)


def _parted(stream: TextIO) -> tuple[list[str], list[list[str]]]:
    """The lines of the heading, and the rows of the table."""
    heading: list[str] = []
    for line in stream:
        if not line.startswith(_COMMENT):
            return heading, [_fields(row) for row in _rows(chain([line], stream))]
        heading.append(line.removeprefix(_COMMENT))
    return heading, []


def _rows(lines: Iterable[str]) -> Iterator[str]:
    """Rows without their ends, each of one line, or several where a text goes on in the next."""
    parts: list[str] = []
    quotes = 0
    for line in lines:
        parts.append(line)
        quotes += line.count(_QUOTE)
        if quotes % 2 == 0:
            yield "".join(parts).rstrip("\r\n")
            parts.clear()
    if parts:
        raise ValueError("a quotation mark is missing at the end of a text")


def _fields(row: str) -> list[str]:
    """The texts in a row, however long: `csv.reader` takes what all of a process agrees on, 128 KiB at first."""
    if _QUOTE not in row:
        return row.split(",")
    fields = []
    at, more = 0, ","
    while more:
        found = _FIELD.match(row, at)
        if found is None:
            raise ValueError("expected a comma or the end of the row behind a text in quotation marks")
        quoted, plain, more = found.groups()
        fields.append(plain if quoted is None else quoted.replace(2 * _QUOTE, _QUOTE))
        at = found.end()
    return fields
