"""Describing a file: its root group, for as long as that takes, from its bytes or as libhdf5 has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import NexusFileError, SystemFaultError
from nexus_xr.hdf5.format.cache_image import CacheImageError
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.unreadable import BeingWrittenError
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.node import Address
from nexus_xr.hdf5.objects.parsed.parsed_file import Extent, Linked, ParsedFile
from nexus_xr.hdf5.objects.parsed.parsed_group import parsed_root

from .way_out import LibraryWayOut


@contextmanager
def described(file: File, diagnostics: Diagnostics) -> Iterator[Group]:
    """The root group of a file, for the length of a ``with`` block.

    Parameters
    ----------
    file
        The file, which is open meanwhile.
    diagnostics
        Is given each thing that can't be read.
    """
    with ExitStack() as stack:
        root = _root_from_bytes(file, _LinkedFiles(file, stack), stack, diagnostics)
        if root is None:
            from .group import root_of

            root = root_of(stack.enter_context(file.opened()), diagnostics, file.name)
        yield root


@contextmanager
def parsed_file(file: File) -> Iterator[ParsedFile]:
    """A file as its bytes describe it, for the length of a ``with`` block.

    Parameters
    ----------
    file
        The file.

    Raises
    ------
    UnsupportedError
        Only libhdf5 describes a file like this, or says what is the matter with it.
    """
    with ExitStack() as stack:
        try:
            parsed = _parsed(file, _LinkedFiles(file, stack), stack, stack)
        except FormatError as error:
            raise UnsupportedError(str(error)) from error
        yield parsed


class _LinkedFiles:
    """Opens the files to which links of a file lead, each once, until a stack is closed."""

    def __init__(self, file: File, stack: ExitStack) -> None:
        self._file = file
        self._stack = stack
        self._known: dict[str, ParsedFile | None] = {}
        self.extents: dict[Address, Extent] = {}
        self.asked: list[Address] = []
        # What refers to itself is collected by whichever thread, and h5py's objects in it wait for h5py's lock.
        stack.callback(self._known.clear)

    def __call__(self, path: str) -> ParsedFile | None:
        if path not in self._known:
            self._known[path] = _linked(self._file.linked(path), self, self._stack)
        return self._known[path]

    @contextmanager
    def for_a_moment(self, path: str) -> Iterator[ParsedFile]:
        with ExitStack() as stack:
            yield _parsed(self._file.linked(path), self, stack, stack)


def _root_from_bytes(file: File, linked: Linked, stack: ExitStack, diagnostics: Diagnostics) -> Group | None:
    """The root group as the bytes of the file have it; None where libhdf5 has to say what there is."""
    try:
        with ExitStack() as opening:
            root = parsed_root(_parsed(file, linked, opening, stack), diagnostics)
            stack.push(opening.pop_all())
            return root
    except (BeingWrittenError, SystemFaultError):
        raise
    except NexusFileError:
        if not file.is_local:
            raise
    except FormatError as reason:
        # libhdf5 would wait without end for a writer to mend it; over a damaged image of its cache, it crashes.
        if file.snapshot is not None or isinstance(reason, CacheImageError):
            message = f"{file.name}: the root group can't be read ({reason}); the file is damaged, copy it again"
            raise NexusFileError(message) from reason
        file.leave_to_libhdf5("/", str(reason))
    except (UnsupportedError, OSError) as reason:
        file.leave_to_libhdf5("/", str(reason))
    return None


def _linked(file: File, linked: Linked, stack: ExitStack) -> ParsedFile | None:
    """A file that a link leads to; None where libhdf5 has to say what there is."""
    try:
        with ExitStack() as opening:
            parsed = _parsed(file, linked, opening, stack)
            stack.push(opening.pop_all())
            return parsed
    except (BeingWrittenError, SystemFaultError):
        raise
    except (FormatError, UnsupportedError, NexusFileError, OSError):
        if not file.is_local:
            raise
    return None


def _parsed(file: File, linked: Linked, opening: ExitStack, stack: ExitStack) -> ParsedFile:
    """A file whose bytes are open until one stack is closed, and which libhdf5 may have open until the other is."""
    if file.is_special:
        raise UnsupportedError("its bytes come one after the other")
    if file.is_written_here:
        raise UnsupportedError("this process is writing it")
    source = opening.enter_context(file.source())
    return ParsedFile(file, source, linked, LibraryWayOut(file, source.key, stack))
