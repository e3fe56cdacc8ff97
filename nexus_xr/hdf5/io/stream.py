"""What libhdf5 reads a file from that isn't local: a file object, or the stream that a URL leads to."""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Hashable
from contextlib import suppress
from typing import Any, BinaryIO, cast

import fsspec
import h5py

from nexus_xr.errors import NexusFileError, anew
from nexus_xr.hdf5.runtime.h5py_lock import phil
from nexus_xr.hdf5.runtime.hdf5_errors import Hdf5Errors

from .reference import FileReference
from .remote.remote_file import RemoteFile
from .remote.remote_stream import RemoteStream
from .remote.urls import url_explained
from .source import LocalSource, Source, StreamSource, stream_explained
from .unreadable import explain_stream


class OpenStream:
    """An open stream of a file.

    Parameters
    ----------
    reference
        The file.
    remote
        The file where ranges of it can be asked for; None where it can only be read as a stream.
    """

    def __init__(self, reference: FileReference, remote: RemoteFile | None) -> None:
        self._name = reference.name
        self._remote = None if remote is None else RemoteStream(remote)
        self._opener: Any = None
        if self._remote is not None:
            self._stream: BinaryIO | RemoteStream = self._remote
        elif isinstance(reference.where, str):
            with url_explained(reference.where):
                # Kept, as some file systems close what they opened once nobody has them any more.
                self._opener = fsspec.open(reference.where, "rb", **reference.storage_options)
                self._stream = cast(BinaryIO, self._opener.open())
            weakref.finalize(self, _close, self._stream)
        else:
            self._stream = reference.where

    def open_handle(self) -> h5py.File:
        """Have libhdf5 open the file."""
        with Hdf5Errors(self._unopened):
            return h5py.File(self._stream, "r")

    def _unopened(self, error: Exception) -> NexusFileError:
        self.raise_failure()
        return NexusFileError(explain_stream(self._name, self._stream, error))

    @property
    def has_failed(self) -> bool:
        return self._remote is not None and self._remote.failure is not None

    def raise_failure(self) -> None:
        """Raise what kept libhdf5 from reading, which is a better reason than what it says itself."""
        if self._remote is not None and self._remote.failure is not None:
            raise anew(self._remote.failure)

    def source(self, key: Hashable) -> Source:
        """The bytes of a file that can only be read as a stream.

        Parameters
        ----------
        key
            What tells them from others.
        """
        stream = cast(BinaryIO, self._stream)
        if isinstance(getattr(stream, "raw", None), io.FileIO):  # a file of the operating system after all
            with stream_explained(self._name):
                return LocalSource(self._name, stream.fileno(), os.fstat(stream.fileno()).st_size, key)
        return StreamSource(self._name, stream, phil, key)  # libhdf5 reads from the same stream


def _close(stream: BinaryIO) -> None:
    """Close what nobody reads any more; some of fsspec's own caches fail over that, when it is done."""
    with suppress(Exception):
        stream.close()
