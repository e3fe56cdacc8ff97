"""Detector segments: a stack of images that is stored in several datasets, one behind the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import some
from nexus_xr.hdf5.reading.virtual_datasets.element_types import may_become

from .content import Field, GroupContent, free_name, why_no_field
from .signal import find_auxiliary_signals, find_signal

_SEGMENT = re.compile(r"(?P<stem>.+)_(?P<number>\d{3,18})", re.ASCII)


def join_segments(content: GroupContent, diagnostics: Diagnostics) -> GroupContent:
    """The group with a signal that is stored in segments as one field, which is then the signal.

    Source: the master files of DECTRIS detectors, whose /entry/data has links data_000001, data_000002, ... to stacks
    of images that follow each other.

    Segments are fields ``<stem>_<digits>``, of three digits to 18, three dimensions or more, and alike but for the
    first one, and for the order of bytes, which is the machine's where theirs differ. They are joined in the order of
    their numbers, under their stem, unless another field is the signal or some are signals of their own. Those that are
    missing are left out, as nothing tells how long they are.
    """
    unheard = Diagnostics()
    signal = find_signal(content, unheard)
    is_of_its_own = signal is not None and not _SEGMENT.fullmatch(signal)
    if is_of_its_own or find_auxiliary_signals(content, signal or "", unheard):
        return content
    stems: dict[str, dict[int, str]] = {}
    for name in (*content.fields, *content.others):
        if found := _SEGMENT.fullmatch(name):
            stems.setdefault(found["stem"], {})[int(found["number"])] = name
    for stem, by_number in stems.items():
        numbered = {number: by_number[number] for number in sorted(by_number)}
        segments = [name for name in numbered.values() if name in content.fields]
        if len(numbered) > 1 and segments and signal in (None, *segments) and _is_stack(content.fields[segments[0]]):
            return _joined(content, stem, numbered, segments, diagnostics)
    return content


def has_segments(names: Iterable[str]) -> bool:
    """Whether several of these names are those of segments of one stack.

    Examples
    --------
    >>> has_segments(["data_000001", "data_000002"]), has_segments(["data_000001", "flat_000001"])
    (True, False)
    """
    stems = [found["stem"] for name in names if (found := _SEGMENT.fullmatch(name))]
    return len(stems) > len(set(stems))


def _is_stack(field: Field) -> bool:
    return field.is_numeric and field.ndim >= 3


def _joined(
    content: GroupContent, stem: str, numbered: Mapping[int, str], segments: Sequence[str], diagnostics: Diagnostics
) -> GroupContent:
    first = content.fields[segments[0]]
    fields = {name: content.fields[name] for name in segments}
    alike = {name: field for name, field in fields.items() if _are_alike(field, first)}
    are_of_one_type = all(field.dtype == first.dtype for field in alike.values())
    dtype = first.dtype if are_of_one_type else first.dtype.newbyteorder("=")
    name = free_name(stem, content)
    gone = [f"{each} ({why_no_field(content, each)})" for each in numbered.values() if each not in fields]
    expected = f"where {segments[0]} has {_images(first)}"
    gone += [f"{each} (has images of {_images(fields[each])}, {expected})" for each in fields if each not in alike]
    digits = len(numbered[min(numbered)]) - len(stem) - 1
    between = (dict.fromkeys((a + 1, b - 1)) for a, b in pairwise(numbered) if b > a + 1)
    gone += [" to ".join(f"{stem}_{number:0{digits}}" for number in ends) for ends in between]
    if gone:
        message = f"of the parts of {name!r} these are left out: {some(gone)}"
        diagnostics.add(Code.SEGMENTS_LEFT_OUT, content.path, message)
    shape = (sum(field.shape[0] for field in alike.values()), *first.shape[1:])
    common = dict(first.attributes)
    for field in alike.values():
        common = {key: value for key, value in common.items() if _is_same(field.attributes.get(key), value)}
    common.pop("signal", None)
    kept = {other: field for other, field in content.fields.items() if other not in alike}
    joined = {name: Field(shape, dtype, common, tuple(alike)), **kept}
    return replace(content, fields=joined, attributes={**content.attributes, "signal": name})


def _are_alike(field: Field, other: Field) -> bool:
    """Whether fields have images of one shape and type, perhaps in another order of bytes."""
    native = other.dtype.newbyteorder("=")
    is_swapped = field.dtype.newbyteorder("=") == native and all(may_become(native, f.dtype) for f in (field, other))
    return field.shape[1:] == other.shape[1:] and (field.dtype == other.dtype or is_swapped)


def _images(field: Field) -> str:
    return f"shape {field.shape[1:]} and type {field.dtype.str}"


def _is_same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(np.array_equal(a, b))
