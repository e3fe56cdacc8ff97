"""Nested attributes as flat ones: each value under its path, as a number, as text or as JSON text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.objects.dimension_scales import SCALE_ATTRIBUTES
from nexus_xr.nexus.tree.metadata import MetadataAttributes, MetadataField, MetadataGroup, is_field

from .names import OWN, PREFIX, joined, split
from .values import as_attribute, of_attribute

# What xarray and the libraries below it take for an instruction how to read, and don't give back as it is.
_RESERVED = {
    *SCALE_ATTRIBUTES,
    "add_offset",
    "coordinates",
    "dtype",
    "grid_mapping",
    "missing_value",
    "scale_factor",
}
# Dates and lengths of time, which numbers would become.
_UNITS_OF_TIME = re.compile(r".*\bsince\b.*|(days|hours|minutes|(milli|micro|nano)?seconds)$", re.DOTALL)

Keep = Callable[[str, Any], Any]


def flat_attributes(
    attributes: Mapping[Any, Any], keep: Keep = lambda _, value: value, is_of_time: bool = False
) -> dict[str, Any]:
    """Nested attributes by their paths.

    Parameters
    ----------
    attributes
        Values by name, some of them dictionaries.
    keep
        Is given each path and value, and gives what stands for the value.
    is_of_time
        Whether they are of dates or lengths of time, which get attributes of their own when they are written.

    Raises
    ------
    NexusError
        A name is no text, or a value is of a type that there is no form for.

    Examples
    --------
    >>> flat_attributes({"detector": {"distance": {"value": 0.2, "attrs": {"units": "m"}}}, "mask": [True]})
    {'detector.distance.value': 0.2, 'detector.distance.attrs.units': 'm', 'mask': '{"value": [true]}'}
    """
    flat = {}
    for names, value in _leaves(attributes, ()):
        path = joined(names)
        try:
            flat[PREFIX + path if _is_reserved(path, value, is_of_time) else path] = as_attribute(keep(path, value))
        except NexusError as error:
            raise NexusError(f"{'/'.join(names)}: {error}") from None
    return flat


def nested_attributes(flat: Mapping[str, Any], restore: Callable[[Any], Any] = lambda value: value) -> dict[str, Any]:
    """The nested attributes that flat ones were made of.

    Examples
    --------
    >>> nested_attributes({"detector.distance.value": 0.2, "detector.distance.attrs.units": "m"})
    {'detector': <group: distance>}
    """
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *above, name = split(path)
        inner = nested
        for each in above:
            inner = inner.setdefault(each, {})
        inner[name] = restore(of_attribute(value))
    return {name: _as_tree(name, value) for name, value in nested.items()}


def _leaves(tree: Mapping[Any, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if not isinstance(name, str):
            raise NexusError(f"{'/'.join(above)}: the name {name!r} is no text; rename it")
        path = (*above, name)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


def _is_reserved(path: str, value: Any, is_of_time: bool) -> bool:
    if path in ("units", "calendar"):
        return is_of_time or (isinstance(value, str) and _UNITS_OF_TIME.match(value) is not None)
    return path in _RESERVED or path.startswith(("_", OWN))


def _as_tree(name: str, value: Any) -> Any:
    """A dictionary as the kind of metadata that it is."""
    if not isinstance(value, Mapping):
        return value
    kind = MetadataAttributes if name == "attrs" else MetadataField if is_field(value) else MetadataGroup
    return kind((inner, _as_tree(inner, each)) for inner, each in value.items())
