"""An HDF5 file that is open only while it is needed, and travels between processes by name."""

from __future__ import annotations

import functools
import io
import os
import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any, BinaryIO, NamedTuple, cast

import fsspec
import h5py
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile
from h5py import h5f

from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError, anew, let_go
from nexus_xr.hdf5.runtime.compat import phil, this_worker

from .handles import handles
from .linked_files import following
from .remote import RemoteFile, RemoteStream
from .source import GrowingSource, LocalSource, Source, StreamSource
from .store import StoredFile, Version

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

_COPIED_AT_ONCE = 16 << 20

FileLike = str | os.PathLike[str] | BinaryIO

# What the first attempt's error speaks of, and the ways to open that can then help: where this process has the file
# open with locking, that same way; where another process is writing, as one of its readers (SWMR). Tried on a damaged
# file, the latter may never return.
_OTHER_WAYS: tuple[tuple[str, tuple[dict[str, Any], ...]], ...] = (
    ("lock", ({}, {"locking": True}, {"locking": "best-effort"})),
    ("open for write", ({"locking": False, "swmr": True}, {"swmr": True})),
)


class Identity(NamedTuple):
    """What tells that a file is still the one that was described."""

    size: int
    mtime_ns: int


class Snapshot(NamedTuple):
    """What tells the times apart at which a file was opened while another process was writing to it."""

    inode: int
    token: str


