"""A file that takes its place only when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """A name to write under, beside the target, which the file gets at the end of a ``with`` block that succeeds."""
    target = os.path.realpath(os.path.expanduser(os.fspath(path)))
    temporary = f"{target}.{secrets.token_hex(4)}.part"
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
