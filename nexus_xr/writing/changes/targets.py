"""Which group of a file has the variables that something is to be written into."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from nexus_xr.errors import NexusError, listed
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.nexus.rules.variables import Variable
from nexus_xr.nexus.tree.find import absolute
from nexus_xr.opening.select import Described, Opening


def group_with(wanted: Collection[str], entry: str | None, opening: Opening) -> Described:
    """The NXdata group that has variables of these names.

    Parameters
    ----------
    wanted
        The names.
    entry
        Name of the entry, or path of the group; None where only one has them.
    opening
        The file.

    Raises
    ------
    NexusError
        There is none, or there are several.
    """
    holders = list(_holders(wanted, opening))
    chosen = [each for each in holders if entry is None or f"{each.group.path}/".startswith(f"{absolute(entry)}/")]
    names, file = ", ".join(map(repr, wanted)), opening.file.name
    if not holders:
        raise NexusError(f"{file}: no NXdata group has {names}; write the whole first, and leave out what it hasn't")
    if not chosen or any(_datasets(each, wanted) != _datasets(chosen[0], wanted) for each in chosen[1:]):
        raise NexusError(
            f"{file}: {'several NXdata groups have' if chosen else f'entry={entry!r} has no'} {names}; "
            f"name the entry, or the path of the group, by entry:\n{listed(each.group.path for each in holders)}"
        )
    return chosen[0]


def _holders(wanted: Collection[str], opening: Opening) -> Iterator[Described]:
    """The NXdata groups that have all these variables."""
    for found in opening.several():
        if found.is_group and set(wanted) <= known(described := opening.describe(found)).keys():
            yield described


def known(described: Described) -> dict[str, Variable]:
    """The variables of a group, by name."""
    return {each.name: each for each in described.data.variables}


def _datasets(described: Described, wanted: Collection[str]) -> list[Any]:
    """What tells the datasets of some variables from others, by whatever names these are reached."""
    members = (described.group.find(known(described)[name].field) for name in wanted)
    return [member.address if isinstance(member, Dataset) else None for member in members]
