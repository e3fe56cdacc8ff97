"""Folders as stores of zarr, also one into which nothing is written any more once it was given up."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from nexus_xr.errors import NexusFileError


def folder_store(path: str | os.PathLike[str], *, is_read: bool = False) -> LocalStore:
    """The store that a folder is, of whose name xarray would take two colons for URLs one behind the other.

    Parameters
    ----------
    path
        The folder, which it stays whatever the working directory is when values are read or written.
    is_read
        Whether it is only read.
    """
    return LocalStore(os.path.abspath(path), read_only=is_read)


@contextmanager
def zarr_folder(path: Path) -> Iterator[LocalStore]:
    """A store for a ``with`` block, behind which this process writes nothing into it.

    An interrupt leaves dask's threads at work, each of which would make the folder anew for its next chunk.
    """
    store = _GivenUpStore(path)
    try:
        yield store
    finally:
        store.give_up()


class _GivenUpStore(LocalStore):
    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._changed = threading.Condition()
        self._writes = 0
        self._is_given_up = False

    def give_up(self) -> None:
        """Wait until nothing is being written, and have nothing written from then on."""
        with self._changed:
            self._is_given_up = True
            self._changed.wait_for(lambda: not self._writes)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._changed:
            if self._is_given_up:
                raise NexusFileError(f"{self.root}: has been given up; write it anew")
            self._writes += 1
        try:
            yield
        finally:
            with self._changed:
                self._writes -= 1
                self._changed.notify_all()

    async def set(self, key: str, value: Buffer) -> None:
        with self._writing():
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        with self._writing():
            await super().set_if_not_exists(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        with self._writing():
            super().set_sync(key, value)

    def __reduce__(self) -> tuple[Callable[..., LocalStore], tuple[Path]]:
        return LocalStore, (self.root,)  # in other processes, where nobody gives it up
