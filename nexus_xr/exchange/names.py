"""Names and paths that every format takes, from which the original ones can be told.

netCDF's rules are the narrowest: a name begins with a letter, a digit or an underscore, and has neither slashes nor
control characters. Letters of several code points it makes one where it can (Unicode's form NFC). Zarr takes a
backslash for a slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import is_normalized
from urllib.parse import unquote

# Before a name that would mean something to who reads the format, or begins as no name may.
PREFIX = "nexus:"
# What attributes begin with that say what is flat of what was there.
OWN = "nexus_"
_SEPARATOR = "."
_FORBIDDEN = re.compile(r"[%/\\\x00-\x1f\x7f\ud800-\udfff]|\s+$")
_IN_PATH = re.compile(r"[%/.\x00-\x1f\x7f\ud800-\udfff]|\s+$")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# Surrogates, which stand for bytes that aren't text, have bytes of their own then.
_SURROGATES = "surrogatepass"
_PLAIN_START = re.compile(r"(?!nexus:)[^\W]")


def quoted(name: str) -> str:
    """A name of a variable, a dimension or a node.

    Examples
    --------
    >>> quoted("counts"), quoted("counts/s"), quoted("#1")
    ('counts', 'counts%2Fs', 'nexus:#1')
    """
    return _marked(_escaped(_FORBIDDEN, name))


def unquoted(name: str) -> str:
    """The name that was quoted.

    Examples
    --------
    >>> unquoted("counts%2Fs"), unquoted("nexus:#1")
    ('counts/s', '#1')
    """
    return unquote(name.removeprefix(PREFIX), errors=_SURROGATES)


def joined(names: Iterable[str]) -> str:
    """A path of names.

    Examples
    --------
    >>> joined(["detector", "x.y", "value"])
    'detector.x%2Ey.value'
    """
    return _marked(_SEPARATOR.join(_escaped(_IN_PATH, name) for name in names))


def split(path: str) -> list[str]:
    """The names that a path was joined of.

    Examples
    --------
    >>> split("detector.x%2Ey.value")
    ['detector', 'x.y', 'value']
    """
    return [unquote(name, errors=_SURROGATES) for name in path.removeprefix(PREFIX).split(_SEPARATOR)]


def _escaped(forbidden: re.Pattern[str], name: str) -> str:
    allowed = forbidden.sub(_percent, name)
    return allowed if is_normalized("NFC", allowed) else _NOT_ASCII.sub(_percent, allowed)


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode(errors=_SURROGATES))


def _marked(name: str) -> str:
    return name if _PLAIN_START.match(name) else PREFIX + name
