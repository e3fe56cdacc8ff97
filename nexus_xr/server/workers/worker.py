"""A worker process: answers one request after the other until there are no more."""

from __future__ import annotations

import mmap
import pickle
import select
import socket
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import orjson

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.filters.codec import address_of
from nexus_xr.server.failures import TOO_MUCH, UNEXPECTED, Failure, failure_of
from nexus_xr.server.jobs.answer import Answer, json_answer
from nexus_xr.server.jobs.context import Context
from nexus_xr.server.jobs.job import Job
from nexus_xr.server.jobs.served_files import Identities, identities_of
from nexus_xr.server.settings import Settings

from .messages import GO_ON, OUTDATED, ROOM_BYTES, behind_its_length, place_of, receive
from .sandbox import limit, start_clock

# An answer of which no further part was asked for in this time was probably broken off.
_PART_SECONDS = 10.0


def work(channel: socket.socket, outbox: mmap.mmap, settings: Settings, folders: Identities) -> None:
    """Answer requests.

    Parameters
    ----------
    channel
        Where requests come from, and heads of answers go.
    outbox
        Where bodies of answers are laid.
    settings
        What the service was told.
    folders
        Which folders this process may read: where others have come in their place, all it answers is that.
    """
    limit(settings.limits)
    context = Context(settings)
    while (content := _next(channel, context)) is not None:
        start_clock(settings.limits.seconds)
        room = memoryview(outbox)[place_of(content[0])]
        with context.answering(room):
            is_outdated = identities_of(settings.folders) != folders
            answer = Answer(status=OUTDATED) if is_outdated else _answer(pickle.loads(memoryview(content)[1:]), context)
        _deliver(answer, channel, room)
        start_clock(0)


def _next(channel: socket.socket, context: Context) -> bytes | None:
    """The next request, None where there are no more; what is kept for a part of an answer isn't for ever."""
    if context.has_chunks and not select.select((channel,), (), (), _PART_SECONDS)[0]:
        context.forget_chunks()
    return receive(channel)


def _answer(job: Job, context: Context) -> Answer:
    answer = _attempt(job, context)
    if answer.status == TOO_MUCH and context.forget_chunks():  # which may be why there was too little memory
        return _attempt(job, context)
    return answer


def _attempt(job: Job, context: Context) -> Answer:
    try:
        return job.answer(context)
    except (Exception, MemoryError) as error:
        failure = failure_of(error, context.settings.folders)
        if failure.status == UNEXPECTED and not isinstance(error, Failure | NexusError):
            _log(job, error)
        return told(failure)


def _log(job: Job, error: BaseException) -> None:
    """Tell whoever runs the service where an error arose of which a client is told no more than its words."""
    line = {
        "time": datetime.now(UTC),
        "level": "error",
        "message": f"{type(job).__name__} of {getattr(job, 'file', 'what is served')!r}: {error!r}",
        "traceback": "".join(traceback.format_exception(error)).encode(errors="replace").decode(),
    }
    with suppress(OSError):  # that nobody takes what is logged is no reason to give no answer
        print(orjson.dumps(line, option=orjson.OPT_UTC_Z).decode(), file=sys.stderr, flush=True)


def told(failure: Failure) -> Answer:
    """What a client is told of a failure."""
    body = json_answer({"message": failure.message})
    return Answer(body.body, body.media_type, status=failure.status)


def _deliver(answer: Answer, channel: socket.socket, room: memoryview) -> None:
    """Tell of an answer, and lay its body out in parts, each when the one before it was taken."""
    body = memoryview(answer.body)
    at = _place_in(room, body)
    head = {
        "at": at or 0,
        "size": len(body),
        "media_type": answer.media_type,
        "headers": dict(answer.headers),
        "status": answer.status,
        "parts": answer.parts,
        "length": answer.length,
        "tag": answer.tag,
        "has_others": answer.has_others,
        "lasts_with": answer.lasts_with,
        "stored": answer.stored,
    }
    if at is None:
        room[: min(len(body), ROOM_BYTES)] = body[:ROOM_BYTES]
    channel.sendall(behind_its_length(orjson.dumps(head)))
    for begin in range(ROOM_BYTES, len(body), ROOM_BYTES):
        channel.recv(len(GO_ON))
        part = body[begin : begin + ROOM_BYTES]
        room[: len(part)] = part
        channel.sendall(behind_its_length(b""))


def _place_in(room: memoryview, body: memoryview) -> int | None:
    """Where in the room a body was made, None where it wasn't made there."""
    if not body:
        return 0
    at = address_of(np.frombuffer(body, np.uint8)) - address_of(np.frombuffer(room, np.uint8))
    return at if 0 <= at <= len(room) - len(body) else None
