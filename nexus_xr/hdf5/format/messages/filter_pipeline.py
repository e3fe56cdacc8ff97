"""The filters that chunks went through when they were written.

Source: the HDF5 file format specification, section IV.A.2.l (the filter pipeline message).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import Fields

_WHAT = "a filter pipeline"
_MOST_PIPELINES = 1024
_MOST_FILTERS = 32
# From this number on, filters have a name in version 2, too.
_FIRST_NAMED = 256
# The names of those that come with HDF5, for files that leave them out.
NAMES = {1: "deflate", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset"}
_PAD = 8


class FilterStep(NamedTuple):
    """A filter, whose first flag says that it may have been left out."""

    id: int
    name: bytes
    flags: int
    options: tuple[int, ...]


@lru_cache(_MOST_PIPELINES)
def parse_filter_pipeline(content: bytes) -> tuple[FilterStep, ...]:
    """The filters that a message describes, in the order in which they were gone through.

    Raises
    ------
    FormatError
        There are too many, their names aren't padded, or the message ends before they do.

    Examples
    --------
    >>> parse_filter_pipeline(bytes((2, 1, 1, 0, 0, 0, 1, 0, 9, 0, 0, 0)))
    (FilterStep(id=1, name=b'', flags=0, options=(9,)),)
    """
    fields = Fields(content, _WHAT)
    version, count = fields.number(1), fields.number(1)
    if version not in (1, 2) or count > _MOST_FILTERS:
        raise FormatError(f"{_WHAT} has version {version} and {count} filters")
    is_padded = version == 1
    if is_padded:
        fields.take(6)
    return tuple(_step(fields, is_padded) for _ in range(count))


def unnamed_filters(content: bytes) -> tuple[int, ...]:
    """The numbers of filters that a message leaves the names out of, though its version has room for them.

    Examples
    --------
    >>> unnamed_filters(bytes((1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0)))
    (1,)
    >>> unnamed_filters(bytes((2, 1, 1, 0, 0, 0, 1, 0, 9, 0, 0, 0)))
    ()
    """
    steps = parse_filter_pipeline(content)
    return tuple(step.id for step in steps if not step.name and (content[0] == 1 or step.id >= _FIRST_NAMED))


def _step(fields: Fields, is_padded: bool) -> FilterStep:
    number = fields.number(2)
    name_size = fields.number(2) if is_padded or number >= _FIRST_NAMED else 0
    if is_padded and name_size % _PAD:
        raise FormatError(f"{_WHAT} has a name that isn't padded")
    flags, count = fields.number(2), fields.number(2)
    name = fields.take(name_size).partition(b"\0")[0]
    options = tuple(fields.number(4) for _ in range(count))
    if is_padded and count % 2:
        fields.take(4)
    return FilterStep(number, name, flags, options)
