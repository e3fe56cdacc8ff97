"""Numbers, sizes and shapes in a few characters."""

from __future__ import annotations

from collections.abc import Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size_in_words(nbytes: int) -> str:
    """A number of bytes.

    Examples
    --------
    >>> size_in_words(999), size_in_words(65648), size_in_words(70637320704)
    ('999 B', '64.1 KiB', '65.8 GiB')
    """
    size, unit = float(nbytes), 0
    while size >= 1000 and unit + 1 < len(_UNITS):
        size, unit = size / 1024, unit + 1
    return f"{nbytes} B" if not unit else f"{size:.3g} {_UNITS[unit]}"


def shape_in_words(shape: Sequence[int]) -> str:
    """A shape.

    Examples
    --------
    >>> shape_in_words((10, 20)), shape_in_words(())
    ('10 × 20', 'scalar')
    """
    return " × ".join(map(str, shape)) or "scalar"


def dims_in_words(dims: Sequence[str], shape: Sequence[int]) -> str:
    """Names of dimensions with their lengths.

    Examples
    --------
    >>> dims_in_words(("y", "x"), (10, 20))
    'y 10 × x 20'
    """
    return " × ".join(f"{dim} {length}" for dim, length in zip(dims, shape, strict=True)) or "scalar"
