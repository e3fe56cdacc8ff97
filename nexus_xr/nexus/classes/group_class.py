"""What a class of groups means to who looks for data."""

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
