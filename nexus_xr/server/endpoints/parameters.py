"""Parameters of requests: how each is read, and how OpenAPI describes it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nexus_xr.server.failures import Failure

_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_WHOLE = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a request.

    Parameters
    ----------
    name
        What clients call it.
    meaning
        What it is, in words.
    schema
        What values it has, for OpenAPI.
    parse
        Makes a value of a text, or raises a `ValueError`.
    default
        The value where a request has none.
    place
        Where it stands: in the query, in the path, or among the headers.
    argument
        What the job calls it.
    is_repeated
        Whether it may be given any number of times.
    is_required
        Whether a request has to have it.
    """

    name: str
    meaning: str
    schema: Mapping[str, Any]
    parse: Callable[[str], Any] = str
    default: Any = None
    place: str = "query"
    argument: str = field(default="", kw_only=True)
    is_repeated: bool = field(default=False, kw_only=True)
    is_required: bool = field(default=False, kw_only=True)

    @property
    def target(self) -> str:
        """The argument of the job that it becomes."""
        return self.argument or self.name

    def value(self, text: str) -> Any:
        """The value of a text.

        Raises
        ------
        Failure
            It has none.
        """
        try:
            return self.parse(text)
        except ValueError:
            raise Failure(422, f"{self.name}={text!r}: expected {self.meaning}") from None


def text(name: str, meaning: str, default: str = "", **options: Any) -> Parameter:
    """Any text."""
    return Parameter(name, meaning, {"type": "string", "default": default}, str, default, **options)


def choice(name: str, meaning: str, choices: Sequence[str], default: str, **options: Any) -> Parameter:
    """One of several words."""
    listed = f"{meaning}, one of {', '.join(filter(None, choices))}"

    def parse(given: str) -> str:
        if given not in choices:
            raise ValueError(given)
        return given

    schema = {"type": "string", "enum": list(choices), "default": default}
    return Parameter(name, listed, schema, parse, default, **options)


def whole(name: str, meaning: str, default: int, least: int, most: int, **options: Any) -> Parameter:
    """A whole number within limits."""
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    described = f"{meaning}, a whole number from {least} to {most}"
    return Parameter(
        name, described, schema, lambda given: _within(int(_digits(given)), least, most), default, **options
    )


def real(name: str, meaning: str, **options: Any) -> Parameter:
    """A number."""
    described = f"{meaning}, a number"
    return Parameter(name, described, {"type": "number"}, _real, None, **options)


def wholes(name: str, meaning: str, **options: Any) -> Parameter:
    """Whole numbers with commas between them."""
    schema = {"type": "string", "pattern": "^(\\d{1,18}(,\\d{1,18})*)?$", "default": ""}
    described = f"{meaning}, whole numbers with commas between them"
    return Parameter(name, described, schema, _list, (), **options)


def texts(name: str, meaning: str, **options: Any) -> Parameter:
    """Any number of texts, each by the same name."""
    schema = {"type": "array", "items": {"type": "string"}, "default": []}
    return Parameter(name, meaning, schema, str, (), is_repeated=True, **options)


def flag(name: str, meaning: str, **options: Any) -> Parameter:
    """Yes or no."""
    schema = {"type": "boolean", "default": False}
    return Parameter(name, f"{meaning}, true or false", schema, _flag, False, **options)


def _digits(given: str) -> str:
    if not _WHOLE.fullmatch(given):
        raise ValueError(given)
    return given


def _within(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise ValueError(number)
    return number


def _real(given: str) -> float:
    number = float(given)
    if not given.isascii() or not math.isfinite(number):
        raise ValueError(given)
    return number


def _list(given: str) -> tuple[int, ...]:
    return tuple(int(_digits(part)) for part in given.split(",")) if given else ()


def _flag(given: str) -> bool:
    if given.lower() not in _FLAGS:
        raise ValueError(given)
    return _FLAGS[given.lower()]
