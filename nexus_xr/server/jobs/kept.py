"""What was found out last, each kept as long as there is room for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Values by key, of which those that were used longest ago give way.

    Parameters
    ----------
    most
        What the sizes of all values may add up to.

    Examples
    --------
    >>> kept = Kept[str](2)
    >>> for key in "abc":
    ...     kept.put(key, key.upper(), 1)
    >>> kept.get("a"), kept.get("c")
    (None, 'C')
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """The value of a key, None where it isn't kept."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """Keep a value, unless it alone takes more than there is room for."""
        if size > self._most:
            return
        self._size += size - self._values.pop(key, (None, 0))[1]
        self._values[key] = (value, size)
        while self._size > self._most:
            self._size -= self._values.popitem(last=False)[1][1]
