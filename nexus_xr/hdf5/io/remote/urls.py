"""Names of files: paths or URLs, and what fsspec opens of the latter."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile

from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError
from nexus_xr.extras import advice
from nexus_xr.hdf5.io.naming.url_path import is_url, said_of, shown, words_of
from nexus_xr.hdf5.runtime.compat import this_worker

from .object_store import StoreFile


def local_path(where: str) -> str:
    """The path of a local file, also of one whose URL is given; other URLs as they are."""
    if where.startswith(("file://", "local://")):
        where = LocalFileSystem._strip_protocol(where)
    return os.path.expanduser(where)


def absolute(where: str) -> str:
    """A local path that stays right wherever it is opened; a URL as it is."""
    try:
        return where if is_url(where) and not os.path.exists(where) else os.path.abspath(where)
    except OSError:  # the current directory is gone
        return where


def is_named(where: Any) -> bool:
    """Whether something is a path in a file system of fsspec: of `universal_pathlib`, or a file that isn't open yet."""
    is_binary = getattr(where, "mode", "rb") == "rb"
    return hasattr(where, "fs") and hasattr(where, "path") and not hasattr(where, "seek") and is_binary


def url_of(named: Any) -> tuple[str, dict[str, Any]] | None:
    """The URL of a path in a file system, and the options for that; None where these by themselves don't lead there."""
    fs, path = named.fs, named.path
    if getattr(named, "compression", None):
        return None
    try:
        url, options = fs.unstrip_protocol(path), dict(fs.storage_options)
        is_same = url_to_fs(url, **options) == (fs, path)
    except Exception:  # what a file system makes of its own options is its own affair
        return None
    return (url, options) if is_same else None


def opened(named: Any) -> BinaryIO:
    """The open file at a path in a file system."""
    with url_explained(named.path):
        stream = named.fs.open(named.path, "rb", compression=getattr(named, "compression", None))
    return cast(BinaryIO, stream)


def store_file(where: str | BinaryIO, storage_options: Mapping[str, Any]) -> StoreFile | None:
    """The file of an asynchronous file system that a URL or a file object is of, None where it is of another kind."""
    if isinstance(where, str) and not storage_options.get("compression"):
        with url_explained(where):
            if storage_options.get("asynchronous"):
                raise TypeError("asynchronous=True is for those who await what they read; leave it out")
            fs, path = url_to_fs(where, **storage_options)
        file = StoreFile(shown(where), fs, path)
    elif isinstance(where, AbstractBufferedFile) and where.mode == "rb":
        file = StoreFile.of_opened(shown(where.full_name), where)
    else:
        return None
    return file if _gives_ranges(file.fs) else None


def _gives_ranges(fs: Any) -> bool:
    """Whether a file system gives ranges to many at once, and so does the one within it, if there is one."""
    # Asked of the class, as file systems that cache others answer for these.
    if not type(fs).async_impl or fs.asynchronous or not _gives_parts(fs):
        return False
    within = getattr(fs, "fs", None)
    return within is None or isinstance(within, dict) or _gives_ranges(within)


def _gives_parts(fs: Any) -> bool:
    """Whether a file system can be asked for a part of a file, of which some send all whatever they are asked for."""
    parameters = inspect.signature(fs._cat_file).parameters
    hands_on = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters.values())
    return hands_on or "start" in parameters


@contextmanager
def url_explained(url: str) -> Iterator[None]:
    """Have what fsspec raises meanwhile become an error that names a URL and says what to do."""
    name = shown(url)
    try:
        yield
    except NexusError:
        raise
    except FileNotFoundError as error:
        worker = this_worker()
        where = "" if worker is None else f" on {worker}"
        raise NexusFileNotFoundError(f"{name}: no such file{where}; check the URL") from error
    except ImportError as error:
        raise NexusFileError(
            f"{name}: no file system opens this URL ({said_of(url, error)}); for s3:// and http://, {advice('remote')}"
        ) from error
    except ValueError as error:
        raise NexusFileError(f"{name}: no file system opens this URL ({said_of(url, error)})") from error
    except TypeError as error:
        raise NexusFileError(f"{name}: can't be opened ({said_of(url, error)}); check storage_options") from error
    except OSError as error:
        raise NexusFileError(f"{name}: can't be opened ({said_of(url, error)})") from error
    except Exception as error:  # each file system, archive and cache raises its own
        raise NexusFileError(f"{name}: can't be opened ({said_of(url, words_of(error))})") from error
