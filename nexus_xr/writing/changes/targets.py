"""Which group of a file has the variables that something is to be written into."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from nexus_xr.errors import NexusError, listed
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.nexus.rules.variables import Variable
from nexus_xr.nexus.tree.find import absolute
from nexus_xr.opening.select import Described, Opening


def group_with(wanted: Collection[str], entry: str | None, opening: Opening, if_any: Collection[str] = ()) -> Described:
    """The NXdata group that has variables of these names.

    Parameters
    ----------
    wanted
        The names.
    entry
        Name of the entry, or path of the group; None where only one has them.
    opening
        The file.
    if_any
        Names by which groups that have all others are told apart; there may be none that has these.

    Raises
    ------
    NexusError
        There is none, or there are several.
    """
    within = _groups(opening) if entry is None else _groups_within(opening, absolute(entry))
    chosen = _fullest(_holders(within, wanted), if_any)
    if not chosen or any(_datasets(each, wanted) != _datasets(chosen[0], wanted) for each in chosen[1:]):
        raise _not_one(wanted, entry, opening, within, bool(chosen))
    return chosen[0]


def _groups(opening: Opening) -> list[Described]:
    return [opening.describe(found) for found in opening.several() if found.is_group]


def _groups_within(opening: Opening, path: str) -> list[Described]:
    """The groups of data at a path and below it, for which nothing else of the file is looked at."""
    if not isinstance(opening.root.find(path), Group):
        return []
    groups = _groups(replace(opening, options=replace(opening.options, group=path)))
    return [each for each in groups if f"{each.group.path}/".startswith(f"{path}/")]


def _not_one(
    wanted: Collection[str], entry: str | None, opening: Opening, within: Sequence[Described], are_several: bool
) -> NexusError:
    names, file, groups = ", ".join(map(repr, wanted)), opening.file.name, _groups(opening)
    holders = _holders(groups, wanted)
    if not holders:
        if unfit := _unfit(within or groups, wanted):
            return NexusError(
                f"{file}: nothing was written, as this is there, but doesn't fit what it belongs to, as where lengths "
                "of fields differ; where a process was killed that appended, the file is damaged; write it anew:"
                f"\n{listed(f'{each.path} of shape {each.shape}' for each in unfit)}"
            )
        lacks = _lacking(within or groups, wanted)
        return NexusError(f"{file}: no NXdata group has {lacks}; write the whole first, and leave out what it hasn't")
    return NexusError(
        f"{file}: {'several NXdata groups have' if are_several else f'entry={entry!r} has no'} {names}; "
        f"name the entry, or the path of the group, by entry:\n{listed(each.group.path for each in holders)}"
    )


def _holders(groups: Sequence[Described], wanted: Collection[str]) -> list[Described]:
    """Those of some groups that have variables of these names."""
    return [each for each in groups if set(wanted) <= known(each).keys()]


def _fullest(groups: Sequence[Described], names: Collection[str]) -> list[Described]:
    """Those of some groups that have most of these names."""
    counts = [len(known(each).keys() & set(names)) for each in groups]
    return [each for each, count in zip(groups, counts, strict=True) if count == max(counts)]


def _lacking(groups: Sequence[Described], wanted: Collection[str]) -> str:
    """What isn't there of the names, as the group has them that has most of them."""
    best = next(iter(_fullest(groups, wanted)), None)
    absent = [name for name in wanted if best is None or name not in known(best)]
    names = ", ".join(map(repr, absent))
    return names if best is None or len(absent) == len(wanted) else f"{names} beside what {best.group.path} has"


def _unfit(groups: Sequence[Described], wanted: Collection[str]) -> list[Dataset]:
    """Datasets of the names that aren't variables, in the group that has most of the others."""
    best = next(iter(_fullest(groups, wanted)), None)
    if best is None or not known(best).keys() & set(wanted):
        return []
    members = [best.group.find(name) for name in wanted if name not in known(best)]
    return [member for member in members if isinstance(member, Dataset)]


def known(described: Described) -> dict[str, Variable]:
    """The variables of a group, by name."""
    return {each.name: each for each in described.data.variables}


def _datasets(described: Described, wanted: Collection[str]) -> list[Any]:
    """What tells the datasets of some variables from others, by whatever names these are reached."""
    members = (described.group.find(known(described)[name].field) for name in wanted)
    return [member.address if isinstance(member, Dataset) else None for member in members]
