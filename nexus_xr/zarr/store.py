"""The store that zarr reads a file from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from nexus_xr.errors import NexusError, NexusPathError
from nexus_xr.signatures import checks

from .codecs.frames import Encoded
from .references.kerchunk import kerchunk_references
from .view import METADATA, ZarrView, view_of

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype

MOST_INLINE = 1 << 16
_AS_STORED: dict[str, Any] = {"mask_and_scale": False, "decode_times": False, "decode_timedelta": False}
_READ_ONLY = "the file is only read; nexus_xr.to_zarr copies it to a store that can be written"


class NexusStore(Store):
    """A NeXus file as a Zarr store (version 3) that can't be written.

    It can be pickled, and read by several threads and processes at once.

    Parameters
    ----------
    view
        The keys, and what stands behind them.
    """

    supports_writes = False
    supports_deletes = False
    supports_partial_writes = False
    supports_listing = True

    def __init__(self, view: ZarrView) -> None:
        super().__init__(read_only=True)
        self.view = view

    def with_read_only(self, read_only: bool = False) -> NexusStore:
        """The same store; one that could be written is an error."""
        if not read_only:
            raise NexusError(f"{self}: {_READ_ONLY}")
        return type(self)(self.view)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NexusStore) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        return (*self.view.file.token, self.view.codecs, self.view.verify)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, *self._key)

    def __str__(self) -> str:
        return f"nexus://{self.view.file.name}"

    def __repr__(self) -> str:
        return f"NexusStore({self.view.file.name!r})"

    async def _value(self, key: str) -> Encoded | None:
        if key.endswith(METADATA):
            return self.view.value(key)
        return await asyncio.to_thread(self.view.value, key)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The value of a key, or a part of it; None where there is none.

        Raises
        ------
        NexusFileError
            It can't be read.
        """
        value = await self._value(key)
        return None if value is None else prototype.buffer.from_bytes(_part(value, byte_range))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of the values of several keys."""
        return await asyncio.gather(*(self.get(key, prototype, byte_range) for key, byte_range in key_ranges))

    async def exists(self, key: str) -> bool:
        """Whether there is anything behind a key."""
        return await asyncio.to_thread(self.view.has, key)

    async def getsize(self, key: str) -> int:
        """How many bytes the value of a key has."""
        value = await self._value(key)
        if value is None:
            raise FileNotFoundError(key)
        return len(value)

    async def set(self, key: str, value: Buffer) -> None:
        """Not possible."""
        raise NexusError(f"{self}: {_READ_ONLY}")

    async def delete(self, key: str) -> None:
        """Not possible."""
        raise NexusError(f"{self}: {_READ_ONLY}")

    async def list(self) -> AsyncIterator[str]:
        """Every key."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Every key that begins so."""
        for key in self.view.keys_with(prefix):
            if await self.exists(key):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The names directly below a path."""
        for name in self.view.names_in(prefix.strip("/")):
            yield name

    @checks()
    def references(self, *, inline: int = MOST_INLINE) -> dict[str, Any]:
        """Where the chunks are in the file, for readers that fetch them from there: kerchunk's JSON, version 1.

        Arrays whose chunks aren't in a file as Zarr has them are left out, with a `NexusWarning` that says why. With
        ``codecs="native"``, the fewest are.

        Parameters
        ----------
        inline
            Bytes of decoded values of an array whose chunks may stand among the references themselves: text, values
            that are made of others.

        Returns
        -------
        dict
            ``{"version": 1, "refs": {key: [path or URL, offset, size] or text}}``.

        Raises
        ------
        NexusError
            The file has neither path nor URL, or can't be read.

        Examples
        --------
        >>> import h5py
        >>> with h5py.File("scan.nxs", "w") as file:
        ...     file["entry/data/counts"] = [4, 5, 6]
        >>> zarr_store("scan.nxs", codecs="native").references()["refs"]["entry/data/counts/c/0"]
        ['/.../scan.nxs', 2048, 24]
        """
        return kerchunk_references(self.view, inline)

    def virtual_dataset(self, group: str = "", *, inline: int = MOST_INLINE) -> xr.Dataset:
        """A group as a dataset of references, as VirtualiZarr makes them: to be joined, and written to icechunk.

        It takes the package ``virtualizarr``. Values and attributes are as they are stored; arrays that are left out
        are the same as for `references`.

        Parameters
        ----------
        group
            Path of the group.
        inline
            Bytes of an array that may be read where it can't be referred to.

        Raises
        ------
        NexusError
            There is no such group, the file has neither path nor URL, or can't be read.

        Examples
        --------
        >>> import h5py
        >>> with h5py.File("scan.nxs", "w") as file:
        ...     file["entry/data/counts"] = [4, 5, 6]
        ...     file["entry/data"].attrs.update(NX_class="NXdata", signal="counts")
        >>> zarr_store("scan.nxs", codecs="native").virtual_dataset("entry/data")["counts"].data
        ManifestArray<shape=(3,), dtype=int64, chunks=(3,)>
        """
        from .references.virtual import virtual_dataset

        path = group.strip("/")
        if path not in self.view.hierarchy.groups:
            raise NexusPathError(f"{self.view.file.name}: no group {group!r} in it")
        with xr.open_zarr(self, group=path, chunks=None, **_AS_STORED) as opened:
            return virtual_dataset(self.view, path, opened, inline)


def _part(value: Encoded, wanted: ByteRequest | None) -> Encoded:
    match wanted:
        case RangeByteRequest(start, end):
            return value[start:end]
        case OffsetByteRequest(offset):
            return value[offset:]
        case SuffixByteRequest(suffix):
            return value[max(len(value) - suffix, 0) :]
    return value


def zarr_store(
    path: Any,
    *,
    codecs: str = "core",
    verify: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> NexusStore:
    """A NeXus file as a Zarr store that is only read: nothing is copied, and hardly anything decoded.

    Parameters
    ----------
    path
        Path, URL or open binary file.
    codecs
        "core" has every array in codecs that all of Zarr's readers know; "native" hands on the bytes as they are stored
        where numcodecs undoes the filters of HDF5, which only some readers do.
    verify
        Whether a chunk is decoded, and its checksum compared, before it is handed on.
    storage_options
        Options for the fsspec file system of a URL.

    Returns
    -------
    zarr.abc.store.Store

    Raises
    ------
    NexusError
        The file isn't HDF5, isn't there, or ``codecs`` is neither of the two.

    Examples
    --------
    >>> import h5py
    >>> import xarray as xr
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     file["entry/data/counts"] = [4, 5, 6]
    ...     file["entry/data"].attrs.update(NX_class="NXdata", signal="counts")
    >>> xr.open_zarr(zarr_store("scan.nxs"), group="entry/data")["counts"].values
    array([4, 5, 6])
    """
    return NexusStore(view_of(path, codecs, verify, storage_options))
