"""Arrays of types that other formats don't have, as one or several arrays that they do have, and together again.

Complex numbers become their real and imaginary parts, and compound values their fields. Text of all widths becomes text
of varying length, half precision single precision, what is opaque its bytes, and other objects JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.objects.text import is_unicode
from nexus_xr.nexus.rules.content import free_name

from .arrays import dtype_of_json, dtype_to_json
from .computed import computed
from .names import OWN, joined, unquoted
from .values import of_json, to_json

# Attributes: the dtype of the whole, on the first part; what a part is of what; and whether its elements are JSON text.
DTYPE = OWN + "dtype"
PART = OWN + "part"
JSON = OWN + "json"
MARKS = (DTYPE, PART, JSON)

# Text of varying length, as xarray knows it without looking at every element.
TEXT = np.dtype(object, metadata={"element_type": str})


@dataclass(frozen=True)
class Part:
    """A part of the elements of an array.

    Parameters
    ----------
    path
        Names of fields, or which of the two parts of a complex number.
    dtype
        Its dtype.
    shape
        Dimensions that it has beyond those of the whole.
    """

    path: tuple[str, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()

    @property
    def is_opaque(self) -> bool:
        return self.dtype.kind == "V" or (self.dtype.kind == "f" and self.dtype.itemsize > 8)

    @property
    def travelling_dtype(self) -> np.dtype[Any]:
        """The dtype as which it travels."""
        if self.is_opaque:
            return np.dtype(np.uint8)
        if self.dtype.kind in "OU":
            return TEXT
        return np.dtype(np.float32) if self.dtype.newbyteorder("=") == np.float16 else self.dtype

    @property
    def added(self) -> tuple[int, ...]:
        """Lengths of the dimensions that it has as it travels, beyond those of the whole."""
        return (*self.shape, self.dtype.itemsize) if self.is_opaque else self.shape


def parts_of(dtype: np.dtype[Any], path: tuple[str, ...] = (), shape: tuple[int, ...] = ()) -> Iterator[Part]:
    """The parts of the elements of an array.

    Examples
    --------
    >>> [part.path for part in parts_of(np.dtype([("z", "c8"), ("n", "i4", (3,))]))]
    [('z', 'real'), ('z', 'imag'), ('n',)]
    """
    if dtype.subdtype is not None:
        base, inner = dtype.subdtype
        yield from parts_of(base, path, (*shape, *inner))
    elif dtype.names is not None:
        for name in dtype.names:
            yield from parts_of(dtype[name], (*path, name), shape)
    elif dtype.kind == "c":
        number = np.empty(0, dtype).real.dtype
        yield from (Part((*path, name), number, shape) for name in ("real", "imag"))
    else:
        yield Part(path, dtype, shape)


def split_variable(name: str, variable: xr.Variable, taken: Container[str]) -> dict[str, xr.Variable]:
    """A variable as those that travel in its place, by their names, of which none but its own may be taken."""
    dtype = variable.dtype
    if _travels_as_it_is(dtype):
        return {name: variable}
    split: dict[str, xr.Variable] = {}
    for part in parts_of(dtype):
        is_json = part.dtype.kind == "O" and (bool(part.path) or not _is_text(variable))
        made = _part_of(name, variable, part, is_json)
        made.attrs = {} if split else {**variable.attrs, DTYPE: json.dumps(dtype_to_json(dtype))}
        made.attrs |= ({PART: json.dumps([name, part.path])} if part.path else {}) | ({JSON: 1} if is_json else {})
        # Text of fixed length has one dimension more in netCDF.
        is_stored_alike = made.shape == variable.shape and made.dtype.kind != "S"
        made.encoding = dict(variable.encoding) if is_stored_alike else {}
        split[free_name(f"{name}.{joined(part.path)}", taken) if part.path else name] = made
    return split


def whole_variables(variables: Mapping[str, xr.Variable]) -> dict[str, xr.Variable]:
    """The variables that were split into others, by their names."""
    whole: dict[str, dict[tuple[str, ...], xr.Variable]] = {}
    for name, variable in variables.items():
        name, path = json.loads(str(variable.attrs.get(PART, json.dumps([name, []]))))
        whole.setdefault(name, {})[tuple(path)] = variable
    return {name: _whole(name, parts) for name, parts in whole.items()}


def _whole(name: str, found: Mapping[tuple[str, ...], xr.Variable]) -> xr.Variable:
    first = next((variable for variable in found.values() if DTYPE in variable.attrs), None)
    if first is None:
        [variable] = found.values()
        _check_undecoded(name, variable)
        return variable
    dtype = dtype_of_json(json.loads(str(first.attrs[DTYPE])))
    parts = list(parts_of(dtype))
    if missing := [joined(part.path) for part in parts if part.path not in found]:
        raise NexusError(f"{name}: its parts {', '.join(missing)} are missing; put them back, or drop the others")
    if dtype.kind in "mM" and first.dtype.kind != dtype.kind:
        decode = (
            f'xr.coders.CFDatetimeCoder(time_unit="{np.datetime_data(dtype)[0]}")' if first.dtype == object else True
        )
        raise NexusError(f"{name}: is {first.dtype} in place of {dtype}; open the file with decode_times={decode}")
    sources = [found[part.path] for part in parts]
    rank = first.ndim - len(parts[0].added)
    sizes = dict(zip(first.dims[:rank], first.shape[:rank], strict=True))
    is_json = [JSON in source.attrs for source in sources]
    whole = computed(partial(_assembled, parts, dtype, is_json), sources, sizes, dtype)
    whole.attrs = {key: value for key, value in first.attrs.items() if key not in MARKS}
    return whole


def _travels_as_it_is(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf" and dtype.isnative and dtype.itemsize <= 8 and dtype != np.float16


def _is_text(variable: xr.Variable) -> bool:
    """Whether all elements of an array of objects are text; looked at where its source doesn't tell."""
    return variable.encoding.get("dtype") is str or all(isinstance(each, str) for each in variable.values.flat)


