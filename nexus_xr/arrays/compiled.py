"""The compiled module, which is optional: where it could not be built, NumPy takes its steps one after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np

# By its name, as a module that may not be there can't be told from a typing error by those who check imports.
_propagate: Any = None
with suppress(ImportError):
    _propagate = import_module("nexus_xr.arrays._propagate")

# Operands, their variances, and what is filled: values and variances; all of one size, and of one of the types below.
IN_ONE_PASS: dict[np.ufunc, Callable[..., None]] = (
    {getattr(np, name): getattr(_propagate, name) for name in ("square", "sqrt", "multiply", "divide")}
    if _propagate
    else {}
)
TYPES = frozenset({np.dtype(np.float64), np.dtype(np.float32)})
