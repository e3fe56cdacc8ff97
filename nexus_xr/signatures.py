"""Options that several functions take: named, documented and checked in one place, a frozen dataclass of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from functools import wraps
from os import PathLike, fspath
from typing import Any, ParamSpec, TypeVar

import numpy as np

from .errors import NexusError

_P = ParamSpec("_P")
_R = TypeVar("_R")

_MARK = "{options}"
# By annotation, what a value is expected to be. Values of other types are checked where they are used.
_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "bool": ("True or False", lambda value: isinstance(value, bool | np.bool_)),
    "int": ("a whole number", lambda value: _is_whole(value)),
    "float": ("a number", lambda value: _is_whole(value) or isinstance(value, float | np.floating)),
    "str": ("a string", lambda value: isinstance(value, str)),
    "Mapping[str, Any]": ("a mapping", lambda value: isinstance(value, Mapping)),
    "Mapping[Any, int]": (
        "a mapping to whole numbers",
        lambda value: isinstance(value, Mapping) and all(map(_is_whole, value.values())),
    ),
    "Keys": ("a string or a list of strings", lambda value: value is None or _is_text(value)),
    "Roots": ("a path or URL, or several", lambda value: value is None or _is_path(value) or _are_paths(value)),
}
_OR_NONE = " | None"


def takes(options: type, *left_out: str, **defaults: Any) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Document the options of a function, and make any that isn't one an error that lists those that there are.

    Parameters
    ----------
    options
        A dataclass whose docstring says what each of its fields is. In the function's docstring ``{options}`` becomes
        the entries of those that it takes.
    left_out
        Which of them the function doesn't take, where it takes the others as ``**options``; its signature names them.
    defaults
        Defaults that are others than in the dataclass, of such a function.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = _named(inspect.signature(function), options, left_out, defaults)
        names = [each.name for each in signature.parameters.values() if each.kind is each.KEYWORD_ONLY]
        called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

        @wraps(function)
        def checked(*args: _P.args, **given: _P.kwargs) -> _R:
            for name in given:
                if name not in signature.parameters:
                    raise TypeError(f"{called} has no option {name!r}; there are: {', '.join(names)}")
            return function(*args, **{**defaults, **given})

        checked.__signature__ = signature  # type: ignore[attr-defined]
        if function.__doc__ is not None:  # python -OO leaves none
            documented = documentation(options)
            entries = "\n".join(f"{name}\n    {documented[name]}" for name in names)
            checked.__doc__ = inspect.cleandoc(function.__doc__).replace(_MARK, entries)
        return checked

    return decorate


def _named(
    signature: inspect.Signature, options: type, left_out: Collection[str], defaults: Mapping[str, Any]
) -> inspect.Signature:
    """A signature that has the options by name in the place of ``**options``."""
    named = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    if len(named) < len(signature.parameters):
        named += [
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(each.name, each.default),
                annotation=each.type,
            )
            for each in fields(options)
            if each.name not in left_out
        ]
    return signature.replace(parameters=named)


def documentation(options: type) -> dict[str, str]:
    """What the docstring of a dataclass says of each of its parameters."""
    section = inspect.cleandoc(options.__doc__ or "").partition("----------\n")[2].partition("\n\n")[0]
    return {name: text.strip() for name, text in re.findall(r"^(\w+)\n((?:    .*\n?)+)", section, re.MULTILINE)}


def checks(**least: float) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Have a function check what it is given by its annotations, and numbers by the least that each may be.

    Examples
    --------
    >>> @checks(number=1)
    ... def halved(number: int, name: str | None = None) -> float:
    ...     return number / 2
    >>> halved("3")
    Traceback (most recent call last):
    TypeError: number='3': expected a whole number, found str
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(function)
        parameters = signature.parameters

        @wraps(function)
        def checking(*args: _P.args, **given: _P.kwargs) -> _R:
            try:
                bound = signature.bind(*args, **given).arguments
            except TypeError:
                return function(*args, **given)  # which says what is wrong with its name
            for name, value in bound.items():
                for each, one in _single(parameters[name], value):
                    _check(each, one, str(parameters[name].annotation), least.get(name))
            return function(*args, **given)

        return checking

    return decorate


def _single(parameter: inspect.Parameter, value: Any) -> Iterable[tuple[str, Any]]:
    """The values of a parameter with their names, of which ``*args`` and ``**options`` have several."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        return ((parameter.name, each) for each in value)
    return value.items() if parameter.kind is parameter.VAR_KEYWORD else ((parameter.name, value),)


def check_types(options: Any, **least: float) -> None:
    """Check the fields of a dataclass by their annotations, and numbers by the least that each may be.

    Raises
    ------
    TypeError
        One is of another type than its annotation says.
    NexusError
        A number is less.
    """
    for each in fields(options):
        _check(each.name, getattr(options, each.name), str(each.type), least.get(each.name))


def _check(name: str, value: Any, annotation: str, least: float | None) -> None:
    is_optional = annotation.endswith(_OR_NONE)
    expected, is_one = _KINDS.get(annotation.removesuffix(_OR_NONE), ("", lambda _: True))
    if is_optional and value is None:
        return
    if not is_one(value):
        raise TypeError(f"{name}={value!r}: expected {expected}, found {type(value).__name__}")
    if least is not None and not value >= least:
        otherwise = ", or None" if is_optional else ""
        raise NexusError(f"{name}={value!r}: expected {expected}, {least} or more{otherwise}")


def as_path(value: Any) -> str:
    """A path or URL as text.

    Raises
    ------
    TypeError
        It is none; what it is instead isn't shown, as it may be all of a file.
    """
    if not _is_path(value):
        raise TypeError(f"expected a path or a URL, found {type(value).__name__}; write it into a file")
    path: str = fspath(value)
    return path


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | PathLike)


def _are_paths(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, bytes) and all(map(_is_path, value))


def _is_text(value: Any) -> bool:
    is_several = isinstance(value, Collection) and not isinstance(value, bytes)
    return isinstance(value, str) or (is_several and all(isinstance(each, str) for each in value))
