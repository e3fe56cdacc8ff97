"""A request to a worker."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol

from .answer import Answer
from .context import Context


class Job(Hashable, Protocol):
    """What is asked of a worker."""

    def answer(self, context: Context) -> Answer:
        """The answer, in the worker.

        Raises
        ------
        Failure
            There is none.
        """


@dataclass(frozen=True)
class FileJob:
    """What is asked of a file.

    Parameters
    ----------
    file
        Its address: the path below the folder, behind the folder's name where there are several.
    part
        Which part of the answer is asked for.
    tag
        What the answer said of the file's state when the first part was asked for.
    """

    file: str
    part: int = field(default=0, kw_only=True)
    tag: str = field(default="", kw_only=True)
