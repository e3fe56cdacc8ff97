"""Python's lists as arrays that hold each of their elements as it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.writing.exact_numbers import are_same

from .quantities import is_quantity
from .ways_out import (
    NO_TYPE_OF_NUMBER,
    Placed,
    UnstorableError,
    has_labels,
    is_number,
    why_unstorable,
    why_unstorable_elements,
)

# Types of Python's numbers, and the kind of the arrays that hold them as they are.
_PLAIN_KINDS = {float: "f", int: "i", bool: "b"}
# As deep as NumPy goes.
_DEEPEST = 64


def exact_list(values: Sequence[Any]) -> Any:
    """A list, or lists in lists, as an array of what its elements are; the same where they are of several lengths.

    Text is that of bytes as well, and of dates in ISO 8601; lengths of time are those of NumPy.

    Raises
    ------
    UnstorableError
        No array holds each of its elements as it is.

    Examples
    --------
    >>> exact_list([2**64 - 1, 1]), exact_list([1, 0.5])
    (array([18446744073709551615,                    1], dtype=uint64), array([1. , 0.5]))
    """
    if (alike := _of_one_type(values)) is not None:
        return alike
    placed = list(_elements(values))
    elements = [each for _, each in placed]
    for _, each in placed:
        if has_labels(each):
            raise UnstorableError(why_unstorable(each))
        if is_quantity(each):
            raise UnstorableError("it is a list of quantities; make it one quantity, or numbers")
    shape = _shape(placed)
    if shape is None or not elements:
        return values
    if any(isinstance(each, np.ndarray) for each in elements):
        return _of_arrays(values, placed)
    if any(isinstance(each, Link | np.void) for each in elements):
        return _objects(elements).reshape(shape) if any(isinstance(each, Link) for each in elements) else values
    return _of_elements(elements, placed).reshape(shape)


def _of_one_type(values: Sequence[Any]) -> NDArray[Any] | None:
    """Many numbers of one type of Python's, which is quickly told; None where more is to be looked at."""
    types = {*map(type, values)}
    kind = _PLAIN_KINDS.get(types.pop()) if len(types) == 1 else None
    made = None if kind is None else np.asarray(values)
    return made if made is not None and made.dtype.kind == kind else None  # as NumPy has others for large integers


def exact_numbers(numbers: Sequence[Any]) -> NDArray[Any] | None:
    """Numbers in a type that holds each of them as it is, integers in one of integers; None where there is none.

    Examples
    --------
    >>> exact_numbers([True, 2]), exact_numbers([2**53 + 1, 0.5])
    (array([1, 2]), None)
    """
    plain = [each.item() if isinstance(each, np.generic) else each for each in numbers]
    are_whole = all(isinstance(each, int) for each in plain)
    made = np.asarray(numbers)
    if made.dtype.kind in ("biu" if are_whole else "fc") and all(map(_is_same, made.tolist(), plain)):
        return made
    return np.array(plain, np.uint64) if are_whole and all(0 <= each < 2**64 for each in plain) else None


def are_held(parts: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> bool:
    """Whether a type holds each number of arrays as it is, those of integers as integers."""
    are_whole = all(part.dtype.kind in "biu" for part in parts)
    return not (are_whole and dtype.kind in "fc") and all(are_same(part, part.astype(dtype)) for part in parts)


def duration(value: timedelta) -> np.timedelta64:
    """A length of time as NumPy has it, with the nanoseconds that pandas has.

    Raises
    ------
    UnstorableError
        It is longer than NumPy counts in microseconds.
    """
    if hasattr(value, "to_timedelta64"):
        made: np.timedelta64 = value.to_timedelta64()
        return made
    microseconds = value // timedelta(microseconds=1)
    if abs(microseconds) >= 2**63:
        raise UnstorableError(f"it is a length of time of {value.days} days, too many to count in microseconds")
    return np.timedelta64(microseconds, "us")


def has_at_most(values: Sequence[Any], most: int) -> bool:
    """Whether a list, with the lists in it, has no more elements; not so of one that contains itself.

    Examples
    --------
    >>> has_at_most([[1, "a"], 2], 3), has_at_most([[1, "a"], 2], 2)
    (True, False)
    """
    try:
        return next(islice(_elements(values), most, None), None) is None
    except UnstorableError:
        return False


def _elements(
    values: Sequence[Any], above: tuple[int, ...] = (), around: tuple[Sequence[Any], ...] = ()
) -> Iterator[Placed]:
    if any(each is values for each in around):
        raise UnstorableError("a list contains itself")
    for number, each in enumerate(values):
        if isinstance(each, list | tuple) and len(above) < _DEEPEST:
            yield from _elements(each, (*above, number), (*around, values))
        else:
            yield (*above, number), each


def _shape(placed: Sequence[Placed]) -> tuple[int, ...] | None:
    """The shape that elements fill, None where there is no such one."""
    depths = {len(place) for place, _ in placed}
    if len(depths) != 1:
        return None
    shape = tuple(max(numbers) + 1 for numbers in zip(*(place for place, _ in placed), strict=True))
    return shape if math.prod(shape) == len(placed) else None


def _of_arrays(values: Sequence[Any], placed: Sequence[Placed]) -> Any:
    try:
        made = np.asarray(values)
    except ValueError:  # they are of several lengths
        return values
    if made.dtype.kind in "biufc" and not are_held([np.asarray(each) for _, each in placed], made.dtype):
        raise UnstorableError(NO_TYPE_OF_NUMBER)
    return made


def _of_elements(elements: Sequence[Any], placed: Sequence[Placed]) -> NDArray[Any]:
    if all(isinstance(each, str | bytes) for each in elements):
        return np.asarray([_text(each) for each in elements])
    if all(isinstance(each, np.datetime64) for each in elements):
        return np.asarray(elements)
    if all(isinstance(each, date | np.datetime64) for each in elements):
        return np.asarray([str(each) if isinstance(each, np.datetime64) else each.isoformat() for each in elements])
    if all(isinstance(each, timedelta | np.timedelta64) for each in elements):
        return np.asarray([duration(each) if isinstance(each, timedelta) else each for each in elements])
    if all(map(is_number, elements)):
        numbers = exact_numbers(elements)
        if numbers is None:
            raise UnstorableError(NO_TYPE_OF_NUMBER)
        return numbers
    raise UnstorableError(why_unstorable_elements("a list", placed))


def _text(value: str | bytes) -> str:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise UnstorableError(
                f"it is a list with bytes that are no text, {value!r}; make them numbers, as by np.frombuffer"
            ) from None
    if "\0" in value:
        raise UnstorableError("it is text with a zero in it, which would end there")
    return str.__str__(value)  # of a member of an enumeration, str() may be another


def _objects(elements: Sequence[Any]) -> NDArray[Any]:
    made = np.empty(len(elements), object)
    made[:] = elements
    return made


def _is_same(made: Any, number: Any) -> bool:
    return bool(made == number) or bool(made != made and number != number)
