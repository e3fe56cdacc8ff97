"""Data to which another process is adding: as long as all of its fields are by now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nexus_xr.diagnostics import Diagnostics

from .attributes import names
from .content import GroupContent
from .signal import find_signal


def at_common_length(content: GroupContent) -> GroupContent:
    """The content of a group with its signal, and what grows with that, at the length that all of them have.

    A writer adds to one field after the other, and a reader that comes in between finds them of different lengths.
    """
    is_growing = any(any(field.can_grow) for field in content.fields.values())
    signal = find_signal(content, Diagnostics()) if is_growing else None
    return content if signal is None else _along_signal(content, signal)


def _along_signal(content: GroupContent, signal: str) -> GroupContent:
    fields = dict(content.fields)
    for dim, grows in enumerate(fields[signal].can_grow):
        places = dict(_growing_along(content, signal, dim)) if grows else {}
        length = min((fields[name].shape[place] for name, place in places.items()), default=0)
        for name, place in places.items():
            shape = fields[name].shape
            fields[name] = replace(fields[name], shape=(*shape[:place], length, *shape[place + 1 :]))
    return replace(content, fields=fields)


def _growing_along(content: GroupContent, signal: str, dim: int) -> Iterator[tuple[str, int]]:
    """What grows along a dimension of the signal, and as which of its own: axes of it, and what is like the signal."""
    shape = content.fields[signal].shape
    listed = names(content.attributes.get("axes"), content.fields)
    for name, field in content.fields.items():
        is_like_signal = field.ndim == len(shape) and _others(field.shape, dim) == _others(shape, dim)
        if is_like_signal and any(field.can_grow[dim : dim + 1]):
            yield name, dim
        elif field.ndim == 1 and any(field.can_grow) and _is_axis_of(content, listed, name, dim):
            yield name, 0


def _others(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return shape[:dim] + shape[dim + 1 :]


def _is_axis_of(content: GroupContent, listed: tuple[str, ...], name: str, dim: int) -> bool:
    declared = content.indices.get(name)
    return declared == (dim,) if declared is not None else listed[dim : dim + 1] == (name,)
