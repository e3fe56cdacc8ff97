"""Why a file can't be opened, in words that say what it is and what to do about it."""

from __future__ import annotations

from nexus_xr.errors import NexusFileError, NexusFileNotFoundError, SystemFaultError, is_of_system
from nexus_xr.hdf5.runtime.compat import this_worker

from .divided import why_divided
from .superblock import CLEARS_FLAGS, HDF5_SIGNATURE, Seekable, has_hdf5_signature


class BeingWrittenError(NexusFileError):
    """Somebody has the file open to write it, and lets nobody read it meanwhile."""


def being_written(name: str) -> BeingWrittenError:
    """The error for a file that says so."""
    return BeingWrittenError(explain_unreadable(name, HDF5_SIGNATURE, OSError("it is already open for write")))


def unopened(name: str, path: str, error: Exception) -> NexusFileError:
    """The error for a local file that the system doesn't open, seen from where it is opened.

    Parameters
    ----------
    name, path
        The path as it was given, and the absolute one.
    error
        What the system says.
    """
    worker = this_worker()
    missing = isinstance(error, FileNotFoundError)
    kind = NexusFileNotFoundError if missing else SystemFaultError if is_of_system(error) else NexusFileError
    if worker is not None:
        found = "no such file" if missing else f"can't be opened ({error})"
        return kind(f"{path}: {found} on {worker}; all workers of a cluster need the file under this path")
    return kind(f"{name}: no such file; check the path" if missing else f"{name!r}: can't be opened ({error})")


def explain_local(path: str, error: Exception) -> str:
    """Say what a local file is that HDF5 can't open."""
    try:
        with open(path, "rb") as stream:
            return explain_stream(path, stream, error)
    except IsADirectoryError:
        return f"{path}: is a folder; name a file in it"
    except OSError as unreadable:
        return f"{path}: can't be opened ({unreadable})"


def explain_stream(name: str, stream: Seekable, error: Exception) -> str:
    """Say what a stream is that HDF5 can't open."""
    divided = why_divided(stream)
    if divided is not None:
        return f"{name}: {divided}"
    return explain_unreadable(name, _first_bytes(stream), error)


def _first_bytes(stream: Seekable) -> bytes:
    """The first bytes of a file, or behind a user block of HDF5 the signature."""
    if has_hdf5_signature(stream):
        return HDF5_SIGNATURE
    stream.seek(0)
    return stream.read(64) or b""


def explain_unreadable(name: str, start: bytes, error: Exception) -> str:
    """Say what a file is that HDF5 can't open, and what to do about it.

    Examples
    --------
    >>> print(explain_unreadable("old.nxs", b"<?xml version='1.0'?>", OSError()))
    old.nxs: this is an XML file (NeXus XML?), not HDF5; convert it with `nxconvert -h5` of the NeXus API (NAPI)
    """
    if not start:
        found = "the file is empty; it was perhaps never written"
    elif start.startswith(HDF5_SIGNATURE):
        found = _explain_damaged(str(error))
    elif start.startswith(b"\x0e\x03\x13\x01"):
        found = (
            "this is an HDF4 file, not HDF5; convert it with `nxconvert -h5` of the NeXus API (NAPI) or with `h4toh5`"
        )
    elif start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<NXroot")):
        found = "this is an XML file (NeXus XML?), not HDF5; convert it with `nxconvert -h5` of the NeXus API (NAPI)"
    elif start.startswith(b"CDF"):
        found = 'this is a netCDF-3 file, not HDF5; open it with engine="scipy" or "netcdf4"'
    else:
        found = f"this is not an HDF5 file (it starts with {start[:8]!r}); check that it is the file you mean"
    return f"{name}: {found}"


def _explain_damaged(error: str) -> str:
    if "truncated" in error or "eof" in error:
        return (
            f"the HDF5 file is truncated ({error}); copy it again, or run `h5clear --increment=0` on a copy, "
            "and see what of it can be read"
        )
    if "already open for write" in error:
        return (
            f"the HDF5 file is marked as being written ({error}); wait for its writer, "
            f"or, if that crashed, run `{CLEARS_FLAGS}` on a copy of the file"
        )
    return f"HDF5 can't open the file ({error}); it is damaged or of an unknown version"
