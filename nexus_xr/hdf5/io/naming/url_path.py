"""URLs as the paths that they are: which are below others, and which a file behind one names.

Sources: `H5Lcreate_external` and `H5Pset_virtual` in the HDF5 reference manual; RFC 3986, section 5.2 (relative
resolution).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

_PASSWORD = re.compile(r"(://[^/?#:@]*):[^/?#]*@")
_ASKED = re.compile(r"^(https?://[^?]*)\?.*", re.DOTALL)
# A URL in the words of others.
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+")


def is_url(where: str) -> bool:
    r"""Whether a name is a URL with a protocol (``s3://``, ``simplecache::s3://``), and not a local path.

    Examples
    --------
    >>> is_url("s3://bucket/scan.nxs"), is_url("/data/scan::1.nxs"), is_url("C:\\data\\scan.nxs")
    (True, False, False)
    """
    return "://" in where


def shown(url: str) -> str:
    """A URL as messages name it: without a password, and without what stands behind "?", which may be a signature.

    Anything else is as it is.

    Examples
    --------
    >>> shown("https://me:secret@facility.org/scan.nxs?X-Amz-Signature=secret")
    'https://me:***@facility.org/scan.nxs?***'
    >>> shown("s3://bucket/scan.nxs"), shown("/data/me:you@home?.nxs")
    ('s3://bucket/scan.nxs', '/data/me:you@home?.nxs')
    """
    if not is_url(url):
        return url
    return "::".join(_ASKED.sub(r"\1?***", _PASSWORD.sub(r"\1:***@", each)) for each in url.split("::"))


def said_of(url: str, error: object) -> str:
    """What an error of others says of a URL, or of what it led to, with nothing in it that isn't to be shown.

    Examples
    --------
    >>> said_of("https://a.org/b?key=1", "400, message='Bad Request', url='https://a.org/b?key=%31'")
    "400, message='Bad Request', url='https://a.org/b?***'"
    """
    words = str(error).replace(url, shown(url))
    return _URL.sub(lambda found: shown(found[0]), words)


def words_of(error: BaseException) -> str:
    """What an error says, and of which kind it is.

    Examples
    --------
    >>> words_of(KeyError("scan")), words_of(TimeoutError())
    ("KeyError: 'scan'", 'TimeoutError')
    """
    return f"{type(error).__name__}: {error}".rstrip(": ")


class UrlPath(NamedTuple):
    """A URL whose path is apart from what is before it, and from other URLs that are chained behind it.

    Examples
    --------
    >>> UrlPath.of("zip://raw/scan.nxs::https://facility.org/all.zip")
    UrlPath(before='zip://', path='raw/scan.nxs', behind='::https://facility.org/all.zip')
    """

    before: str
    path: str
    behind: str

    @classmethod
    def of(cls, url: str) -> UrlPath:
        """The parts of a URL; of one for a web server, without what is asked for there."""
        chained = url.split("::")
        number = next((number for number, each in enumerate(chained) if "://" in each), 0)
        protocol, slashes, path = chained[number].rpartition("://")
        if protocol.startswith("http"):
            path = re.split("[?#]", path, maxsplit=1)[0]
        behind = "".join(f"::{each}" for each in chained[number + 1 :])
        return cls("::".join([*chained[:number], protocol + slashes]), path.rstrip("/"), behind)

    def __str__(self) -> str:
        return self.before + self.path + self.behind

    @property
    def folder(self) -> UrlPath:
        return self._replace(path=self.path.rpartition("/")[0])

    @property
    def _is_quoted(self) -> bool:
        return "http" in self.before

    @property
    def _meant(self) -> str:
        """The path with its characters as they are meant."""
        return unquote(self.path) if self._is_quoted else self.path

    def holds(self, other: UrlPath) -> bool:
        """Whether another is at this one or below it."""
        above, below = (_resolved([], each._meant, least=1) for each in (self, other))  # nothing is above a host
        is_alike = (self.before, self.behind) == (other.before, other.behind)
        return is_alike and below[: len(above)] == above

    @property
    def _root(self) -> list[str]:
        """What no name leads out of: the host of a web server, with its port, or the beginning of an absolute path."""
        first, slash, _ = self.path.partition("/")
        return [first] if self._is_quoted or (slash and not first) else []

    def _quoted(self, name: str) -> str:
        return "/".join(map(quote, name.split("/"))) if self._is_quoted else name

    def joined(self, name: str) -> UrlPath:
        """What a relative name stands for in this folder."""
        parts = self.path.split("/") if self.path else []
        return self._replace(path="/".join(_resolved(parts, self._quoted(name), least=len(self._root))))

    @property
    def resolved(self) -> UrlPath:
        """The same without what leads up and down again."""
        root = self._root
        path = self.path.partition("/")[2] if root else self.path
        meant = self._quoted(unquote(path) if self._is_quoted else path)
        return self._replace(path="/".join(_resolved(root, meant, least=len(root))))


def _resolved(parts: list[str], path: str, least: int = 0) -> list[str]:
    """Where a relative path leads from a folder; not above so many of its parts."""
    for part in path.split("/"):
        if part == "..":
            parts = parts[: max(least, len(parts) - 1)]
        elif part not in ("", "."):
            parts = [*parts, part]
    return parts


def linked_url(name: str, holder: str) -> str:
    """The URL of a file that another names.

    Of an absolute path, which is one on another machine, the last part counts, as it does for libhdf5 where there is
    nothing at such a path.

    Parameters
    ----------
    name
        The name as it is stored.
    holder
        URL of the file that it is in.

    Examples
    --------
    >>> linked_url("raw/a.h5", "s3://bucket/scans/scan.nxs")
    's3://bucket/scans/raw/a.h5'
    >>> linked_url("/home/user/a.h5", "s3://bucket/scans/scan.nxs")
    's3://bucket/scans/a.h5'
    """
    if is_url(name):
        return str(UrlPath.of(name).resolved)
    return str(UrlPath.of(holder).folder.joined(name.rpartition("/")[2] if name.startswith("/") else name))
