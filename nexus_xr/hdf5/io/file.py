"""An HDF5 file that is open only while it is needed, and travels between processes by name."""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from nexus_xr.errors import NexusFileError, NexusFileNotFoundError, NexusReachError, SystemFaultError, let_go

from .h5py_handles import handles
from .identity import Identity, Snapshot, Version, changed
from .local import LocalFile
from .naming.linked_files import FOR_SOURCES, find_file, following, numbers_there, where_it_should_be
from .naming.reach import Reach, out_of_reach
from .naming.url_path import UrlPath, linked_url
from .policy import ReadingPolicy
from .reference import FileLike, FileReference
from .remote.object_store import StoreFile
from .remote.range_request import RangeRequest
from .remote.remote_file import RemoteFile, first_bytes
from .remote.urls import store_file
from .source import Source
from .unreadable import unopened

if TYPE_CHECKING:
    import h5py

    from .stream import OpenStream

_MOST_NOTED = 1 << 12


def _within_reach(policy: ReadingPolicy, reference: FileReference) -> ReadingPolicy:
    """How a file is read: one behind a URL leads no further than its folder unless its user says so."""
    if reference.is_local or not isinstance(reference.where, str) or not policy.reach.is_everywhere:
        return policy
    return replace(policy, reach=Reach((), (str(UrlPath.of(reference.where).folder),)))


