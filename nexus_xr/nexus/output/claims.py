"""What attributes that a field brings from elsewhere claim of its place in a group, and which of that is true there.

What isn't is kept under another name, under which nobody takes it for true.

Sources: versions 1 and 2 of the data rules (``@signal``, ``@axes``, ``@axis``, ``@primary``), the attributes
``interpretation`` and ``target`` of the NeXus manual, and ``uncertainties`` and ``resolutions`` of NXcanSAS.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nexus_xr.hdf5.objects.dimension_scales import DIMENSION_LABELS
from nexus_xr.nexus.rules.attributes import integers, names, text
from nexus_xr.nexus.rules.interpretation import fits_dims
from nexus_xr.nexus.rules.reserved import NAMING, ORIGINAL

Attributes = Mapping[str, Any]


def true_of_data(
    attributes: Attributes,
    dims: Sequence[str],
    is_signal: bool,
    spans: Mapping[str, Sequence[str]],
    members: Collection[str] = (),
) -> Attributes:
    """The attributes of a signal, or of another field of data, with what isn't true of it under other names.

    Parameters
    ----------
    attributes
        All that it has.
    dims
        Names of its dimensions.
    is_signal
        Whether it is the signal of its group.
    spans
        The dimensions of each coordinate of the group.
    members
        Names of all fields of the group.

    Examples
    --------
    >>> true_of_data({"signal": 1, "axes": "y:x", "units": "s"}, ["x"], True, {"x": ["x"]})
    {'signal': 1, 'units': 's', 'original_axes': 'y:x'}
    """
    false = _naming_nothing(attributes, members)
    number = integers(attributes.get("signal"))
    if number is not None and (number == (1,)) != is_signal:
        false.add("signal")
    listed = names(attributes.get("axes"), spans)
    parts = (dims[: len(listed)], dims[max(0, len(dims) - len(listed)) :])  # fewer may be the first or the last ones'
    if not any(_are_axes(listed, part, spans) for part in parts):
        false.add("axes")
    if not fits_dims(attributes, len(dims)):
        false.add("interpretation")
    if integers(attributes.get("axis")) is not None:  # by which it would be a coordinate
        false |= {"axis", "primary"}
    return _with_false_kept(attributes, false)


def _are_axes(listed: Sequence[str], dims: Sequence[str], spans: Mapping[str, Sequence[str]]) -> bool:
    return len(listed) == len(dims) and all(
        name == "." or dim in spans.get(name, ()) for name, dim in zip(listed, dims, strict=True)
    )


def true_of_coordinates(
    coordinates: Mapping[str, tuple[Attributes, Sequence[str]]], dims: Sequence[str], members: Collection[str]
) -> dict[str, Attributes]:
    """The attributes of the coordinates of a signal, each given with its dimensions, with what isn't true under other
    names.

    Numbers of dimensions count from the slowest or from the fastest one, for all of them alike.
    """
    numbered = {
        name: (numbers, [dims.index(dim) for dim in spanned if dim in dims])
        for name, (attributes, spanned) in coordinates.items()
        if (numbers := integers(attributes.get("axis"))) is not None
    }
    rank = len(dims)
    from_slowest = all(sorted(numbers) == [at + 1 for at in sorted(places)] for numbers, places in numbered.values())
    from_fastest = all(sorted(numbers) == sorted(rank - at for at in places) for numbers, places in numbered.values())
    untrue = {"signal", "axes"} | (set() if from_slowest or from_fastest else {"axis", "primary"})
    return {
        name: _with_false_kept(attributes, untrue | _naming_nothing(attributes, members))
        for name, (attributes, _) in coordinates.items()
    }


def _naming_nothing(attributes: Attributes, members: Collection[str]) -> set[str]:
    """Which of the attributes that name other fields name some that aren't there, as uncertainties by another name."""
    return {key for key in NAMING if not all(name in members for name in names(attributes.get(key), members))}


def _with_false_kept(attributes: Attributes, false: set[str]) -> Attributes:
    """The attributes, with false ones under names that claim nothing.

    So are the path of a field that this is no link to, and labels, which libhdf5 reads beyond where there are more of
    them than dimensions.
    """
    false = {*false, DIMENSION_LABELS}
    if (text(attributes.get("target")) or "").startswith("/"):
        false = {*false, "target"}
    kept = {name: value for name, value in attributes.items() if name not in false}
    return kept | {ORIGINAL + name: attributes[name] for name in sorted(false) if name in attributes}
