"""What a class of groups, or the definition that an entry follows, means to who looks for data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nexus_xr.nexus.rules.content import GroupContent


def _as_it_is(content: GroupContent) -> GroupContent:
    return content


@dataclass(frozen=True)
class GroupClass:
    """How groups of a class are found, offered and described.

    Parameters
    ----------
    name
        The class.
    holds_data
        Whether its groups are what plots show, wherever they are.
    is_in_tree
        Whether its groups are in the metadata tree, too.
    is_instrument
        Whether its groups measure, so that the only one of a file without other data is meant.
    as_data
        Its groups as the data rules know them.
    """

    name: str
    holds_data: bool = False
    is_in_tree: bool = True
    is_instrument: bool = False
    as_data: Callable[[GroupContent], GroupContent] = _as_it_is


@dataclass(frozen=True)
class Definition:
    """How groups of an entry that follows a definition are described.

    Parameters
    ----------
    name
        The definition, as the entry's field of this name has it, in letters of either case.
    concerns
        Whether it says anything of a group like this; the entry is looked at only if so.
    as_data
        Such groups as the data rules know them.
    """

    name: str
    concerns: Callable[[GroupContent], bool]
    as_data: Callable[[GroupContent], GroupContent]

    def is_meant_by(self, said: str | None) -> bool:
        """Whether an entry that says so follows it; what writes NXspe calls it ``NXSPE``."""
        return said is not None and said.casefold() == self.name.casefold()
