"""A process that speaks HTTP, by uvicorn: the only one, or one of several on one port.

One of several takes what it has to know from a socket, says there that it listens, and ends when the socket is closed.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import pickle
import signal
import socket
import sys
from collections.abc import Sized
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

import orjson
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from .application import application_of
from .deadline import Deadline
from .endpoints.responses import BrokenOffError
from .observed import log
from .settings import Settings
from .workers.messages import receive

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

READY = b"r"
# Of the head of a request, and of requests that wait for the one before them on a connection.
_MOST_HEAD_BYTES, _MOST_FIELDS, _MOST_WAITING = 64 << 10, 128, 1024
# Between name and value of a header, and behind it.
_AROUND_FIELD_BYTES = len(": \r\n")
_MOST_BODY_BYTES = 1 << 20
_LARGE_BODY = 413, f"a request has a body of at most {_MOST_BODY_BYTES} bytes, of which nothing is made"
_NO_REQUEST = 400, "this isn't a request of HTTP/1.1"
_LARGE_HEAD = 431, f"a request has at most {_MOST_FIELDS} headers, with its address of {_MOST_HEAD_BYTES} bytes in all"
_MANY_REQUESTS = 400, f"at most {_MOST_WAITING} requests wait on a connection; take the answers to those before"
# What says that a request is being worked on, before its response.
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
# Before the first of these, and between two of them.
_PROBE_SECONDS = 1.0
# Whose messages are written, too.
_OTHERS = ("uvicorn", "asyncio")
# How the head of a response begins and ends.
_BEGIN, _END = b"HTTP/1.1 ", b"\r\n\r\n"


@dataclass(frozen=True)
class ProcessSettings:
    """What one of several processes has to know.

    Parameters
    ----------
    settings
        What the service was told, with this process's part of the limits.
    root_path
        The path under which a proxy has it.
    listening
        Descriptors of the sockets on which it listens.
    figures
        Descriptor of the memory in which all count what they do.
    number
        Which of the processes it is.
    """

    settings: Settings
    root_path: str
    listening: tuple[int, ...]
    figures: int
    number: int


def configured(application: Any, settings: Settings, root_path: str) -> uvicorn.Config:
    """How uvicorn runs an application, on sockets that are there."""
    return uvicorn.Config(
        application,
        root_path=root_path,
        http=patient(settings.limits.patience),
        access_log=False,
        server_header=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )


class _Lines(logging.StreamHandler[TextIO]):
    """Writes what is lines already, which have no need of a form, to a stream that is flushed with each line."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.stream.write(f"{record.msg}\n")
        except Exception:
            self.handleError(record)


class _AsJson(logging.Formatter):
    """Makes a line of JSON of what others say, such as uvicorn."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, option=orjson.OPT_UTC_Z).decode()


def log_requests() -> None:
    """Write a line for each request to the standard error, and for whatever else happens that no such line tells."""
    log.addHandler(_Lines(sys.stderr))
    log.setLevel(logging.INFO)
    others = logging.StreamHandler(sys.stderr)
    others.setFormatter(_AsJson())
    for name in _OTHERS:
        logging.getLogger(name).addHandler(others)
        logging.getLogger(name).propagate = False
    logging.getLogger("uvicorn.error").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether no request's line tells it, as it does of answers that are broken off, be it as the service ends."""
    return not (record.exc_info and isinstance(record.exc_info[1], BrokenOffError | asyncio.CancelledError))


class _OneOfSeveral(uvicorn.Server):
    """A server that says when it listens, and ends with the service."""

    def __init__(self, config: uvicorn.Config, channel: socket.socket) -> None:
        super().__init__(config)
        self._channel = channel

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._channel.sendall(READY)
            asyncio.get_running_loop().add_reader(self._channel, self._leave)

    def _leave(self) -> None:
        asyncio.get_running_loop().remove_reader(self._channel)
        self.should_exit = True


