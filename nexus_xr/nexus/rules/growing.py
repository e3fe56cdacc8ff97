"""Data to which another process is adding: as long as all of its fields are by now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from .attributes import names
from .content import GroupContent


def at_common_length(content: GroupContent, signal: str, can_grow: Mapping[str, tuple[bool, ...]]) -> GroupContent:
    """The content of a group with its signal, and what grows with that, at the length that all of them have.

    A writer adds to one field after the other, and a reader that comes in between finds them of different lengths.

    Parameters
    ----------
    content
        A group whose signal is being written.
    signal
        The signal's name.
    can_grow
        For each field that is being written which of its dimensions can grow.
    """
    fields = dict(content.fields)
    for dim, grows in enumerate(can_grow[signal]):
        places = dict(_growing_along(content, can_grow, signal, dim)) if grows else {}
        length = min((fields[name].shape[place] for name, place in places.items()), default=0)
        for name, place in places.items():
            shape = fields[name].shape
            fields[name] = replace(fields[name], shape=(*shape[:place], length, *shape[place + 1 :]))
    return replace(content, fields=fields)


def _growing_along(
    content: GroupContent, can_grow: Mapping[str, tuple[bool, ...]], signal: str, dim: int
) -> Iterator[tuple[str, int]]:
    """What grows along a dimension of the signal, and as which of its own: axes of it, and what is like the signal."""
    shape = content.fields[signal].shape
    listed = names(content.attributes.get("axes"), content.fields)
    for name, field in content.fields.items():
        is_like_signal = field.ndim == len(shape) and _others(field.shape, dim) == _others(shape, dim)
        if is_like_signal and name in can_grow and can_grow[name][dim]:
            yield name, dim
        elif field.ndim == 1 and name in can_grow and can_grow[name][0] and _is_axis_of(content, listed, name, dim):
            yield name, 0


def _others(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return shape[:dim] + shape[dim + 1 :]


def _is_axis_of(content: GroupContent, listed: tuple[str, ...], name: str, dim: int) -> bool:
    declared = content.indices.get(name)
    return declared == (dim,) if declared is not None else listed[dim : dim + 1] == (name,)
