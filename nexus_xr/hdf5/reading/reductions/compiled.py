"""The compiled module, which is optional: where it could not be built, NumPy does the same in more passes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any


def _nothing(*_: Any) -> bool:
    """What there is where nothing is compiled."""
    return False


# By its name, as a module that may not be there can't be told from a typing error by those who check imports.
_reduce: Any = None
with suppress(ImportError):
    _reduce = import_module("nexus_xr.hdf5.reading.reductions._reduce")

# Operation, kind of the values, lengths, the values, the arrays of what is known, which of the values count, and a
# limit -> whether there is a way for them, by which they were added.
add: Callable[..., bool] = getattr(_reduce, "add", _nothing)
