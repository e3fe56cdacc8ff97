"""Small arrays as JSON, from which they come back with the same dtype and values."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Convert = Callable[[Any], Any]


def array_to_json(array: NDArray[Any], to_json: Convert) -> dict[str, Any]:
    """An array as its dtype and its values nested by dimension; of types that JSON hasn't, their bytes.

    Parameters
    ----------
    array
        Any array.
    to_json
        Converts elements that are Python objects.

    Examples
    --------
    >>> array_to_json(np.array([1.5, np.nan, np.inf]), repr)
    {'dtype': '<f8', 'values': [1.5, None, 'inf']}
    """
    dtype = array.dtype
    if _is_readable(dtype):
        shape = {} if array.size else {"shape": array.shape}
        return {"dtype": dtype.str, **shape, "values": _as_lists(array)}
    made = {"dtype": dtype_to_json(dtype), "shape": array.shape}
    if not dtype.hasobject:
        return {**made, "base64": base64.b64encode(array.tobytes()).decode()}
    if dtype.names is None:
        return {**made, "values": [to_json(each) for each in array.flat]}
    return {**made, "fields": {name: array_to_json(array[name], to_json) for name in dtype.names}}


def array_of_json(made: Mapping[str, Any], of_json: Convert) -> NDArray[Any]:
    """The array that JSON stands for.

    Examples
    --------
    >>> array_of_json({"dtype": "<f4", "values": [1.5, None, "inf"]}, str)
    array([1.5, nan, inf], dtype=float32)
    """
    dtype = dtype_of_json(made["dtype"])
    if "base64" in made:
        return np.frombuffer(bytearray(base64.b64decode(made["base64"])), dtype).reshape(made["shape"])
    if "fields" in made:
        array = np.empty(made["shape"], dtype)
        for name, values in made["fields"].items():
            array[name] = array_of_json(values, of_json)
        return array
    if dtype.hasobject:
        elements = np.fromiter(map(of_json, made["values"]), dtype=object)
        return elements.astype(dtype, copy=False).reshape(made["shape"])
    array = np.array(made["values"], dtype)
    return array.reshape(made.get("shape", array.shape))


def _is_readable(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuUmM" or (dtype.kind == "f" and dtype.itemsize <= 8)


def _as_lists(array: NDArray[Any]) -> Any:
    """The elements, of which JSON has neither dates nor lengths of time, nor NaN and infinity."""
    if array.dtype.kind == "M":
        return array.astype(str).tolist()
    if array.dtype.kind == "m":
        return array.astype(array.dtype.newbyteorder("=")).view(np.int64).tolist()
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array.tolist()
    numbers = array.astype(object)
    numbers[np.isnan(array)] = None
    infinite = np.isinf(array)
    numbers[infinite] = array[infinite].astype(str)
    return numbers.tolist()


def dtype_to_json(dtype: np.dtype[Any]) -> Any:
    """A dtype as text, or as the parts of one.

    Examples
    --------
    >>> dtype_to_json(np.dtype("u1,(2,)f4"))
    {'names': ['f0', 'f1'], 'formats': ['|u1', ['<f4', [2]]], 'offsets': [0, 1], 'itemsize': 9}
    """
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [dtype_to_json(base), list(shape)]
    if dtype.names is None:
        return dtype.str
    parts = [dtype.fields[name] for name in dtype.names]  # type: ignore[index]
    formats, offsets = [dtype_to_json(part[0]) for part in parts], [part[1] for part in parts]
    return {"names": list(dtype.names), "formats": formats, "offsets": offsets, "itemsize": dtype.itemsize}


def dtype_of_json(made: Any) -> np.dtype[Any]:
    """The dtype that JSON stands for.

    Examples
    --------
    >>> dtype_of_json(dtype_to_json(np.dtype("u1,(2,)f4"))) == np.dtype("u1,(2,)f4")
    True
    """
    if isinstance(made, list):
        base, shape = made
        return np.dtype((dtype_of_json(base), tuple(shape)))
    if isinstance(made, Mapping):
        formats = [dtype_of_json(each) for each in made["formats"]]
        parts: Any = {**made, "formats": formats}
        dtype: np.dtype[Any] = np.dtype(parts)
        return dtype
    return np.dtype(str(made))
