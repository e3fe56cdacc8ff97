"""What a worker answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nexus_xr.server.formats.encoding import Buffer
from nexus_xr.server.formats.plain import to_json

JSON = "application/json"


@dataclass(frozen=True)
class StoredBody:
    """Where a body lies in the file that was asked, but for bytes of its own.

    Parameters
    ----------
    offset
        Where in the file the body begins, or would, were its head there.
    head
        How many bytes at its begin are its own.
    words
        Where, behind them, four more are.
    tail
        How many bytes at its end are its own.
    """

    offset: int
    head: int = 0
    words: Sequence[int] = ()
    tail: int = 0


@dataclass(frozen=True)
class Answer:
    """What a worker answers.

    Parameters
    ----------
    body
        The bytes of the part that was asked for.
    media_type
        What they are.
    headers
        Of HTTP, besides what is said here.
    status
        Of HTTP.
    parts
        How many parts there are, each of which is asked for by itself.
    length
        Bytes of all parts together; None where that isn't known before they are made.
    tag
        What tells this state of the file from another; empty where nothing does.
    has_others
        Whether other files have a part in it, so that the tag doesn't tell all of its states apart.
    lasts_with
        The address of the file of which alone the answer is made, so that it stays as long as that is in this state;
        empty where something else may have a part in it.
    stored
        Where the body lies in that file; None where it is made of what lies there.
    """

    body: Buffer = b""
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    parts: int = 1
    length: int | None = None
    tag: str = ""
    has_others: bool = False
    lasts_with: str = ""
    stored: StoredBody | None = None


def json_answer(content: Any, tag: str = "") -> Answer:
    """An answer of JSON, in which what is no number is null."""
    return Answer(to_json(content), tag=tag)
