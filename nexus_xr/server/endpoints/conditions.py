"""What a request says of the state in which it asks for something.

Source: RFC 9110, section 13.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from starlette.types import Scope

from nexus_xr.server.headers import header

NOT_MODIFIED, PRECONDITION_FAILED = 304, 412


def status_by_conditions(scope: Scope, etag: str, modified: str = "") -> int | None:
    """The status of the response where a request isn't for the present state; None where it is.

    Parameters
    ----------
    scope
        The request.
    etag
        What tells the present state from others; empty where nothing does.
    modified
        Since when it is so, as the header ``Last-Modified`` has it; empty where that isn't told. It is known by this
        date alone, and by no later one.

    Examples
    --------
    >>> status_by_conditions({"headers": [(b"if-none-match", b'"a", "b"')]}, '"b"')
    304
    >>> status_by_conditions({"headers": [(b"if-match", b'"a"')]}, '"b"')
    412
    """
    since = _date(modified)
    wanted, unchanged_since = header(scope, b"if-match"), _date(header(scope, b"if-unmodified-since"))
    if wanted is not None:
        if wanted.strip() != "*" and etag not in _tags(wanted):
            return PRECONDITION_FAILED
    elif since and unchanged_since and since > unchanged_since:
        return PRECONDITION_FAILED
    known, known_since = header(scope, b"if-none-match"), _date(header(scope, b"if-modified-since"))
    if known is not None:
        is_known = bool(etag) and (known.strip() == "*" or etag in (tag.removeprefix("W/") for tag in _tags(known)))
    else:
        is_known = since is not None and known_since == since  # an older file may have come in its place
    return NOT_MODIFIED if is_known else None


def _tags(listed: str) -> list[str]:
    return [tag.strip() for tag in listed.split(",")]


def _date(said: str | None) -> datetime | None:
    """A date of HTTP; None for what is none."""
    try:
        return parsedate_to_datetime(said).replace(tzinfo=UTC) if said else None
    except ValueError:
        return None
