"""Links that are not followed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nexus_xr.diagnostics import Code

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
    code
        The same by its name.
    """

    path: str
    file: str | None = None
    trouble: str = field(default="is not there", compare=False, repr=False)
    code: Code = field(default=Code.LINK_TARGET_MISSING, compare=False, repr=False)

    @property
    def is_refused(self) -> bool:
        """Whether where it leads to may not be read."""
        return self.code is Code.OUT_OF_REACH

    def refused(self) -> Link:
        """The same, where it leads to may not be read."""
        return replace(self, trouble="lies outside of the folders that may be read", code=Code.OUT_OF_REACH)

    def __str__(self) -> str:
        return f"{self.file}:{self.path}" if self.file else self.path
