"""A tree of metadata as HTML: groups that unfold, of bounded size however large the tree is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape
from itertools import islice
from typing import Any

# Rows in all, and members of one group.
_MOST_ROWS = 1_000
_MOST_MEMBERS = 100


def html_of(tree: Mapping[str, Any], in_words: Callable[[Any], str | None]) -> str:
    """The members of a group, each a line, and those that are groups unfolding.

    Parameters
    ----------
    tree
        Members by name; attributes under ``"attrs"``.
    in_words
        Gives a member that is no group in a few words, and None of a group.

    Examples
    --------
    >>> html_of({"distance": 0.2}, str)
    '<ul style="list-style:none"><li><b>distance</b> 0.2</li></ul>'
    """
    return _list(tree, in_words, iter(range(_MOST_ROWS)))


def _list(group: Mapping[str, Any], in_words: Callable[[Any], str | None], rows: Iterator[int]) -> str:
    members = [(name, member) for name, member in group.items() if name != "attrs"]
    lines = [_line(*each, in_words, rows) for _, each in zip(rows, islice(members, _MOST_MEMBERS), strict=False)]
    more = len(members) - len(lines)
    if more:
        lines.append(f"<li>... {more} more</li>")
    return f'<ul style="list-style:none">{"".join(lines)}</ul>'


def _line(name: Any, member: Any, in_words: Callable[[Any], str | None], rows: Iterator[int]) -> str:
    text = in_words(member)
    title = f"<b>{escape(str(name))}</b>"
    if text is not None:
        return f"<li>{title} {escape(text)}</li>"
    attributes = member.get("attrs")
    kind = attributes.get("NX_class", "") if isinstance(attributes, Mapping) else ""
    return f"<li><details><summary>{title} {escape(str(kind))}</summary>{_list(member, in_words, rows)}</details></li>"
