"""Which field of a group is the signal, and which are auxiliary signals.

Sources: versions 3, 2 and 1 of finding the plottable data, in the NeXus manual's chapter "Rules for Storing Data
Items".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import some

from .attributes import integers, names
from .content import GroupContent, why_no_field


def find_signal(content: GroupContent, diagnostics: Diagnostics) -> str | None:
    """Name of the signal.

    Version 3: the field that the group's ``@signal`` names. Versions 2 and 1: the field with ``@signal=1``, or with
    the lowest number where none has that one. Where a group declares none: its field ``data``, or the only field that
    is no axis.
    """
    declared = _signal_names(content)
    if declared or content.signal_numbers:
        return _declared_signal(content, declared, diagnostics)
    return _undeclared_signal(content, diagnostics)


def declares_signal(content: GroupContent) -> bool:
    """Whether a group says what its signal is, be it there or not."""
    return bool(content.signal_numbers or _signal_names(content))


def _signal_names(content: GroupContent) -> tuple[str, ...]:
    """The names in ``@signal`` of the group; a number there is meant for a field, and is not the name of one."""
    value = content.attributes.get("signal")
    listed = names(value, content.fields)
    is_number = integers(value) is not None and not any(name in content.fields for name in listed)
    return () if is_number else listed


def _declared_signal(content: GroupContent, declared: Sequence[str], diagnostics: Diagnostics) -> str | None:
    for name in declared:
        if name in content.fields:
            return name
    if declared:
        code = Code.SIGNAL_IS_GROUP if content.has_group(declared[0]) else Code.SIGNAL_MISSING
        reason = why_no_field(content, declared[0])
        diagnostics.add(code, content.path, f"@signal names {declared[0]!r}, which {reason}")
    numbers = content.signal_numbers
    first = min(numbers.values(), key=lambda number: (number < 1, number), default=1)
    marked = [name for name, number in numbers.items() if number == first]
    if len(marked) > 1:
        message = f"several fields have @signal={first} ({some(marked)}); took the first"
        diagnostics.add(Code.SIGNAL_SEVERAL, content.path, message)
    elif first != 1 and len(numbers) > 1:
        message = f"no field has @signal=1; took {marked[0]!r} with @signal={first}"
        diagnostics.add(Code.SIGNAL_NOT_FIRST, content.path, message)
    return marked[0] if marked else None


def _undeclared_signal(content: GroupContent, diagnostics: Diagnostics) -> str | None:
    def tell(code: Code, what_came_of_it: str) -> None:
        diagnostics.add(code, content.path, f"no signal is declared{what_came_of_it}")

    if "data" in content.fields:
        tell(Code.SIGNAL_UNDECLARED, "; took the field 'data'")
        return "data"
    unreadable = [f"{name!r}, which {content.others[name]}" for name in content.unreadable]
    candidates = content.signal_candidates
    if "data" in content.unreadable or (unreadable and not candidates):
        tell(Code.SIGNAL_UNREADABLE, f", and it may be {some(unreadable)}")
        return None
    candidates = candidates or tuple(content.fields)
    if len(candidates) == 1:
        besides = f", beside {some(unreadable)}" if unreadable else ""
        tell(Code.SIGNAL_UNDECLARED, f"; took the only candidate {candidates[0]!r}{besides}")
        return candidates[0]
    if candidates:
        could_be = ", ".join(candidates[:10])
        tell(Code.SIGNAL_AMBIGUOUS, f", and it could be any of {could_be}; choose one with dataset_path")
    else:
        tell(Code.SIGNAL_ABSENT, ", and there is no field that could be it")
    return None


def find_auxiliary_signals(content: GroupContent, signal: str, diagnostics: Diagnostics) -> list[str]:
    """Version 3: the fields that ``@auxiliary_signals`` names. Before: other fields with a number in ``@signal``."""
    listed = content.auxiliary_signals
    for name in listed:
        if name not in content.fields and name != ".":
            message = f"@auxiliary_signals names {name!r}, which {why_no_field(content, name)}"
            diagnostics.add(Code.AUXILIARY_SIGNAL_MISSING, content.path, message)
    behind_signal = names(content.attributes.get("signal"), content.fields)
    numbered = sorted((number, name) for name, number in content.signal_numbers.items())
    named = (*listed, *behind_signal, *(name for number, name in numbered if number > 0))
    return [name for name in dict.fromkeys(named) if name in content.fields and name != signal]


def find_ancillary(content: GroupContent, signal: str, auxiliary: Collection[str]) -> list[str]:
    """The fields that the group names as data beside its signals."""
    return [name for name in content.recorded_data if name != signal and name not in auxiliary]