def _check_undecoded(name: str, variable: xr.Variable) -> None:
    if variable.dtype.kind in "mM":
        raise NexusError(f"{name}: xarray made {variable.dtype} of numbers; open the file with decode_timedelta=False")


def _part_of(name: str, variable: xr.Variable, part: Part, is_json: bool) -> xr.Variable:
    added = {f"dim{at}_{size}": size for at, size in enumerate(part.added, variable.ndim)}
    sizes: dict[Any, int] = {**variable.sizes, **added}
    return computed(partial(_travelling, name, part, is_json), [variable], sizes, part.travelling_dtype)


def _travelling(name: str, part: Part, is_json: bool, values: NDArray[Any]) -> NDArray[Any]:
    """The values of a part of a variable as they travel."""
    try:
        return _converted(part, is_json, values)
    except NexusError as error:
        raise NexusError(f"{unquoted(name)}: {error}") from None


def _converted(part: Part, is_json: bool, values: NDArray[Any]) -> NDArray[Any]:
    values = _taken(values, part.path)
    if is_json:
        return _each(lambda each: json.dumps(to_json(each)), values).astype(TEXT)
    if part.is_opaque:
        return np.ascontiguousarray(values).reshape(-1).view(np.uint8).reshape(*values.shape, part.dtype.itemsize)
    if part.travelling_dtype is TEXT and not all(map(is_unicode, values.flat)):
        raise NexusError("there is text that is no Unicode, which other formats don't hold; encode it")
    return values.astype(part.travelling_dtype, copy=False)


def _taken(values: NDArray[Any], path: Sequence[str]) -> Any:
    """A view of a part of the elements."""
    for name in path:
        values = values[name] if values.dtype.names is not None else getattr(values, name)
    return values


def _assembled(
    parts: Sequence[Part], dtype: np.dtype[Any], is_json: Sequence[bool], *sources: NDArray[Any]
) -> NDArray[Any]:
    """The elements of which these are the parts."""
    added = len(parts[0].added)
    whole = np.empty(sources[0].shape[: sources[0].ndim - added], dtype)
    for part, is_one_of_json, values in zip(parts, is_json, sources, strict=True):
        if is_one_of_json:
            values = _each(lambda each: of_json(json.loads(each)), values)
        if part.is_opaque:
            values = np.ascontiguousarray(values).reshape(-1).view(part.dtype).reshape(values.shape[:-1])
        _taken(whole, part.path)[...] = values
    return whole


def _each(function: Callable[[Any], Any], values: NDArray[Any]) -> NDArray[Any]:
    """What a function makes of each element, which may be an array."""
    return np.fromiter(map(function, values.flat), dtype=object, count=values.size).reshape(values.shape)
