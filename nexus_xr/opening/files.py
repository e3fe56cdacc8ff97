"""Several files at once: which files a pattern or a list names, and what their trees have in common."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nexus_xr.errors import NexusFileError, NexusFileNotFoundError
from nexus_xr.hdf5.io.naming.url_path import is_url, said_of, shown, words_of
from nexus_xr.hdf5.io.reference import FileLike, as_file_like
from nexus_xr.nexus.tree.metadata import common_tree

_DIGITS = re.compile(r"(\d+)")


def files_of(where: Any, storage_options: Mapping[str, Any] | None = None) -> list[FileLike]:
    """The files that are meant: those of a list in its order, those that match a pattern in natural order, or the one.

    Parameters
    ----------
    where
        A path, URL, open binary file or the bytes of one; a path or URL with wildcards; or a list of the former.
        What is there under a name with wildcards in it is a file of that name.
    storage_options
        Options for the fsspec file system of a URL.

    Raises
    ------
    NexusFileError
        Nothing matches, or the list is empty.
    """
    if _is_list(where):
        files = [as_file_like(each) for each in where]
        if not files:
            raise NexusFileError("the list of files to open is empty")
        return files
    source = as_file_like(where)
    if not isinstance(source, str | os.PathLike):
        return [source]
    name = os.path.expanduser(os.fspath(source))
    if is_url(name) and not os.path.exists(name):
        # "?" and "[" may be parts of a URL.
        found = _matching_urls(name, storage_options) if "*" in name else [name]
    else:
        found = glob.glob(name, recursive=True) if glob.has_magic(name) and not os.path.exists(name) else [name]
    if not found:
        raise NexusFileNotFoundError(f"{shown(name)}: no file matches this pattern; check the folder and the wildcards")
    return [*sorted(found, key=natural_order)]


def _is_list(where: Any) -> bool:
    is_bytes_or_file = isinstance(where, str | bytes | bytearray | memoryview) or hasattr(where, "seek")
    return isinstance(where, Iterable) and not is_bytes_or_file


def _matching_urls(pattern: str, storage_options: Mapping[str, Any] | None) -> list[str]:
    import fsspec

    if "::" in pattern:
        raise NexusFileError(f"{shown(pattern)}: a URL of several protocols has no wildcards; name the files in a list")
    try:
        system, path = fsspec.url_to_fs(pattern, **dict(storage_options or {}))
        return [system.unstrip_protocol(found) for found in system.glob(path)]
    except Exception as error:  # each file system raises its own
        said = said_of(pattern, words_of(error))
        raise NexusFileError(f"{shown(pattern)}: the files that match can't be listed ({said})") from error


def natural_order(name: str) -> list[Any]:
    """A key that sorts names by the numbers in them, whether these are padded or not.

    Examples
    --------
    >>> sorted(["scan_10.nxs", "scan_9.nxs", "scan_009b.nxs"], key=natural_order)
    ['scan_9.nxs', 'scan_009b.nxs', 'scan_10.nxs']
    """
    # Text and digits in turn, beginning with text, so that like is compared with like.
    parts: list[Any] = _DIGITS.split(name)
    parts[1::2] = map(int, parts[1::2])
    return parts


def common_attrs(attrs: Sequence[Mapping[str, Any]], context: Any = None) -> dict[str, Any]:
    """What several trees agree on, for the argument `combine_attrs` of xarray's functions.

    xarray's own ``"drop_conflicts"`` leaves a group out as a whole if anything in it differs; this leaves out only
    the fields and attributes that differ, or that not all of them have.

    Parameters
    ----------
    attrs
        The ``attrs`` of each object.
    context
        What xarray tells of the operation; not used.

    Examples
    --------
    >>> first = {"motors": {"x": {"value": 1.0}, "y": {"value": 5.0}}}
    >>> second = {"motors": {"x": {"value": 2.0}, "y": {"value": 5.0}}}
    >>> common_attrs([first, second])
    {'motors': {'y': {'value': 5.0}}}
    """
    common: Mapping[str, Any] = attrs[0] if attrs else {}
    for other in attrs[1:]:
        common = common_tree(common, other)
    return dict(common)
