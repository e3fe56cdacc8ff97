"""Links that are not followed."""

from __future__ import annotations

from dataclasses import dataclass, field

# Kinds of links; others are what programs define for themselves.
HARD, SOFT, EXTERNAL = 0, 1, 64
LINKS_OF_HDF5 = (HARD, SOFT, EXTERNAL)


@dataclass(frozen=True, slots=True)
class Link:
    """Where a link leads that is not followed: nowhere, into another file that is missing, or back up the tree.

    Also what an object reference refers to.

    Parameters
    ----------
    path
        Path that the link names.
    file
        File that an external link names.
    trouble
        What is the matter with the target of a link that leads nowhere.
    """

    path: str
    file: str | None = None
    trouble: str = field(default="is not there", compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.path}" if self.file else self.path
