"""The keys of a hierarchy, and what stands behind each."""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.reference import as_file_like
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import describe_with

from .arrays import ZarrArray
from .chunks import Chunk, found_chunk, is_there
from .codecs.frames import Encoded
from .fields import Codecs
from .hierarchy import Hierarchy, read_hierarchy
from .metadata import encoded, node_document

METADATA = "zarr.json"
CHUNKS = "c"
# What the addresses of clients have nothing of.
_LEFT_OUT = str.maketrans("", "", "\t\n\r")
_CHUNK_KEY = re.compile(rf".+/{CHUNKS}(/[0-9]+)*", re.DOTALL)
# Views that a process has in use; of others a file is described once more.
_MOST_KNOWN = 64


@dataclass(frozen=True)
class ZarrView:
    """A file as the keys and values of a Zarr store; it can be pickled, and is safe in threads.

    Parameters
    ----------
    file
        The file.
    codecs
        How chunks are encoded.
    verify
        Whether a chunk that is passed on as it is stored is decoded before, and its checksum compared.
    mark
        What it has in common with its copies in other processes, and with no other view.
    """

    file: File
    codecs: Codecs = Codecs.CORE
    verify: bool = False
    mark: str = field(default_factory=partial(secrets.token_hex, 8))

    @property
    def hierarchy(self) -> Hierarchy:
        """What the file held when it was first asked for, found out once in a process."""
        return _known_hierarchy(_Key(self.mark, self.codecs, self.file))

    def value(self, key: str) -> Encoded | None:
        """What stands behind a key, None where nothing does.

        Raises
        ------
        NexusFileError
            It can't be read.
        """
        path, _, name = key.rpartition("/")
        if name == METADATA:
            document = node_document(self.hierarchy, path)
            return None if document is None else encoded(document)
        chunk = self.chunk(key)
        return None if chunk is None else chunk.data

    def chunk(self, key: str) -> Chunk | None:
        """The chunk of a key, None where there is none; raises as `value` does."""
        found = self.find_chunk(key)
        return None if found is None else found_chunk(*found, self.verify)

    def has(self, key: str) -> bool:
        """Whether anything stands behind a key; no chunk is read for that."""
        path, _, name = key.rpartition("/")
        if name == METADATA:
            return path in self.hierarchy.groups or path in self.hierarchy.arrays
        found = self.find_chunk(key)
        return found is not None and is_there(*found)

    def find_chunk(self, key: str) -> tuple[ZarrArray, tuple[int, ...]] | None:
        """The array and the coordinate of the chunk of a key, None where there is no such chunk."""
        for array, parts in self._arrays_with(key):
            coordinate = _coordinate(parts, array.grid)
            if coordinate is not None:
                return array, coordinate
        return None

    def _arrays_with(self, key: str) -> Iterator[tuple[ZarrArray, Sequence[str]]]:
        """The arrays that a key leads to, each with the parts of the key that tell its chunks apart."""
        parts = key.split("/")
        for at in (at for at, part in enumerate(parts) if part == CHUNKS and at):
            array = self.hierarchy.arrays.get("/".join(parts[:at]))
            if array is not None:
                yield array, parts[at + 1 :]

    def is_misspelled(self, key: str) -> bool:
        """Whether a key is that of a chunk of no array, or what clients leave of one: they cut addresses at a "#"."""
        if any(True for _ in self._arrays_with(key)):
            return False
        nodes = (*self.hierarchy.groups, *self.hierarchy.arrays)
        return is_chunk_key(key) or any(node.translate(_LEFT_OUT).startswith(f"{key}#") for node in nodes)

    def keys_with(self, prefix: str) -> Iterator[str]:
        """The keys that begin so; chunks among them that may turn out not to be stored."""
        hierarchy = self.hierarchy
        for path in (*hierarchy.groups, *hierarchy.arrays):
            key = join(path, METADATA)
            if key.startswith(prefix):
                yield key
        for path, array in hierarchy.arrays.items():
            start = join(path, CHUNKS)
            if start.startswith(prefix) or prefix.startswith(start):
                yield from (key for key in map(partial(chunk_key, path), array.coordinates()) if key.startswith(prefix))

    def names_in(self, path: str) -> list[str]:
        """The names directly below a path."""
        start = f"{path}/" if path else ""
        hierarchy = self.hierarchy
        below = (node[len(start) :] for node in (*hierarchy.groups, *hierarchy.arrays) if node.startswith(start))
        names = dict.fromkeys(rest.partition("/")[0] for rest in below if rest)
        if path in hierarchy.arrays:
            return [METADATA, CHUNKS]
        return [METADATA, *names] if path in hierarchy.groups else list(names)


def view_of(
    where: Any, codecs: str = "core", verify: bool = False, storage_options: Mapping[str, Any] | None = None
) -> ZarrView:
    """The view of a file, which is described at once."""
    if codecs not in list(Codecs):
        raise NexusError(f"codecs={codecs!r}: expected one of {', '.join(map(repr, map(str, Codecs)))}")
    view = ZarrView(File(as_file_like(where), storage_options), Codecs(codecs), verify)
    _ = view.hierarchy
    return view


@dataclass(frozen=True)
class _Key:
    """What tells one description from another, and what it is made of."""

    mark: str
    codecs: Codecs = field(compare=False)
    file: File = field(compare=False)


@functools.lru_cache(_MOST_KNOWN)
def _known_hierarchy(key: _Key) -> Hierarchy:
    return describe_with(lambda opening: read_hierarchy(opening, key.codecs), key.file, Options())


def _coordinate(parts: Sequence[str], grid: Sequence[int]) -> tuple[int, ...] | None:
    if len(parts) != len(grid) or not all(part.isdecimal() for part in parts):
        return None
    coordinate = tuple(map(int, parts))
    is_in_grid = all(at < count for at, count in zip(coordinate, grid, strict=True))
    is_spelled_so = [str(at) for at in coordinate] == list(parts)
    return coordinate if is_in_grid and is_spelled_so else None


def is_chunk_key(key: str) -> bool:
    """Whether a key has the form of one of a chunk, be there an array or not.

    Examples
    --------
    >>> is_chunk_key("entry/counts/c/0/1"), is_chunk_key("entry/title/c"), is_chunk_key("entry/zarr.json")
    (True, True, False)
    """
    return _CHUNK_KEY.fullmatch(key) is not None


def chunk_key(path: str, coordinate: Sequence[int]) -> str:
    """The key of a chunk of an array."""
    return join(f"{path}/{CHUNKS}", "/".join(map(str, coordinate)))


def join(path: str, name: str) -> str:
    """A path of two parts, either of which may be empty."""
    return f"{path}/{name}" if path and name else path or name
