"""What can be wrong with the bytes of a file, and what can be right and is left to libhdf5."""

from __future__ import annotations


class FormatError(ValueError):
    """The bytes contradict the HDF5 file format."""


class NoDtypeError(FormatError):
    """The bytes may well be right, but neither NumPy nor h5py has values for what they are."""


class NoGroupError(FormatError):
    """An object isn't a group: in the place of one, that is damage, and on a path, the path leads nowhere."""


class UnsupportedError(Exception):
    """The bytes may well be right, but say something that only libhdf5 is asked about.

    Parameters
    ----------
    what
        What it is, for those who count what is left to libhdf5.
    """
