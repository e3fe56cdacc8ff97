"""Paths of objects in a file, one made of another."""

from __future__ import annotations

from collections.abc import Iterator


def path_of_member(group: str, name: str) -> str:
    """The path of a member of a group.

    Examples
    --------
    >>> path_of_member("/", "entry"), path_of_member("/entry", "data")
    ('/entry', '/entry/data')
    """
    return f"{group.rstrip('/')}/{name}"


def parent_of(path: str) -> str:
    """The path of the group that something is in; the root's is its own.

    Examples
    --------
    >>> parent_of("/entry/data"), parent_of("/entry")
    ('/entry', '/')
    """
    return path.rpartition("/")[0] or "/"


def parents_of(path: str) -> Iterator[str]:
    """The paths of the groups above one, the nearest first.

    Examples
    --------
    >>> list(parents_of("/entry/data"))
    ['/entry', '/']
    """
    while path != "/":
        path = parent_of(path)
        yield path
