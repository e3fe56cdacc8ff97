"""Targets that are no files of this machine: URLs that fsspec knows, and binary streams."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.hdf5.io.naming.url_path import is_url, said_of, shown, words_of
from nexus_xr.hdf5.io.remote.urls import local_path

_NAME = "stream.nxs"


def is_elsewhere(target: Any) -> bool:
    """Whether a target is a URL or a stream."""
    return hasattr(target, "write") or (isinstance(target, str) and is_url(local_path(target)))


@contextmanager
def delivering(target: str | BinaryIO, mode: str, storage_options: Mapping[str, Any] | None) -> Iterator[str]:
    """A path to write to, for a ``with`` block at whose end what is there is sent to the target as a whole.

    Raises
    ------
    NexusFileError
        With mode ``x`` there is something already, or it can't be sent.
    """
    if not isinstance(target, str):
        _check_stream(target)
        with _local(_NAME) as path:
            yield path
            with open(path, "rb") as written:
                shutil.copyfileobj(written, target)
        return
    import fsspec

    with _explained(target):
        system, place = fsspec.url_to_fs(target, **dict(storage_options or {}))
        if mode == "x" and system.exists(place):
            raise NexusFileError(f'{shown(target)}: is there already; choose another name, or mode="w" to replace it')
    with _local(place.rstrip("/").rpartition("/")[2]) as path:
        yield path
        with _explained(target):
            system.put_file(path, place)


def _check_stream(stream: BinaryIO) -> None:
    is_closed = getattr(stream, "closed", False)
    is_binary = not isinstance(stream, io.TextIOBase)
    if is_closed or not is_binary or not getattr(stream, "writable", lambda: True)():
        what = "closed" if is_closed else "for text" if not is_binary else "for reading"
        raise NexusError(f"{stream!r}: is {what}; give a stream that bytes can be written to")


@contextmanager
def _local(name: str) -> Iterator[str]:
    with TemporaryDirectory(prefix="nexus_xr_") as folder:
        yield os.path.join(folder, name)


@contextmanager
def _explained(target: str) -> Iterator[None]:
    try:
        yield
    except NexusError:
        raise
    except Exception as error:  # each file system raises its own
        said = error if isinstance(error, OSError | ImportError) else words_of(error)
        raise NexusFileError(f"{shown(target)}: can't be written ({said_of(target, said)})") from error
