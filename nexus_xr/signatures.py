"""Options that several functions take: named, documented and checked in one place, a frozen dataclass of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from functools import wraps
from os import PathLike
from typing import Any, ParamSpec, TypeVar

import numpy as np

_P = ParamSpec("_P")
_R = TypeVar("_R")

_MARK = "{options}"
# By annotation, what a value is expected to be. Values of other types are checked where they are used.
_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "bool": ("True or False", lambda value: isinstance(value, bool | np.bool_)),
    "str | None": ("a string", lambda value: value is None or isinstance(value, str)),
    "Keys": ("a string or a list of strings", lambda value: value is None or _is_text(value)),
    "Roots": ("a path or URL, or several", lambda value: value is None or _is_path(value) or _are_paths(value)),
    "Mapping[str, Any] | None": ("a mapping", lambda value: value is None or isinstance(value, Mapping)),
}


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


def check_types(options: Any) -> None:
    """Raise a TypeError for the first option whose value is of another type than its annotation says."""
    for each in fields(options):
        expected, is_one = _KINDS.get(str(each.type), ("", lambda _: True))
        value = getattr(options, each.name)
        if not is_one(value):
            raise TypeError(f"{each.name}={value!r}: expected {expected}, found {type(value).__name__}")


def _is_path(value: Any) -> bool:
    return isinstance(value, str | PathLike)


def _are_paths(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, bytes) and all(map(_is_path, value))


def _is_text(value: Any) -> bool:
    is_several = isinstance(value, Collection) and not isinstance(value, bytes)
    return isinstance(value, str) or (is_several and all(isinstance(each, str) for each in value))
