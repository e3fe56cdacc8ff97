"""The fields of a group that take part in its data, and what each of them is to the signal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .scaling import Scaling


class Role(Enum):
    """What a field is to the signal, in the order of a description."""

    SIGNAL = "signal"
    AUXILIARY = "auxiliary signal"
    ANCILLARY = "other data"
    ERRORS = "errors"
    OTHER = "other field of the signal's shape"
    AXIS = "axis"
    AXIS_ERRORS = "errors of an axis"

    @property
    def is_coordinate(self) -> bool:
        """Whether it says where values of the signal are."""
        return self in (Role.AXIS, Role.AXIS_ERRORS)


@dataclass(frozen=True)
class Variable:
    """One field of a group and its role in the data.

    Parameters
    ----------
    name
        Name of the variable.
    field
        Name of the field in the group.
    dims
        Names of the dimensions that it spans.
    role
        What it is to the signal.
    bounds
        For an axis of bin edges, with one value more than its dimension: the name of its bounds; else None.
    scaling
        How its values are scaled, None where they are not.
    """

    name: str
    field: str
    dims: tuple[str, ...]
    role: Role
    bounds: str | None = None
    scaling: Scaling | None = None
