"""Which file is meant: a name that other processes know it by, and what tells that it is still the same."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, cast

from nexus_xr.errors import NexusFileError, NexusFileNotFoundError

from .identity import Identity, Snapshot, Version
from .naming.reach import EVERYWHERE, Reach
from .naming.url_path import is_url, shown
from .remote.urls import absolute, is_named, local_path, opened, url_of

FileLike = str | os.PathLike[str] | BinaryIO
# Folders, files or URLs beyond which nothing is read.
Roots = str | os.PathLike[str] | Collection[str | os.PathLike[str]] | None


@dataclass(frozen=True, eq=False)
class FileReference:
    """A file on a local path, behind an fsspec URL, or in an open file object; the former two can be pickled.

    Parameters
    ----------
    given
        Path, URL or file object as it was given.
    where
        The same, a path being absolute.
    storage_options
        Options for the fsspec file system of a URL.
    identity
        What tells that it is still the file that was opened; None until it is.
    snapshot
        Which state of it was opened, where another process was writing to it.
    """

    given: str | BinaryIO
    where: str | BinaryIO
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    identity: Identity | Version | None = None
    snapshot: Snapshot | None = None

    @classmethod
    def of(cls, where: FileLike, storage_options: Mapping[str, Any] | None = None) -> FileReference:
        """The file that is meant by a path, a URL, or a binary file object that can seek."""
        if not isinstance(where, os.PathLike) and is_named(where):
            return cls._of_named(where, dict(storage_options or {}))
        if isinstance(where, str | os.PathLike) and not os.fspath(where):
            raise NexusFileNotFoundError("the name of the file is empty; give the path of one")
        given = local_path(os.fspath(where)) if isinstance(where, str | os.PathLike) else where
        return cls(given, absolute(given) if isinstance(given, str) else given, dict(storage_options or {}))

    @classmethod
    def _of_named(cls, named: Any, storage_options: Mapping[str, Any]) -> FileReference:
        """The file at a path in a file system."""
        found = url_of(named)
        if found is None:
            stream = opened(named)
            return cls(stream, stream)
        url, options = found
        return cls.of(url, {**options, **storage_options})

    def anew(self) -> FileReference:
        """The same, as it is by now."""
        return replace(self, identity=None, snapshot=None)

    @property
    def name(self) -> str:
        """What messages call it: the path or URL as it was given, but for its secrets."""
        return shown(self.given_name)

    @property
    def given_name(self) -> str:
        """The path or URL as it was given; for a file object, the name that it gives itself."""
        if isinstance(self.given, str):
            return self.given
        names = (getattr(self.where, attribute, None) for attribute in ("name", "full_name", "path"))
        return str(next(filter(None, names), None) or repr(self.where))

    @property
    def path(self) -> str:
        """The absolute path of a local file, which other processes know it by."""
        return cast(str, self.where)

    @property
    def is_local(self) -> bool:
        return isinstance(self.where, str) and (not is_url(self.where) or os.path.exists(self.where))

    @property
    def token(self) -> tuple[Any, ...]:
        """What two references share if and only if they are to the same, unchanged file."""
        where = self.where if isinstance(self.where, str) else (self.name, id(self.where))
        return (where, self.identity, repr(self.storage_options))


def reach_within(roots: Roots, *, has_hidden: bool = True) -> Reach:
    """The reach that ends with folders, files or URLs; none ends it nowhere.

    Parameters
    ----------
    roots
        The folders, files or URLs.
    has_hidden
        Whether what is hidden below the folders is within reach.

    Examples
    --------
    >>> reach_within("s3://runs/2024").holds_url("s3://runs/2023/scan.nxs")
    False
    """
    if roots is None:
        return EVERYWHERE
    several = [roots] if isinstance(roots, str | os.PathLike) else roots
    names = [local_path(os.fspath(root)) for root in several]
    folders = tuple(os.path.realpath(name) for name in names if not is_url(name))
    return Reach(folders, tuple(filter(is_url, names)), has_hidden)


def as_file_like(source: Any) -> FileLike:
    """Accept what xarray passes on: a path, a URL, a file object or what can be opened as one, or the bytes."""
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(bytes(source))
    if isinstance(source, str | os.PathLike):
        return source
    if is_named(source):
        return cast(FileLike, source)
    if hasattr(source, "seek") and not isinstance(source, io.TextIOBase) and not getattr(source, "closed", False):
        return cast(FileLike, source)
    raise NexusFileError(f"{source!r}: expected a path, a URL or an open binary file, found {type(source).__name__}")