class File:
    """An HDF5 file on a local path, behind an fsspec URL, or in an open file object.

    A local file is open only while it is read from; others stay open until they are closed, and open again by
    themselves. Of a store that gives ranges of bytes to many at once (S3, web servers) nothing is open between two
    requests. Only the name is carried when the file is pickled. A file that changed between two reads is an error.

    Parameters
    ----------
    where
        Path, URL with a protocol that fsspec knows, or a binary file object that can seek.
    storage_options
        Options for the fsspec file system of a URL.
    num_threads
        Most threads that a read may use; None for as many as there are CPUs for this process.

    Examples
    --------
    >>> file = File("scan.nxs")
    >>> file
    File('scan.nxs')
    """

    def __init__(
        self, where: FileLike, storage_options: Mapping[str, Any] | None = None, num_threads: int | None = None
    ) -> None:
        if num_threads is not None and (not isinstance(num_threads, int) or num_threads < 1):
            raise NexusError(f"num_threads={num_threads!r}: expected a whole number of threads, 1 or more, or None")
        self.num_threads = num_threads
        self._given = _local_path(os.fspath(where)) if isinstance(where, str | os.PathLike) else where
        self._where = _absolute(self._given) if isinstance(self._given, str) else self._given
        self._storage_options = dict(storage_options or {})
        self._identity: Identity | Version | None = None
        self.snapshot: Snapshot | None = None
        self._is_beside_writers = False
        self._unique = object()
        self._linked: dict[str, File] = {}
        #: Whether sources of virtual datasets that are missing read as fill values; else they are an error.
        self.fills_missing = True
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._handle: h5py.File | None = None
        self._stream: BinaryIO | RemoteStream | None = None
        self._opener: Any = None
        self._remote: RemoteFile | None = None
        self._readers = 0
        self._pid = os.getpid()

    @property
    def name(self) -> str:
        """The path or URL as it was given; for a file object, the name that it gives itself."""
        if isinstance(self._given, str):
            return self._given
        names = (getattr(self._where, attribute, None) for attribute in ("name", "full_name", "path"))
        return str(next(filter(None, names), None) or repr(self._where))

    @property
    def path(self) -> str:
        """The absolute path of a local file, which other processes know it by."""
        return cast(str, self._where)

    @property
    def is_local(self) -> bool:
        return isinstance(self._where, str) and (not is_url(self._where) or os.path.exists(self._where))

    def __repr__(self) -> str:
        return f"File({self.name!r})"

    @property
    def token(self) -> tuple[Any, ...]:
        """What two files share if and only if they are the same, unchanged file."""
        where = self._where if isinstance(self._where, str) else (self.name, id(self._where))
        return (where, self._identity, repr(self._storage_options))

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, *self.token)

    def __getstate__(self) -> dict[str, Any]:
        own = ("_given", "_where", "_storage_options", "_identity", "_is_beside_writers")
        kept = (*own, "snapshot", "num_threads", "fills_missing")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._unique = object()
        self._linked = {}
        self._reset()

    def __deepcopy__(self, memo: dict[int, Any]) -> File:
        return self

    def anew(self) -> File:
        """The same file, as it is by now."""
        return File(self._given, self._storage_options, self.num_threads)

    def join_writers(self) -> bool:
        """Open a local file, and with it what it leads to, as a reader beside their writers; whether that is new."""
        is_new = self.is_local and not self._is_beside_writers
        self._is_beside_writers |= is_new
        for file in self._linked.values():
            file.join_writers()
        return is_new

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
                # Growth is what a single writer and its readers agreed on.
                if self._handle.swmr_mode and self.snapshot is None:
                    self.snapshot = Snapshot(self._look_up().st_ino, uuid.uuid4().hex)
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
                if _has_failed(stream) and self._handle is handle:
                    self._handle = None  # closed when the last of those who read from it lets go
            _raise_failure(stream)

    @contextmanager
    def _in_this_process(self) -> Iterator[None]:
        """Keep other threads out, and what was inherited through fork: handle and lock are the parent's."""
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            yield

    @contextmanager
    def source(self) -> Iterator[Source]:
        """The bytes of the file, for the length of a ``with`` block."""
        if not self.is_local:
            with self._in_this_process():
                remote = self._find_remote()
            if remote is not None:
                yield remote
                return
            with self.opened():
                stream = cast(BinaryIO, self._stream)
                if isinstance(getattr(stream, "raw", None), io.FileIO):  # a file of the operating system after all
                    yield LocalSource(stream.fileno(), os.fstat(stream.fileno()).st_size, self._unique)
                else:
                    yield StreamSource(stream, phil, self._unique)  # libhdf5 reads from the same stream
            return
        try:
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        except (OSError, ValueError) as error:
            raise self._unopened(error) from error
        try:
            stat = os.fstat(descriptor)
            self._check_identity(stat)
            key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
            try:
                if self.snapshot is not None and _is_being_written(descriptor):
                    yield GrowingSource(descriptor, (stat.st_dev, stat.st_ino))
                else:
                    yield LocalSource(descriptor, stat.st_size, key)
            except NexusFileError:
                self._check_identity(os.fstat(descriptor))  # which is then the better reason
                raise
            self._check_identity(os.fstat(descriptor))
        finally:
            os.close(descriptor)

    @property
    def is_written_here(self) -> bool:
        """Whether this process has the file open for writing, so that only libhdf5 knows what is in it."""
        if not self.is_local or not h5f.get_obj_count(h5f.OBJ_ALL, h5f.OBJ_FILE):
            return False
        return any(map(self._is_written_as, h5f.get_obj_ids(h5f.OBJ_ALL, h5f.OBJ_FILE)))

    def _is_written_as(self, other: h5f.FileID) -> bool:
        with suppress(Exception):  # closed meanwhile, or no file of the operating system
            if other.get_intent() & h5f.ACC_RDWR:
                return os.path.samestat(os.fstat(other.get_vfd_handle()), self._look_up())
        return False

    def copy_to(self, path: str) -> None:
        """Copy the file, byte for byte.

        Parameters
        ----------
        path
            A local path.
        """
        if self.is_written_here:
            raise NexusFileError(f"{self.name}: is open for writing in this process; close it first")
        if self.is_local:
            self.check()
            shutil.copyfile(cast(str, self._where), path)
            self.check()
            return
        with self.source() as source, open(path, "wb") as copy:
            room = memoryview(bytearray(_COPIED_AT_ONCE))
            for offset in range(0, source.size, _COPIED_AT_ONCE):
                copy.write(room[: source.read_into(room, offset)])

    def check(self) -> None:
        """Raise an error where a local file isn't the one any more that was opened."""
        if self.is_local:
            self._check_identity(self._look_up())

    def linked(self, path: str) -> File:
        """Another local file that a link or a virtual dataset leads to; from now on, that one and no other."""
        if self.is_local and path == self.path:
            return self
        if path not in self._linked:
            file = File(path, num_threads=self.num_threads)
            file.fills_missing = self.fills_missing
            file._is_beside_writers = self._is_beside_writers
            return self._linked.setdefault(path, file)
        return self._linked[path]

    def close(self) -> None:
        """Close the file. Reading from it later opens it again."""
        with self._lock:
            self._close_unused()

    def _close_unused(self) -> None:
        if not self._readers and self._handle is not None and self._pid == os.getpid():
            handles.give_back(self._handle)
            self._handle = None

    def _look_up(self) -> os.stat_result:
        try:
            return os.stat(self.path)
        except (OSError, ValueError) as error:
            raise self._unopened(error) from error

    def _unopened(self, error: Exception) -> NexusFileError:
        """What is wrong with a path, seen from where it is opened."""
        worker = this_worker()
        missing = isinstance(error, FileNotFoundError)
        kind = NexusFileNotFoundError if missing else NexusFileError
        if worker is not None:
            found = "no such file" if missing else f"can't be opened ({error})"
            return kind(f"{self.path}: {found} on {worker}; all workers of a cluster need the file under this path")
        return kind(
            f"{self.name}: no such file; check the path" if missing else f"{self.name!r}: can't be opened ({error})"
        )

    def _check_identity(self, stat: os.stat_result) -> None:
        """Remember which file was opened, and refuse to read from another under the same name."""
        identity = Identity(stat.st_size, stat.st_mtime_ns)
        if self._identity is None:
            self._identity = identity
        elif self.snapshot is None and identity != self._identity and self.is_written_here:
            self._identity = identity  # to open it may have had libhdf5 write out what this process has written to it
        elif stat.st_ino != self.snapshot.inode if self.snapshot is not None else identity != self._identity:
            raise NexusFileError(
                f"{self.name}: the file changed since it was opened "
                f"(it had {self._identity.size} bytes, now {identity.size}); open it again"
            )

    def _open_handle(self) -> h5py.File:
        import hdf5plugin  # noqa: F401  registers the filters that detectors write with

        if self.is_local:
            found = self._look_up()
            key = (self.path, found.st_dev, found.st_ino, self._is_beside_writers)
            return handles.take(key, lambda: _open_local(self.path, self._is_beside_writers))
        stream = self._open_stream()
        self._stream = stream
        try:
            return h5py.File(stream, "r")
        except Exception as error:  # h5py raises nearly any type, by what is broken
            _raise_failure(stream)
            raise NexusFileError(explain_unreadable(self.name, _first_bytes(stream), error)) from error

    def _open_stream(self) -> BinaryIO | RemoteStream:
        remote = self._find_remote()
        if remote is not None:
            return RemoteStream(remote)
        if not isinstance(self._where, str):
            return self._where
        with _url_explained(self._where):
            # Kept, as some file systems close what they opened once nobody has them any more.
            self._opener = fsspec.open(self._where, "rb", **self._storage_options)
            return cast(BinaryIO, self._opener.open())

    def _find_remote(self) -> RemoteFile | None:
        """The file where ranges of it can be asked for by many at once, None where it can only be read as a stream."""
        if self._remote is None:
            stored = _stored_file(self._where, self._storage_options)
            if stored is not None:
                self._remote = RemoteFile(stored, cast(Version | None, self._identity))
                self._identity = self._remote.version
        return self._remote


