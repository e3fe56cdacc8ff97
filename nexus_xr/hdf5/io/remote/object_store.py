"""Files of stores that are asked for ranges of bytes: S3, web servers, and what else fsspec reads asynchronously."""

from __future__ import annotations

import asyncio
import errno
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from fsspec.spec import AbstractBufferedFile

from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError
from nexus_xr.hdf5.io.identity import Version, changed, expired
from nexus_xr.hdf5.io.naming.url_path import said_of, words_of
from nexus_xr.hdf5.runtime.compat import get_s3_object, opened_s3_options

# A fault that passes is mostly gone at once; after these attempts, with pauses that double, three seconds have passed.
ATTEMPTS = 5
PAUSE_SECONDS = 0.2
# A server that sends nothing for so long isn't going to.
_STALL_SECONDS = 30
_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# By which s3fs tells of these, when it has tried often enough itself.
_PASSING_ERRORS = frozenset({errno.EBUSY, errno.ETIMEDOUT, getattr(errno, "EREMOTEIO", 121)})
_WHEN_WELL = "try again when the server is well"
# File systems that are asked in ways of their own. Others may have the same protocols.
_OF_WEB_SERVERS = ("fsspec.implementations.http", "HTTPFileSystem")
_OF_S3 = ("s3fs.core", "S3FileSystem")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")

_WITHOUT_SIZE = re.compile(r"bytes \d+-\d+/\*")
_WEB_PAGE = "text/html"


class VersionedBytes(NamedTuple):
    """Bytes of a file, and the version that they are of."""

    data: bytes
    version: Version


class _FaultError(Exception):
    """What went wrong with a request, and may go right with the next."""


@dataclass(frozen=True, eq=False)
class StoreFile:
    """A file of an asynchronous file system of fsspec.

    Parameters
    ----------
    name
        How errors call it.
    fs
        The file system.
    path
        Its path there.
    options
        What requests for it ask for beside what the file system itself does: a version, headers.
    opened
        The open file that ranges of it are had from, where the file system alone can't tell which bytes these are.
    """

    name: str
    fs: Any
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    opened: Any = None

    @classmethod
    def of_opened(cls, name: str, opened: AbstractBufferedFile) -> StoreFile:
        """The file that is open, with all that it was opened with."""
        if _is_a(opened.fs, _OF_WEB_SERVERS):
            return cls(name, opened.fs, opened.path, opened.kwargs)
        if _is_a(opened.fs, _OF_S3):
            return cls(name, opened.fs, opened.path, opened_s3_options(opened))
        asks_itself = type(opened)._fetch_range is not AbstractBufferedFile._fetch_range
        return cls(name, opened.fs, opened.path, opened=opened if asks_itself else None)

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the files of other stores, and from itself with other options."""
        return (self.fs._fs_token, self.path, repr(self.options))

    def in_this_process(self) -> StoreFile:
        """The same with a file system whose connections were not inherited through a fork."""
        return replace(self, fs=type(self.fs)(*self.fs.storage_args, **self.fs.storage_options))

    async def read(self, begin: int, end: int, known: Version | None) -> VersionedBytes:
        """The bytes of a range, or those that there are of it before the end of the file.

        Raises
        ------
        NexusFileError
            They can't be had, or are of another version than the known one.
        """
        what = f"{self.name}: bytes {begin} to {end - 1}"
        try:
            return await self._try_again(begin, end, known)
        except NexusError:
            raise
        except FileNotFoundError as error:
            raise NexusFileNotFoundError(f"{self.name}: no such file; check the URL") from error
        except PermissionError as error:
            said = said_of(self.path, error)
            raise NexusFileError(f"{what} are refused ({said}); check the credentials in storage_options") from error
        except _FaultError as error:
            said = said_of(self.path, error)
            raise NexusFileError(
                f"{what} can't be read: {said}, at the last of {ATTEMPTS} attempts; {_WHEN_WELL}"
            ) from error
        except Exception as error:  # each file system raises its own
            said = said_of(self.path, words_of(error))
            is_passing = isinstance(error, OSError) and error.errno in _PASSING_ERRORS
            advice = _WHEN_WELL if is_passing else "check the URL and storage_options"
            raise NexusFileError(f"{what} can't be read ({said}); {advice}") from error

    async def _try_again(self, begin: int, end: int, known: Version | None) -> VersionedBytes:
        for attempt in range(ATTEMPTS):
            try:
                return await self._try(begin, end, known)
            except _FaultError:
                if attempt == ATTEMPTS - 1:
                    raise
                await asyncio.sleep(PAUSE_SECONDS * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _try(self, begin: int, end: int, known: Version | None) -> VersionedBytes:
        if _is_a(self.fs, _OF_WEB_SERVERS):
            answer = await _get_http(self, begin, end)
        elif _is_a(self.fs, _OF_S3):
            answer = await _get_s3(self, begin, end)
        else:
            answer = await _get_any(self, begin, end, known)
        if known is not None and answer.version.differs_from(known):
            raise changed(self.name, known, answer.version)
        wanted = min(end, answer.version.size) - begin
        if len(answer.data) == answer.version.size > wanted:
            raise self.without_ranges("it answers with all of the file")
        if len(answer.data) != wanted:
            raise _FaultError(f"{len(answer.data)} bytes came in place of {wanted}")
        return answer

    def without_ranges(self, what: str) -> NexusFileError:
        """The error for a server that sends whole files only."""
        return NexusFileError(
            f"{self.name}: the server doesn't support range requests ({what}), and values can't be read where they "
            f"are asked for; copy the whole file with a URL that begins with simplecache::"
        )


def _is_a(fs: Any, kind: tuple[str, str]) -> bool:
    """Whether a file system is of a class that is named by its module, which isn't imported if there is none."""
    module, name = kind
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and isinstance(fs, found)


