"""What h5py raises.

By what is broken in a file, and by how h5py comes to notice it, that is of nearly any type: OSError, RuntimeError,
KeyError, ValueError, TypeError, UnicodeError, SystemError, ... So who asks it for what may be broken catches them all,
and asks for nothing else meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from nexus_xr.errors import SystemFaultError

AnyHdf5Error = Exception


class Hdf5Errors:
    """Catches what h5py raises in a ``with`` block, but no fault of the system, which says nothing of a file.

    Parameters
    ----------
    then
        Is given the error, and gives the one that is raised instead; None to go on behind the block.
    passing
        Types of errors that are raised as they are.
    """

    # No generator: it is entered for each attribute of a file.
    __slots__ = ("_passing", "_then")

    def __init__(
        self, then: Callable[[Exception], Exception | None], passing: tuple[type[Exception], ...] = ()
    ) -> None:
        self._then = then
        self._passing = passing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if not isinstance(error, AnyHdf5Error) or isinstance(error, (SystemFaultError, *self._passing)):
            return False
        instead = self._then(error)
        if instead is None:
            return True
        if instead is error:
            return False
        raise instead from error


def reason_of(error: Exception) -> str:
    """What an error says, or else its type.

    Examples
    --------
    >>> reason_of(KeyError("there is nothing")), reason_of(ValueError())
    ('there is nothing', 'ValueError')
    """
    return str(error).strip("'\"") or type(error).__name__
