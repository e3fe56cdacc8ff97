"""Headers of a request, as an ASGI server gives them."""

from __future__ import annotations

from starlette.types import Scope


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of a name in small letters, None where there is none.

    Examples
    --------
    >>> header({"headers": [(b"host", b"localhost")]}, b"host")
    'localhost'
    """
    for each, value in scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return None
