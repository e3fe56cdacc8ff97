"""What is told of each request: a line of JSON in the log, with no word of what is secret, and figures."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .endpoints.endpoint import PATH_OF_ENDPOINT
from .endpoints.presence import ClientGoneError
from .endpoints.responses import BrokenOffError, failure_response
from .failures import Failure
from .metrics import OTHER, Metrics

# What nginx writes of these; nobody gets it.
_CLIENT_GONE = 499
_ENDED = "the service has come to its end"
log = logging.getLogger("nexus_xr.server")


class Observed:
    """Counts and logs requests.

    Parameters
    ----------
    app
        What answers them.
    metrics
        Where they are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told: dict[str, Any] = {"status": 500, "sent": 0}

        is_begun = False

        async def sending(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            told["status"] = message.get("status", told["status"])
            told["sent"] += len(message.get("body", b""))
            await send(message)

        begin = time.perf_counter()
        try:
            await self._app(scope, receive, sending)
        except BrokenOffError as error:  # the connection is closed before the end, by which clients know
            told["broken_off"] = str(error)
        except ClientGoneError:
            told |= {"status": _CLIENT_GONE, "broken_off": "the client has gone"}
        except asyncio.CancelledError:
            told["broken_off"] = _ENDED
            if not is_begun:
                await failure_response(Failure(503, f"{_ENDED}; ask again when it is there"))(scope, receive, sending)
            raise
        finally:
            seconds = time.perf_counter() - begin
            self._metrics.count(scope.get(PATH_OF_ENDPOINT, OTHER), told["status"], seconds, told["sent"])
            if log.isEnabledFor(logging.INFO):
                log.handle(_record(_line(scope, told, seconds)))


# What all records have in common: to find out anew which thread and line writes them takes as long as all the rest.
_COMMON = logging.makeLogRecord({"name": log.name, "levelno": logging.INFO, "levelname": "INFO"}).__dict__


def _record(line: str) -> logging.LogRecord:
    record = logging.LogRecord.__new__(logging.LogRecord)
    now = time.time()
    record.__dict__.update(_COMMON, msg=line, created=now, msecs=now % 1 * 1000)
    return record


def _line(scope: Scope, told: dict[str, Any], seconds: float) -> str:
    client = scope.get("client")
    line = {
        "time": datetime.now(UTC),
        "client": client[0] if client else None,
        "method": scope["method"],
        "path": scope["path"],
        **told,
        "ms": round(1000 * seconds, 2),
    }
    return orjson.dumps(line, option=orjson.OPT_UTC_Z).decode()
