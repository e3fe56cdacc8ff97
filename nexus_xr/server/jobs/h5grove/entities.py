"""Objects by their paths, as h5grove finds them: links that lead nowhere, or that aren't to be followed, are links."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.nexus.tree.find import absolute
from nexus_xr.opening.select import Opening
from nexus_xr.server.failures import Failure
from nexus_xr.server.jobs.answer import Answer
from nexus_xr.server.jobs.context import Context
from nexus_xr.server.jobs.job import FileJob
from nexus_xr.server.jobs.unreadable import check_readable, unresolved

from .plotted import PLOTTED, STORED, plotted_at

Entity = Group | Dataset | Link
# Whether links are followed: those that lead somewhere, none, or all, so that one that leads nowhere is an error.
FOLLOWED = ("only_valid", "none", "all", "true", "false")


@dataclass(frozen=True)
class EntityJob(FileJob):
    """What is asked of an object.

    Parameters
    ----------
    path
        Its path.
    resolve_links
        Whether links are followed, one of `FOLLOWED`.
    told
        Whether data is told as it is plotted or as it is stored, one of `FORMS`.
    """

    path: str = "/"
    resolve_links: str = "only_valid"
    told: str = STORED

    def answered(self, context: Context, describe: Callable[[Opening, Entity], Answer]) -> Answer:
        """The answer, which is kept where no other file has a part in it."""
        place = context.place(self.file)
        return context.answer(place, replace(self, tag="", part=0), partial(self._answer, describe, place.tag))

    def _answer(self, describe: Callable[[Opening, Entity], Answer], tag: str, opening: Opening) -> tuple[Answer, bool]:
        entity = self.entity(opening)
        answer = replace(describe(opening, entity), tag=tag)
        return answer, not opening.file.leads_elsewhere and not opening.file.left_to_libhdf5 and _is_alone(entity)

    def entity(self, opening: Opening) -> Entity:
        """The object.

        Raises
        ------
        Failure
            There is none, or a link that has to be followed leads nowhere or out of the folders.
        NexusError
            There is something that can't be read.
        """
        path = absolute(self.path)
        found = opening.root.find(path)
        if found is None and self.told == PLOTTED and (field := plotted_at(opening, path)) is not None:
            return field.dataset
        if found is None:
            check_readable(opening, path)
            raise Failure(404, f"{self.path} is not a valid path in {self.file}; /h5grove/paths lists what there is")
        link = self._unfollowed(opening, path)
        if link is not None:
            return link
        if isinstance(found, Link) and self.resolve_links in ("all", "true"):
            raise unresolved(self.path, found)
        return found

    def _unfollowed(self, opening: Opening, path: str) -> Link | None:
        """The link at a path where none is followed."""
        above, _, name = path.rpartition("/")
        group = opening.root.find(above or "/")
        if self.resolve_links not in ("none", "false") or not isinstance(group, Group) or not name:
            return None
        return link_at(group, name)


def link_at(group: Group, name: str) -> Link | None:
    """The soft or external link of that name; None where it is a hard link."""
    is_soft = next((is_soft for member, _, is_soft in group.members() if member == name), False)
    return group.link_to(name) if is_soft else None


def _is_alone(entity: Entity) -> bool:
    """Whether no other file has a part in what is said of an object."""
    if isinstance(entity, Link):
        return entity.file is None
    members = (member for _, member, _ in entity.members()) if isinstance(entity, Group) else ()
    return all(not isinstance(member, Link) or member.file is None for member in members)