def _absolute(where: str) -> str:
    """A local path that stays right wherever it is opened; a URL as it is."""
    try:
        return where if is_url(where) and not os.path.exists(where) else os.path.abspath(where)
    except OSError:  # the current directory is gone
        return where


def is_url(where: str) -> bool:
    r"""Whether a name is a URL with a protocol (``s3://``, ``simplecache::``), and not a local path.

    Examples
    --------
    >>> is_url("s3://bucket/scan.nxs"), is_url("/data/scan.nxs"), is_url("C:\\data\\scan.nxs")
    (True, False, False)
    """
    return "://" in where or "::" in where


def _local_path(where: str) -> str:
    """The path of a local file, also of one whose URL is given; other URLs as they are."""
    if where.startswith(("file://", "local://")):
        where = LocalFileSystem._strip_protocol(where)
    return os.path.expanduser(where)


def _stored_file(where: str | BinaryIO, storage_options: Mapping[str, Any]) -> StoredFile | None:
    """The file of an asynchronous file system that a URL or a file object is of, None where it is of another kind."""
    if isinstance(where, str) and not storage_options.get("compression"):
        with _url_explained(where):
            fs, path = url_to_fs(where, **storage_options)
        name = where
    elif isinstance(where, AbstractBufferedFile) and where.mode == "rb":
        fs, path, name = where.fs, where.path, where.full_name
    else:
        return None
    return StoredFile(name, fs, path) if _is_asynchronous(fs) else None


def _is_asynchronous(fs: Any) -> bool:
    """Whether a file system answers many at once, and so does the one within it, if there is one."""
    # Asked of the class, as file systems that cache others answer for these.
    if not type(fs).async_impl or fs.asynchronous:
        return False
    within = getattr(fs, "fs", None)
    return within is None or isinstance(within, dict) or _is_asynchronous(within)


