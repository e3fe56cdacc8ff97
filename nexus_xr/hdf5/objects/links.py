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
        What is the matter with the target of a link that leads nowhere; nothing with what a reference refers to.
    is_refused
        Whether where it leads to may not be read.
    """

    path: str
    file: str | None = None
    trouble: str = field(default="is not there", compare=False, repr=False)
    is_refused: bool = field(default=False, compare=False, repr=False)

    @property
    def is_reference(self) -> bool:
        """Whether it is what a reference refers to, and no link."""
        return not self.trouble

    @property
    def code(self) -> Code:
        """What is the matter with the target, by its name."""
        return Code.OUT_OF_REACH if self.is_refused else Code.LINK_TARGET_MISSING

    def refused(self) -> Link:
        """The same, where it leads to may not be read."""
        return replace(self, trouble="lies outside of the folders that may be read", is_refused=True)

    def __str__(self) -> str:
        return f"{self.file}:{self.path}" if self.file else self.path
