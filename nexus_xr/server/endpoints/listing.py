"""A folder's files, and if asked for what each of them is about, found out by a request to a worker for each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from nexus_xr.server.failures import Failure
from nexus_xr.server.jobs.listing import ListFolder
from nexus_xr.server.jobs.summary import ReadSummary
from nexus_xr.server.workers.exchange import Reply

from .conditions import status_by_conditions
from .presence import Asked, client_of
from .responses import Responder, json_response, unmet

# Files that are opened for one page.
_MOST_DETAILED = 100


async def list_folder(responder: Responder, request: Asked, values: Mapping[str, Any]) -> Response:
    """The page of a folder that is asked for."""
    limit = min(values["limit"], _MOST_DETAILED) if values["details"] else values["limit"]
    job = ListFolder(values.get("folder", ""), values["offset"], limit)
    if not values["details"]:
        return await responder.respond(request, job)
    page = await request.presence.found(_detailed(responder, job, client_of(request.scope)))
    if status_by_conditions(request.scope, "") is not None:
        raise unmet()
    return json_response(page)


async def _detailed(responder: Responder, job: ListFolder, client: str) -> dict[str, Any]:
    page = _content(await responder.pool.run(job, client))
    files = [item for item in page["items"] if item["kind"] == "file"]
    at_once = asyncio.Semaphore(responder.pool.settings.limits.worker_count)
    addresses = ("/".join(filter(None, [page["folder"], item["name"]])) for item in files)
    summaries = await asyncio.gather(*(_summary(responder, address, client, at_once) for address in addresses))
    for item, summary in zip(files, summaries, strict=True):
        item.update(summary)
    return page


def _content(reply: Reply) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(reply.body)
    if "message" in content:
        raise Failure(reply.status, content["message"])
    return content


async def _summary(responder: Responder, address: str, client: str, at_once: asyncio.Semaphore) -> dict[str, Any]:
    """What a file is about, or what is wrong with it."""
    try:
        async with at_once:
            return _content(await responder.pool.run(ReadSummary(address), client))
    except Failure as failure:
        return {"trouble": failure.message}
