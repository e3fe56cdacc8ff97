"""A file that takes its place only when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """A name to write under, beside the target, which the file gets at the end of a ``with`` block that succeeds.

    Raises
    ------
    NexusFileError
        It can't be written there.
    """
    target = os.path.realpath(os.path.expanduser(os.fspath(path)))
    temporary = f"{target}.{secrets.token_hex(4)}.part"
    if not os.path.isdir(os.path.dirname(target)):
        raise NexusFileNotFoundError(f"{os.fspath(path)}: can't be written, as there is no such folder")
    try:
        yield temporary
        os.replace(temporary, target)
    except NexusError:
        raise
    except OSError as error:
        raise NexusFileError(f"{os.fspath(path)}: can't be written ({error.strerror or error})") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
