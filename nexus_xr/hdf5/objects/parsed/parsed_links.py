"""What the links of a file lead to that is described from its bytes.

Sources: the HDF5 file format specification, sections III.B (symbol tables) and IV.A.2.g (the link message); the chapter
"Groups" of the HDF5 user guide on soft and external links.
"""

from __future__ import annotations

from nexus_xr.errors import NexusFileError, NexusReachError
from nexus_xr.hdf5.format.faults import FormatError, NoGroupError, UnsupportedError
from nexus_xr.hdf5.format.groups.links import external_target
from nexus_xr.hdf5.format.groups.stored_link import StoredLink
from nexus_xr.hdf5.io.naming.linked_files import FOR_LINKS, is_special_file
from nexus_xr.hdf5.objects.links import EXTERNAL, SOFT, Link
from nexus_xr.hdf5.objects.text import decode

from .parsed_file import ParsedFile, Place, root_place


class NotFollowedError(Exception):
    """A link leads to a file behind a URL that can't be read."""


# As many soft and external links behind each other libhdf5 follows.
_MOST_LINKS = 16


def target_of(link: StoredLink) -> Link:
    """What a soft or external link names."""
    if link.kind == SOFT:
        return Link(decode(link.target.partition(b"\0")[0]))
    file, path = external_target(link.target)
    return Link(decode(path), decode(file))


def follow(holder: Place, link: StoredLink) -> Place | None:
    """The place to which a soft or external link of a group leads, None where nothing is there.

    Raises
    ------
    FormatError
        What is on the way is damaged.
    BeingWrittenError
        It leads to a file that nobody may read meanwhile.
    NexusReachError
        It leads to what may not be read.
    UnsupportedError
        Only libhdf5 knows what is on the way, or what is wrong with it.
    NotFollowedError
        A link leads to a file behind a URL that can't be read.
    """
    return _Way().along(holder, link)


def place_of(file: ParsedFile, path: bytes) -> Place | None:
    """The place to which a path leads from the root of a file, None where nothing is there; raises as `follow` does."""
    return _Way().at(root_place(file), path)


class _Way:
    """A way along links, which has an end."""

    def __init__(self) -> None:
        self._left = _MOST_LINKS

    def along(self, holder: Place, link: StoredLink) -> Place | None:
        if link.address is not None:
            return holder.child(link.name, link.address)
        self._left -= 1
        if self._left < 0 or link.kind not in (SOFT, EXTERNAL):
            return None
        if link.kind == EXTERNAL:
            return self._in_other_file(holder, link)
        found = self.at(holder, link.target.partition(b"\0")[0])
        # As libhdf5 has it, its path is that of the link.
        return holder.child(link.name, found.address) if found is not None and found.file is holder.file else found

    def at(self, start: Place, path: bytes) -> Place | None:
        found: Place | None = root_place(start.file) if path.startswith(b"/") else start
        for name in path.split(b"/"):
            if found is not None and name not in (b"", b"."):
                link = _member_of(found, name)
                found = None if link is None else self.along(found, link)
        return found

    def _in_other_file(self, holder: Place, link: StoredLink) -> Place | None:
        file, path = external_target(link.target)
        name, here = decode(file), holder.file.file
        if not here.is_local:
            other = _behind_url(holder.file, name) if here.is_named else None
            return None if other is None else self.at(root_place(other), path)
        found = here.find_linked(name, FOR_LINKS)
        if found is None or is_special_file(found, here.path):
            return None
        other = holder.file.linked(found)
        if other is None:
            raise UnsupportedError("a link into a file that only libhdf5 opens")
        place = self.at(root_place(other), path)
        if place is None:
            raise UnsupportedError("a link into a file that has nothing there")
        return place


def _member_of(place: Place, name: bytes) -> StoredLink | None:
    """The link of that name in what is at a place, None where there is none, or no group."""
    try:
        return place.file.links(place.address).get(name)
    except NoGroupError:
        return None


def _behind_url(holder: ParsedFile, name: str) -> ParsedFile | None:
    """The file that one behind a URL names, None where there is none."""
    try:
        found = holder.file.find_linked(name, FOR_LINKS)
        return None if found is None else holder.linked(found)
    except NexusReachError:
        raise
    except (NexusFileError, FormatError, UnsupportedError) as error:
        raise NotFollowedError(str(error)) from error