def main(descriptor: str) -> None:
    """Be one of several, which is told of it through a socket.

    Parameters
    ----------
    descriptor
        The socket's.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the keyboard is for who started this
    channel = socket.socket(fileno=int(descriptor))
    content = receive(channel)
    if content is None:
        return
    part: ProcessSettings = pickle.loads(content)
    log_requests()
    figures = memoryview(mmap.mmap(part.figures, os.fstat(part.figures).st_size))
    application = application_of(part.settings, figures, part.number)
    listening = [socket.socket(fileno=each) for each in part.listening]
    _OneOfSeveral(configured(application, part.settings, part.root_path), channel).run(listening)


class _Flow(FlowControl):
    """Receives no more as long as requests wait for the one before them, whoever else would have it go on."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class Bounded(HttpToolsProtocol):
    """A connection on which requests are refused that have too much to them, or are too many at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusal = _NO_REQUEST
        self._is_in_head = self._is_in_message = False
        self._bytes = self._body_bytes = self._head_bytes = self._arriving = 0
        self._answered: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        answered = self._answered
        if answered is not None and not answered.response_complete:  # which isn't the last, where others wait for it
            answered.disconnected = True
            answered.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        self._arriving = len(data)
        super().data_received(data)
        self._bytes += len(data)
        beside_body = self._bytes - self._body_bytes  # the head, and what frames and follows a body in chunks
        if self._is_in_message and beside_body > _MOST_HEAD_BYTES and not self.transport.is_closing():
            self._refusal = _LARGE_HEAD
            self.send_400_response("")

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays: it does for the answers to a client that has asked all that it will."""
        last = self.pipeline[0][0] if self.pipeline else self.cycle
        if self._is_in_message or last is None or last.response_complete:
            return False
        last.keep_alive = False
        self.loop.call_later(_PROBE_SECONDS, self._probe)  # by when most are answered
        return True

    def _probe(self) -> None:
        """Find out whether a client that sends nothing more takes anything, time and again until it is answered.

        Its system says no more than that, be the connection closed altogether or in one direction, but refuses what it
        is sent in the first case. Others pass over an interim response.
        """
        cycle = self._answered
        if cycle is None or cycle.response_complete or self.transport.is_closing():
            return
        if not cycle.response_started and cycle.scope["http_version"] == "1.1":
            self.transport.write(_INTERIM)
        self.loop.call_later(_PROBE_SECONDS, self._probe)

    def on_message_begin(self) -> None:
        self._is_in_head = self._is_in_message = True
        self._body_bytes = self._head_bytes = 0
        self._bytes = -self._arriving  # of which any part may be of the request before
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) >= _MOST_HEAD_BYTES:
            self._refuse(_LARGE_HEAD)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + _AROUND_FIELD_BYTES
        if len(self.headers) > _MOST_FIELDS or len(self.url) + self._head_bytes > _MOST_HEAD_BYTES:
            self._refuse(_LARGE_HEAD)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()
        if len(self.pipeline) > _MOST_WAITING:
            self._refuse(_MANY_REQUESTS)

    def on_message_complete(self) -> None:
        self._is_in_message = False
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._body_bytes += len(body)
        if self._body_bytes > _MOST_BODY_BYTES:
            self._refuse(_LARGE_BODY)

    def _refuse(self, refusal: tuple[int, str]) -> NoReturn:
        """Have the parser stop, whereupon the refusal is sent."""
        self._refusal = refusal
        raise ValueError(refusal[1])

    def send_400_response(self, msg: str) -> None:
        status, message = self._refusal
        body = orjson.dumps({"message": message})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        if not self._is_said_otherwise():
            self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    def _is_said_otherwise(self) -> bool:
        """Whether a refusal would be taken for a part of another answer, or for the answer to another request."""
        answered, is_in_body = self._answered, self._is_in_message and not self._is_in_head
        is_under_way = answered is not None and answered.response_started and not answered.response_complete
        return is_under_way or (is_in_body and self.cycle.response_started)


def patient(seconds: float) -> type[HttpToolsProtocol]:
    """The protocol of connections on which a client that is too slow is left alone."""

    class Patient(Bounded):
        """Closes a connection whose client takes too long for a request, or to take what is sent."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._deadline = Deadline(self.loop, transport.abort)
            super().connection_made(cast(asyncio.Transport, HeadsWithBodies(transport, self.loop)))
            self._deadline.set(seconds)

        def on_message_begin(self) -> None:
            self._deadline.set(seconds)
            super().on_message_begin()

        def on_message_complete(self) -> None:
            self._deadline.clear()
            super().on_message_complete()

        def pause_writing(self) -> None:
            self._deadline.set(seconds)
            super().pause_writing()

        def resume_writing(self) -> None:
            self._deadline.clear()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._deadline.end()
            super().connection_lost(exc)

    return Patient


class HeadsWithBodies:
    """A transport that has the head of a response wait for what is written next, so that both are sent by one call.

    Parameters
    ----------
    transport
        The transport.
    loop
        Its event loop, in whose next turn a head is sent in any case.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes | memoryview) -> None:
        """Send a part of a response."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines([head, data] if data else [head])
        elif isinstance(data, bytes) and data.startswith(_BEGIN) and data.endswith(_END):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection once all is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self.write(b"")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