class File:
    """An HDF5 file on a local path, behind an fsspec URL, or in an open file object.

    A local file is open only while it is read from; others stay open until they are closed, and open again by
    themselves. Of a store that gives ranges of bytes to many at once (S3, web servers) nothing is open between two
    requests. Pickled, it is a reference and a policy. A file that changed between two reads is an error.

    Parameters
    ----------
    where
        Path, URL with a protocol that fsspec knows, or a binary file object that can seek.
    storage_options
        Options for the fsspec file system of a URL.
    policy
        How it is read.

    Attributes
    ----------
    left_to_libhdf5
        Paths of what wasn't described from its bytes, but by libhdf5, and why; not of more than the first thousands.

    Examples
    --------
    >>> file = File("scan.nxs")
    >>> file
    File('scan.nxs')
    """

    def __init__(
        self,
        where: FileLike,
        storage_options: Mapping[str, Any] | None = None,
        policy: ReadingPolicy | None = None,
    ) -> None:
        self._start(FileReference.of(where, storage_options), policy or ReadingPolicy())

    @classmethod
    def of(cls, reference: FileReference, policy: ReadingPolicy) -> File:
        """The file that is referred to."""
        file = cls.__new__(cls)
        file._start(reference, policy)
        return file

    def _start(self, reference: FileReference, policy: ReadingPolicy) -> None:
        self._asked = reference
        self._policy = _within_reach(policy, reference)
        self._local = LocalFile(reference, self._policy.reach) if reference.is_local else None
        self._version = None if self._local is not None else cast(Version | None, reference.identity)
        self._key = object()  # of the bytes of a file object, which nothing else tells from others
        self._linked: dict[str, File] = {}
        self._missing: set[tuple[str, str]] = set()  # names, and the folders to look into first
        self._has_raw_files = False
        self._raw_files: dict[str, Identity] = {}
        self.left_to_libhdf5: dict[str, str] = {}
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._handle: h5py.File | None = None
        self._stream: OpenStream | None = None
        self._remote: RemoteFile | None = None
        self._first: RangeRequest | None = None
        self._readers = 0
        self._pid = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return (File.of, (self._reference, self._policy), {"_raw_files": self._raw_files.copy()})

    def __deepcopy__(self, memo: dict[int, Any]) -> File:
        return self

    def __repr__(self) -> str:
        return f"File({self.name!r})"

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, *self.token, self._policy.reach)  # beyond which nothing of the same is to be had

    @property
    def _reference(self) -> FileReference:
        """What it is known by now."""
        return replace(self._asked, identity=self._version) if self._local is None else self._local.reference

    @property
    def policy(self) -> ReadingPolicy:
        """How it is read."""
        return self._policy

    @property
    def name(self) -> str:
        """What messages call it: the path or URL as it was given, but for its secrets."""
        return self._asked.name

    @property
    def given_name(self) -> str:
        """The path or URL as it was given; for a file object, the name that it gives itself."""
        return self._asked.given_name

    @property
    def path(self) -> str:
        """The absolute path of a local file, which other processes know it by."""
        return self._asked.path

    @property
    def path_for_others(self) -> str | None:
        """Path by which another process may open it; None where its bytes have to be sent."""
        return self.path if self.is_local and self._policy.reach.is_everywhere else None

    @property
    def is_named(self) -> bool:
        """Whether it has a path or a URL, and so a folder with other files."""
        return isinstance(self._asked.where, str)

    @property
    def is_local(self) -> bool:
        return self._local is not None

    @property
    def token(self) -> tuple[Any, ...]:
        """What two files share if and only if they are the same, unchanged file."""
        return self._reference.token

    @property
    def snapshot(self) -> Snapshot | None:
        """Which state of it was opened, where another process was writing to it."""
        return None if self._local is None else self._local.snapshot

    @property
    def is_written_here(self) -> bool:
        """Whether this process has the file open for writing, so that only libhdf5 knows what is in it."""
        return self._local is not None and self._local.is_written_here

    @property
    def is_special(self) -> bool:
        """Whether it is a pipe or a device, whose bytes come one after the other."""
        return self._local is not None and self._local.is_special

    @property
    def leads_elsewhere(self) -> bool:
        """Whether a link, a virtual dataset or raw data led to another file, or would if that were there."""
        return bool(self._linked) or bool(self._missing) or self._has_raw_files

    @property
    def is_as_found(self) -> bool:
        """Whether it and those to which it led, if local, are as when they were read from, and no other came since."""
        is_same = (self._local is None or self._local.is_as_found) and self._has_same_raw_files
        are_same = is_same and all(file.is_as_found for file in tuple(self._linked.values()))
        try:
            return are_same and not any(itertools.starmap(self._is_there, tuple(self._missing)))
        except SystemFaultError:
            return False

    @property
    def _has_same_raw_files(self) -> bool:
        known = self._raw_files.copy()
        try:
            return all(Identity.of(self._policy.reach.stat(path)) == state for path, state in known.items())
        except (OSError, NexusFileError):
            return False

    @property
    def is_unsettled(self) -> bool:
        """Whether it or one to which it led, if local, changed since it was read from, or may be between two states."""
        is_itself = self._local is not None and self._local.is_unsettled
        return is_itself or any(file.is_unsettled for file in tuple(self._linked.values()))

    @property
    def is_read_from(self) -> bool:
        """Whether it is known in which state it was first read from; not of a file that isn't local."""
        return self._local is not None and self._local.is_read_from

    def _is_there(self, name: str, prefixes: str) -> bool:
        with suppress(NexusReachError):
            return find_file(name, self.path, self._policy.reach, prefixes) is not None
        return False

    def note_raw_files(self) -> None:
        """Note that values are in files of raw data."""
        self._has_raw_files = True

    def check_raw_file(self, path: str, found: os.stat_result) -> None:
        """Remember the state of a file of raw data when it is first looked at, and refuse to read from another.

        One that is longer is taken for the same with more behind it: detectors write them to the end.

        Parameters
        ----------
        path
            The file.
        found
            What the system says of it now.

        Raises
        ------
        NexusFileChangedError
            It was another, and nobody is writing this file, which would write to that as well.
        """
        if self.snapshot is not None:
            return
        now = Identity.of(found)
        if len(self._raw_files) < _MOST_NOTED:
            self._raw_files.setdefault(path, now)
        known = self._raw_files.get(path, now)
        if known == now:
            return
        # Whether it is written here is asked last, as that costs more for each file that is open here.
        if now.size <= known.size and not self.is_written_here:
            raise changed(path, known, now)
        self._raw_files[path] = now

    def leave_to_libhdf5(self, path: str, reason: str) -> None:
        """Note that an object isn't described from its bytes, and why."""
        if len(self.left_to_libhdf5) < _MOST_NOTED:
            self.left_to_libhdf5[path] = reason

    def check(self) -> None:
        """Raise an error where a local file isn't the one any more that was opened."""
        if self._local is not None:
            self._local.check()

    def anew(self, *, is_beside_writers: bool = False) -> File:
        """The same file, as it is by now.

        Parameters
        ----------
        is_beside_writers
            Whether it, and what it leads to, is opened as a reader's beside its writer.
        """
        return File.of(self._asked.anew(), replace(self._policy, is_beside_writers=is_beside_writers))

    def linked(self, where: str) -> File:
        """The file of a path or URL to which a link or a virtual dataset leads; from now on, that one and no other."""
        if where == self._asked.where:
            return self
        if where not in self._linked:
            return self._linked.setdefault(where, File(where, self._asked.storage_options, self._policy))
        return self._linked[where]

    def where_should_be(self, name: str) -> str:
        """Path or URL of a file that this one names.

        Raises
        ------
        NexusReachError
            It may not be read, or can't be looked for.
        """
        if self._local is not None:
            return where_it_should_be(name, self.path)
        if not isinstance(self._asked.where, str):
            raise NexusReachError(f"{name}: can't be looked for beside a file object; open the file by its path or URL")
        url = linked_url(name, self._asked.where)
        if not self._policy.reach.holds_url(url):
            raise out_of_reach(url)
        return url

    def find_linked(self, name: str, prefixes: str = FOR_SOURCES) -> str | None:
        """Path or URL of a file that this one names, None where there is none.

        Parameters
        ----------
        name
            The name as it is stored, not that for the file itself.
        prefixes
            The variable of the environment with folders to look into first, for a local file.

        Raises
        ------
        NexusReachError
            It may not be read, or can't be looked for.
        """
        if self._local is not None:
            found = find_file(name, self.path, self._policy.reach, prefixes)
            if found is None:
                self._miss(name, prefixes)
            return None if found is None else os.path.abspath(found)
        url = self.where_should_be(name)
        return url if self.linked(url)._exists else None

    def numbers_there(self, name: str) -> list[int]:
        """The numbers in the names of files that are there, beside a local file; none of others, as nobody lists these.

        Parameters
        ----------
        name
            The name as it is stored, with a null character where the number is.
        """
        return [] if self._local is None else numbers_there(name, self.path, self._policy.reach)

    def _miss(self, name: str, prefixes: str) -> None:
        if len(self._missing) < _MOST_NOTED:
            self._missing.add((name, prefixes))

    @functools.cached_property
    def _exists(self) -> bool:
        """Whether a file behind a URL was there when it was first asked for."""
        try:
            with self.source():
                return True
        except NexusFileNotFoundError:
            return False

    @contextmanager
    def opened(self) -> Iterator[h5py.File]:
        """The open `h5py.File`, for the length of a ``with`` block, shared by all threads that read.

        Other local files, to which links lead, are open for as long.
        """
        with ExitStack() as others, self._opened() as handle:
            follow = functools.cache(lambda path: others.enter_context(self.linked(path)._opened()))
            with following(follow) if self.is_local else nullcontext():
                yield handle

    @contextmanager
    def _opened(self) -> Iterator[h5py.File]:
        with self._in_this_process():
            self.check()
            if self._handle is None:
                self._handle = self._open_handle()
            handle, stream = self._handle, self._stream
            self._readers += 1
        try:
            yield handle
        except BaseException as error:
            let_go(error)
            raise
        finally:
            with self._lock:
                self._readers -= 1
                if self.is_local:
                    self._close_unused()
                if stream is not None and stream.has_failed and self._handle is handle:
                    self._handle = None  # closed when the last of those who read from it lets go
            if stream is not None:
                stream.raise_failure()

    @contextmanager
    def _in_this_process(self) -> Iterator[None]:
        """Keep other threads out, and what was inherited through fork: handle and lock are the parent's."""
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            yield

    def _open_handle(self) -> h5py.File:
        try:
            import hdf5plugin  # noqa: F401  registers the filters that detectors write with
        except OSError as error:
            raise unopened(self.name, self.path if self.is_local else self.name, error) from error
        if self._local is not None:
            return self._local.take_handle(self._policy.is_beside_writers)
        from .stream import OpenStream

        remote = self._find_remote()
        stream = self._open_stream() if remote is None else OpenStream(self._asked, remote)
        self._stream = stream
        return stream.open_handle()

    def _open_stream(self) -> OpenStream:
        """The one stream, as others that it may come from aren't to be asked twice."""
        if self._stream is None:
            from .stream import OpenStream

            self._stream = OpenStream(self._asked, None)
        return self._stream

    def close(self) -> None:
        """Close the file. Reading from it later opens it again."""
        with self._lock:
            self._close_unused()

    def _close_unused(self) -> None:
        if not self._readers and self._pid == os.getpid():
            if self._handle is not None:
                handles.give_back(self._handle)
            self._handle = self._stream = None

    @contextmanager
    def source(self) -> Iterator[Source]:
        """The bytes of the file, for the length of a ``with`` block."""
        if self._local is not None:
            with self._local.source() as source:
                yield source
            return
        with self._in_this_process():
            remote = self._find_remote()
            stream = None if remote is not None else self._open_stream()
        if remote is not None:
            yield remote
        if stream is not None:  # which stays open as long as it has a name here
            yield stream.source(self._key)

    def _check_reach(self) -> None:
        if isinstance(self._asked.where, str) and not self._policy.reach.holds_url(self._asked.where):
            raise out_of_reach(self.name)

    def _find_remote(self) -> RemoteFile | None:
        """The file where ranges of it can be asked for by many at once, None where it can only be read as a stream."""
        if self._remote is None:
            self._check_reach()
            found = self._in_store()
            if found is not None:
                first, self._first = self._first, None
                self._remote = RemoteFile(found, self._version, first)
                self._version = self._remote.version
        return self._remote

    def _in_store(self) -> StoreFile | None:
        return store_file(self._asked.where, self._asked.storage_options)

    def expect_linked(self, name: str) -> None:
        """Have the first bytes of a file be on their way that this one names, so that several are side by side."""
        with suppress(NexusFileError):  # for those to tell who read from it
            if not self.is_local:
                self.linked(self.where_should_be(name))._expect()

    def _expect(self) -> None:
        with self._in_this_process():
            is_known = self._remote or self._first or self._version or "_exists" in self.__dict__
            found = None if is_known else self._in_store()
            self._first = self._first if found is None else first_bytes(found)
