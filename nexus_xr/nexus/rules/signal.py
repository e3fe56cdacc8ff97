"""Which field of a group is the signal, and which are auxiliary signals.

Sources: versions 3, 2 and 1 of finding the plottable data, in the NeXus manual's chapter "Rules for Storing Data
Items".
"""

from __future__ import annotations

from collections.abc import Iterator

from nexus_xr.errors import some

from .attributes import integers, names
from .content import GroupContent, why_no_field
from .reserved import ERRORS, INDICES, OFFSET, SCALING_FACTOR, SIGNAL_ERRORS


def find_signal(content: GroupContent, problems: list[str]) -> str | None:
    """Name of the signal.

    Version 3: the field that the group's ``@signal`` names. Versions 2 and 1: the field with ``@signal=1``, or with
    the lowest number where none has that one. Where a group declares none: its field ``data``, or the only field that
    is no axis.
    """
    if declares_signal(content):
        return _declared_signal(content, problems)
    return _undeclared_signal(content, problems)


def declares_signal(content: GroupContent) -> bool:
    """Whether a group says what its signal is, be it there or not."""
    return bool(content.signal_numbers or _signal_names(content))


def _signal_names(content: GroupContent) -> tuple[str, ...]:
    """The names in ``@signal`` of the group; a number there is meant for a field, and is not the name of one."""
    value = content.attributes.get("signal")
    listed = names(value, content.fields)
    is_number = integers(value) is not None and not any(name in content.fields for name in listed)
    return () if is_number else listed


def _declared_signal(content: GroupContent, problems: list[str]) -> str | None:
    declared = _signal_names(content)
    for name in declared:
        if name in content.fields:
            return name
    if declared:
        problems.append(f"{content.path}: @signal names {declared[0]!r}, which {why_no_field(content, declared[0])}")
    numbers = content.signal_numbers
    first = min(numbers.values(), key=lambda number: (number < 1, number), default=1)
    marked = [name for name, number in numbers.items() if number == first]
    if len(marked) > 1:
        problems.append(f"{content.path}: several fields have @signal={first} ({some(marked)}); took the first")
    elif first != 1 and len(numbers) > 1:
        problems.append(f"{content.path}: no field has @signal=1; took {marked[0]!r} with @signal={first}")
    return marked[0] if marked else None


def _undeclared_signal(content: GroupContent, problems: list[str]) -> str | None:
    where = f"{content.path}: no signal is declared"
    if "data" in content.fields:
        problems.append(f"{where}; took the field 'data'")
        return "data"
    unreadable = [f"{name!r}, which {content.others[name]}" for name in content.unreadable]
    supporting = set(_supporting_fields(content))
    candidates = [name for name in content.fields if name not in supporting]
    if "data" in content.unreadable or (unreadable and not candidates):
        problems.append(f"{where}, and it may be {some(unreadable)}")
        return None
    candidates = candidates or list(content.fields)
    if len(candidates) == 1:
        besides = f", beside {some(unreadable)}" if unreadable else ""
        problems.append(f"{where}; took the only candidate {candidates[0]!r}{besides}")
        return candidates[0]
    if candidates:
        problems.append(f"{where}, and it could be any of {', '.join(candidates[:10])}; choose one with dataset_path")
    else:
        problems.append(f"{where}, and there is no field that could be it")
    return None


def _supporting_fields(content: GroupContent) -> Iterator[str]:
    """Fields that are said or named to belong to another field."""
    yield from names(content.attributes.get("axes"), content.fields)
    for name, member in content.fields.items():
        if name + INDICES in content.attributes or "axis" in member.attributes or name in (SIGNAL_ERRORS, "title"):
            yield name
        yield from (name + suffix for suffix in (ERRORS, SCALING_FACTOR, OFFSET))


def find_auxiliary_signals(content: GroupContent, signal: str, problems: list[str]) -> list[str]:
    """Version 3: the fields that ``@auxiliary_signals`` names. Before: other fields with a number in ``@signal``."""
    listed = names(content.attributes.get("auxiliary_signals"), content.fields)
    problems += [
        f"{content.path}: @auxiliary_signals names {name!r}, which {why_no_field(content, name)}"
        for name in listed
        if name not in content.fields and name != "."
    ]
    behind_signal = names(content.attributes.get("signal"), content.fields)
    numbered = sorted((number, name) for name, number in content.signal_numbers.items())
    named = (*listed, *behind_signal, *(name for number, name in numbered if number > 0))
    return [name for name in dict.fromkeys(named) if name in content.fields and name != signal]
