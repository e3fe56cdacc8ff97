"""The values of attributes, as h5grove says them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nexus_xr.hdf5.objects.datatypes import varying_element
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import AttributeType, Node
from nexus_xr.opening.select import Opening
from nexus_xr.server.failures import Failure
from nexus_xr.server.jobs.answer import Answer, json_answer
from nexus_xr.server.jobs.context import Context
from nexus_xr.server.jobs.unreadable import unresolved

from .entities import Entity, EntityJob
from .plotted import PLOTTED, told_attributes
from .references import with_references


@dataclass(frozen=True)
class ReadAttributes(EntityJob):
    """Attributes by their names.

    Parameters
    ----------
    names
        Which of them; none for all.
    """

    names: tuple[str, ...] = ()

    def answer(self, context: Context) -> Answer:
        return self.answered(context, self._values)

    def _values(self, opening: Opening, entity: Entity) -> Answer:
        if isinstance(entity, Link):
            raise unresolved(self.path, entity)
        values = _shaped(entity)
        if self.told == PLOTTED and isinstance(entity, Group):
            values = told_attributes(opening, entity, values)
        missing = [name for name in self.names if name not in values]
        if missing:
            raise Failure(404, f"{self.path} has no attribute {missing[0]!r}; there are: {', '.join(values)}")
        return json_answer({name: values[name] for name in self.names or values})


def _shaped(node: Node) -> dict[str, Any]:
    """Values in the shapes that they have in the file, where here one element is itself whatever its shape."""
    types = node.attribute_types()
    values = node.read_attributes().items()
    return {
        name: with_references(_nested(value, types[name]), types[name].dtype) for name, value in values if name in types
    }


def _nested(value: Any, its: AttributeType) -> Any:
    is_sequence = varying_element(its.dtype) is not None and math.prod(its.shape or ()) == 1
    if isinstance(value, np.ndarray) and value.ndim and not is_sequence:
        return value
    for _ in its.shape or ():
        value = [value]
    return value
