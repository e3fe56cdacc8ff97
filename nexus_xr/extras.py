"""Packages that only some of what is here needs: which extra brings them, and what is said where they aren't there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from .errors import NexusExtraError

# By the name of the extra, what it is known to be there by.
_EXTRAS: Mapping[str, Sequence[str]] = {
    "plot": ("matplotlib",),
    "fit": ("scipy",),
    "server": ("starlette", "uvicorn", "orjson", "httptools"),
    "zarr": ("zarr",),
    "netcdf": ("h5netcdf",),
}
# What does as well; SciPy for netCDF-3.
_ALIKE: Mapping[str, Sequence[str]] = {"h5netcdf": ("netCDF4", "scipy")}


def require(extra: str) -> None:
    """Raise an error that says what to install, unless what an extra brings is there.

    Raises
    ------
    NexusExtraError
        It isn't.
    """
    missing = [name for name in _EXTRAS[extra] if not _is_there(name)]
    if missing:
        raise NexusExtraError(f"this takes {', '.join(missing)}; {advice(extra)}", name=missing[0])


@contextmanager
def advising() -> Iterator[None]:
    """Have an import that fails for want of an extra say which one.

    Raises
    ------
    NexusExtraError
        What an extra brings isn't there.
    """
    try:
        yield
    except NexusExtraError:
        raise
    except ModuleNotFoundError as error:
        for extra, packages in _EXTRAS.items():
            if str(error.name).partition(".")[0] in packages:
                raise NexusExtraError(f"this takes {error.name}; {advice(extra)}", name=error.name) from error
        raise


def advice(extra: str) -> str:
    """How an extra is installed.

    Examples
    --------
    >>> advice("plot")
    "the extra `plot` brings it: pip install '.[plot]' in the folder of nexus_xr"
    """
    return f"the extra `{extra}` brings it: pip install '.[{extra}]' in the folder of nexus_xr"


def _is_there(package: str) -> bool:
    """Whether a package can be imported, or another that does the same."""
    return any(find_spec(name) is not None for name in (package, *_ALIKE.get(package, ())))