async def _get_http(file: StoreFile, begin: int, end: int) -> VersionedBytes:
    # Not by the file system's own `_cat_file`, which takes the whole file from a server that ignores the range.
    import aiohttp

    try:
        session = await file.fs.set_session()
        async with session.get(file.fs.encode_url(file.path), **_http_options(file, begin, end)) as response:
            size = _told_size(file, response, begin)
            tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            return VersionedBytes(await response.read() if response.status == 206 else b"", Version(size, tag))
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
        raise _FaultError(words_of(error)) from error


def _http_options(file: StoreFile, begin: int, end: int) -> Mapping[str, Any]:
    import aiohttp

    options = {**file.fs.kwargs, **file.options}
    wanted = {"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
    options["headers"] = {**options.get("headers", {}), **wanted}
    if "timeout" not in file.fs.client_kwargs:
        stalled = aiohttp.ClientTimeout(sock_connect=_STALL_SECONDS, sock_read=_STALL_SECONDS)
        options.setdefault("timeout", stalled)
    return options


def _told_size(file: StoreFile, response: Any, begin: int) -> int:
    """Size of the whole file, where a response is what was asked for."""
    status = f"status {response.status} {response.reason}"
    told = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status in _PASSING_STATUSES:
        raise _FaultError(f"{status} came")
    if response.status in (404, 410):
        raise FileNotFoundError(status)
    if response.status in (401, 403, 407):
        raise PermissionError(status)
    if response.status == 416 and told is not None:  # there is nothing so far behind
        return int(told[3])
    if response.status == 200 and response.content_type == _WEB_PAGE:
        raise NexusFileError(
            f"{file.name}: the server answers {status} with a web page in place of the file, perhaps to have you log "
            "in; open it in a browser, and give the headers or cookies that it asks for in storage_options"
        )
    if response.status == 200:
        raise file.without_ranges(f"it answers {status} with all of the file")
    if response.status != 206:
        raise OSError(f"{status} came")
    if _WITHOUT_SIZE.fullmatch(response.headers.get("Content-Range", "")):
        raise NexusFileError(
            f"{file.name}: the server doesn't tell how large the file is (it answers with the range "
            f"{response.headers['Content-Range']!r}); copy the whole file with a URL that begins with simplecache::"
        )
    if told is None or told[1] is None or int(told[1]) != begin:
        raise file.without_ranges(f"it answers with the range {response.headers.get('Content-Range')!r}")
    return int(told[3])


async def _get_s3(file: StoreFile, begin: int, end: int) -> VersionedBytes:
    bucket, key, version_id = file.fs.split_path(file.path)
    chosen = {**({"VersionId": version_id} if version_id else {}), **file.options}
    wanted = {"Bucket": bucket, "Key": key, "Range": f"bytes={begin}-{end - 1}"}
    # Tried again by boto and s3fs, as the file system's options say.
    try:
        response = await get_s3_object(file.fs, **wanted, **chosen)
    except OSError as error:
        if "IfMatch" in file.options and "pre-condition" in str(error):
            raise expired(file.name) from error
        raise
    async with response["Body"] as body:
        told = _CONTENT_RANGE.fullmatch(response.get("ContentRange", ""))
        if told is None:
            raise file.without_ranges("it answers with all of the file")
        try:
            data = await body.read()
        except Exception as error:  # boto's own, or aiohttp's
            raise _FaultError(words_of(error)) from error
    return VersionedBytes(data, Version(int(told[3]), response.get("ETag", "")))


async def _get_any(file: StoreFile, begin: int, end: int, known: Version | None) -> VersionedBytes:
    try:
        known = await _version_of_any(file) if known is None else known
        end = min(end, known.size)
        return VersionedBytes(await _cat_any(file, begin, end) if begin < end else b"", known)
    except (NexusError, FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError):
        raise
    except OSError as error:
        raise _FaultError(words_of(error)) from error


async def _version_of_any(file: StoreFile) -> Version:
    from fsspec.utils import tokenize

    if file.opened is None:
        info = await file.fs._info(file.path)
        size, tag = info.get("size"), tokenize(info)
    else:  # which is of a version that nobody else may know
        size, tag = file.opened.size, ""
    if size is None:
        raise file.without_ranges("it doesn't tell the size of the file")
    return Version(int(size), tag)


async def _cat_any(file: StoreFile, begin: int, end: int) -> bytes:
    if file.opened is None:
        return bytes(await file.fs._cat_file(file.path, start=begin, end=end))
    _ = file.opened.fs.loop  # an error after a fork, which the one who waits for the parent's threads never gets
    return bytes(await asyncio.to_thread(file.opened._fetch_range, begin, end))
