"""The paths of all objects below a group, as h5grove lists them: through hard links, each group once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.node import Address
from nexus_xr.opening.select import Opening
from nexus_xr.server.failures import Failure
from nexus_xr.server.jobs.answer import Answer, json_answer
from nexus_xr.server.jobs.context import Context

from .entities import Entity, EntityJob

_MOST_PATHS = 200_000


@dataclass(frozen=True)
class ListPaths(EntityJob):
    """The path of a group, and those below it."""

    def answer(self, context: Context) -> Answer:
        return self.answered(context, self._listed)

    def _listed(self, opening: Opening, entity: Entity) -> Answer:
        if not isinstance(entity, Group):
            raise Failure(422, f"{self.path} is not a group; name one")
        paths = [self.path]
        for path in _below(entity, self.path.rstrip("/"), {entity.address}):
            paths.append(path)
            if len(paths) > _MOST_PATHS:
                raise Failure(413, f"there are more than {_MOST_PATHS} paths below {self.path}; name a group below it")
        return json_answer(paths)


def _below(group: Group, path: str, seen: set[Address]) -> Iterator[str]:
    within = [_members(group, path)]
    while within:  # and no function in itself, of which there may be fewer than levels of groups
        path, member, is_soft = next(within[-1], ("", None, False))
        if member is None:
            within.pop()
            continue
        yield path
        if isinstance(member, Group) and not is_soft and member.address not in seen:
            seen.add(member.address)
            within.append(_members(member, path))


def _members(group: Group, path: str) -> Iterator[tuple[str, Any, bool]]:
    return ((f"{path}/{name}", member, is_soft) for name, member, is_soft in group.members())
