"""The error for values that can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nexus_xr.errors import (
    NexusFileChangedError,
    NexusFileError,
    NexusFileNotFoundError,
    NexusReachError,
    SystemFaultError,
)
from nexus_xr.hdf5.format.faults import FormatError

# Errors that stay what they are where they come of reading values.
_TOLD_APART = (NexusReachError, NexusFileNotFoundError, NexusFileChangedError, SystemFaultError)


class MissingDatasetError(NexusFileError):
    """There is no dataset of that path."""


def unreadable_values(name: str, path: str, reason: object) -> NexusFileError:
    """The error for a dataset whose values can't be read.

    Parameters
    ----------
    name, path
        Its file, and its path there.
    reason
        What is the matter.
    """
    return NexusFileError(f"{name}:{path}: the values can't be read ({reason})")


@contextmanager
def values_explained(name: str, path: str, behind: str = "") -> Iterator[None]:
    """Have an error of a chunk, of what is in the heap, or of the system, become one that names the dataset.

    Parameters
    ----------
    name, path
        The dataset's file, and its path there.
    behind
        What else is said of it.
    """
    try:
        yield
    except (OSError, FormatError) as error:
        kind = next((kind for kind in _TOLD_APART if isinstance(error, kind)), NexusFileError)
        raise kind(f"{unreadable_values(name, path, error)}{behind}") from error