@contextmanager
def _url_explained(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NexusFileNotFoundError(f"{url}: no such file; check the URL") from error
    except ImportError as error:
        raise NexusFileError(
            f"{url}: no file system opens this URL ({error}); those of s3:// and http:// come with the "
            "extra `remote` (pip install '.[remote]' in this package's folder)"
        ) from error
    except ValueError as error:
        raise NexusFileError(f"{url}: no file system opens this URL ({error})") from error
    except TypeError as error:
        raise NexusFileError(f"{url}: can't be opened ({error}); check storage_options") from error
    except OSError as error:
        raise NexusFileError(f"{url}: can't be opened ({error})") from error


def _has_failed(stream: Any) -> bool:
    return isinstance(stream, RemoteStream) and stream.failure is not None


def _raise_failure(stream: Any) -> None:
    """Raise what kept libhdf5 from reading, which is a better reason than what it says itself."""
    if isinstance(stream, RemoteStream) and stream.failure is not None:
        raise anew(stream.failure)


def _open_local(path: str, is_beside_writers: bool) -> h5py.File:
    if is_beside_writers:
        with suppress(Exception):
            return h5py.File(path, "r", locking=False, swmr=True)
    # Without locking: a reader has nothing to protect, must not hinder a writer, and file systems of facilities are
    # often read-only or can't lock.
    try:
        return h5py.File(path, "r", locking=False)
    except Exception as error:  # h5py raises nearly any type, by what is broken
        for mentioned, ways in _OTHER_WAYS:
            for options in ways if mentioned in str(error) else ():
                with suppress(Exception):
                    return h5py.File(path, "r", **options)
        raise NexusFileError(_explain_local(path, error)) from error


def _explain_local(path: str, error: Exception) -> str:
    try:
        with open(path, "rb") as stream:
            return explain_unreadable(path, _first_bytes(stream), error)
    except OSError as unreadable:
        return f"{path}: can't be opened ({unreadable})"


def _first_bytes(stream: BinaryIO | RemoteStream) -> bytes:
    """The first bytes of a file, or behind a user block of HDF5 the signature."""
    if has_hdf5_signature(stream):
        return HDF5_SIGNATURE
    stream.seek(0)
    return stream.read(64) or b""


def _is_being_written(descriptor: int) -> bool:
    """Whether another process has the file open to add to it (SWMR), as the superblock tells.

    Source: the HDF5 file format specification, section II.A.
    """
    offset = 0
    while len(start := os.pread(descriptor, 12, offset)) == 12:
        if start.startswith(HDF5_SIGNATURE):
            return start[8] >= 3 and bool(start[11] & 4)
        offset = 2 * offset or 512
    return False


def has_hdf5_signature(stream: BinaryIO | RemoteStream) -> bool:
    """Whether the signature of HDF5 stands where it may: at the start, or behind a user block of 512, 1024, ... bytes.

    Source: the HDF5 file format specification, section II.A.
    """
    end = stream.seek(0, os.SEEK_END)
    offset = 0
    while offset < end:
        stream.seek(offset)
        if stream.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
            return True
        offset = 2 * offset or 512
    return False


def explain_unreadable(name: str, start: bytes, error: Exception) -> str:
    """Say what a file is that HDF5 can't open, and what to do about it.

    Examples
    --------
    >>> print(explain_unreadable("old.nxs", b"<?xml version='1.0'?>", OSError()))
    old.nxs: this is an XML file (NeXus XML?), not HDF5; convert it with `nxconvert -h5` of the NeXus API (NAPI)
    """
    if not start:
        found = "the file is empty; it was perhaps never written"
    elif start.startswith(HDF5_SIGNATURE):
        found = _explain_damaged(str(error))
    elif start.startswith(b"\x0e\x03\x13\x01"):
        found = (
            "this is an HDF4 file, not HDF5; convert it with `nxconvert -h5` of the NeXus API (NAPI) or with `h4toh5`"
        )
    elif start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<NXroot")):
        found = "this is an XML file (NeXus XML?), not HDF5; convert it with `nxconvert -h5` of the NeXus API (NAPI)"
    elif start.startswith(b"CDF"):
        found = 'this is a netCDF-3 file, not HDF5; open it with engine="scipy" or "netcdf4"'
    else:
        found = f"this is not an HDF5 file (it starts with {start[:8]!r}); check that it is the file you mean"
    return f"{name}: {found}"


def _explain_damaged(error: str) -> str:
    if "truncated" in error or "eof" in error:
        return f"the HDF5 file is truncated ({error}); copy it again, or recover it with `h5clear --increment`"
    if "already open for write" in error:
        return (
            f"the HDF5 file is marked as being written ({error}); wait for its writer, "
            "or run `h5clear --status` if the writer crashed"
        )
    return f"HDF5 can't open the file ({error}); it is damaged or of an unknown version"


def as_file_like(source: Any) -> FileLike:
    """Accept what xarray passes on: a path, a URL, a file object, or the bytes themselves."""
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(bytes(source))
    if isinstance(source, str | os.PathLike):
        return source
    if hasattr(source, "seek") and not isinstance(source, io.TextIOBase) and not getattr(source, "closed", False):
        return cast(FileLike, source)
    raise NexusFileError(f"{source!r}: expected a path, a URL or an open binary file, found {type(source).__name__}")
