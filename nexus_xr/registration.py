"""The accessor ``.nexus``: xarray's classes get it as soon as xarray is there, and it is imported when it is used.

Describing a file takes nothing of xarray, which takes longer to import than most files take to describe: so `nexus_xr`
doesn't import it, and isn't told when others do, except by what finds modules.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_CLASSES = ("DataArray", "Dataset", "DataTree")


def register_accessors() -> None:
    """Give xarray's classes the accessor, now, or when xarray is imported."""
    if "xarray" in sys.modules:
        import xarray

        _register(xarray)
    else:
        sys.meta_path.insert(0, _Awaiting())


def _register(xarray: ModuleType) -> None:
    for name in _CLASSES:
        if not hasattr(getattr(xarray, name), "nexus"):
            getattr(xarray, f"register_{name.lower()}_accessor")("nexus")(_Accessor(name))


class _Accessor:
    """The accessor of one of xarray's classes.

    Imports nothing before it is used: whoever imports xarray in one thread doesn't wait for who imports what needs
    xarray in another.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, obj: Any) -> Any:
        return self._found()(obj)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._found(), name)

    def _found(self) -> Any:
        from . import accessor

        return getattr(accessor, f"{self._name}Accessor")


class _Awaiting(MetaPathFinder):
    """Finds xarray as it is found without it, and is done with once that is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "xarray":
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Registering(spec.loader, self)
        return spec


class _Registering(Loader):
    """Loads xarray as its own loader does, and registers the accessor then."""

    def __init__(self, loader: Loader, awaiting: _Awaiting) -> None:
        self._loader = loader
        self._awaiting = awaiting

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if self._awaiting in sys.meta_path:
            sys.meta_path.remove(self._awaiting)
        _register(module)
