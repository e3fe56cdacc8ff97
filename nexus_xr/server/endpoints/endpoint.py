"""An endpoint: a path, its parameters, and the request to a worker that they make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from nexus_xr.server.failures import Failure
from nexus_xr.server.headers import header
from nexus_xr.server.jobs.answer import JSON
from nexus_xr.server.jobs.job import Job

from .parameters import Parameter
from .presence import Asked
from .remembered import Said
from .responses import Responder

# Where a request notes which endpoint it is for.
PATH_OF_ENDPOINT = "nexus_xr.endpoint"
Respond = Callable[[Responder, Asked, Mapping[str, Any]], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint.

    Parameters
    ----------
    path
        Its path; a parameter at its end, such as ``{file:path}``, is all that follows.
    summary
        What it gives, in words.
    parameters
        What requests may say.
    job
        Makes the request to a worker of the parameters.
    media_types
        What is sent.
    headers
        Headers of its own that it is sent with, and what each says.
    respond
        Answers where more than one request to a worker is needed.
    ignores_others
        Whether parameters that it doesn't know are no mistake, nor those given again, of which the last counts.
    """

    path: str
    summary: str
    parameters: tuple[Parameter, ...]
    job: Callable[..., Job]
    media_types: tuple[str, ...] = (JSON,)
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    respond: Respond | None = field(default=None, kw_only=True)
    ignores_others: bool = field(default=False, kw_only=True)

    @cached_property
    def begin(self) -> str:
        """How all of its paths begin."""
        return self.path.partition("{")[0]

    @cached_property
    def name_of_rest(self) -> str:
        """The parameter that is the rest of a path; empty where there is none."""
        return self.path.partition("{")[2].partition(":")[0]

    @cached_property
    def _defaults(self) -> Mapping[str, Any]:
        return {each.target: each.default for each in self.parameters}

    @cached_property
    def _in_query(self) -> Mapping[str, Parameter]:
        return {each.name: each for each in self.parameters if each.place == "query"}

    @cached_property
    def _required(self) -> Sequence[Parameter]:
        return [each for each in self._in_query.values() if each.is_required]

    @cached_property
    def _in_path(self) -> Sequence[Parameter]:
        return [each for each in self.parameters if each.place == "path"]

    @cached_property
    def _in_headers(self) -> Mapping[bytes, Parameter]:
        return {each.name.lower().encode(): each for each in self.parameters if each.place == "header"}

    async def response(self, responder: Responder, request: Asked, path: str) -> Response:
        """The response to a request for a path of this endpoint.

        Raises
        ------
        Failure
            There is none.
        """
        said = self._said(request, path)
        if self.respond is not None:
            return await self.respond(responder, request, self._values(said))
        known = responder.known(request, said)
        if known is not None:
            return known
        return await responder.respond(request, self.job(**self._values(said)), said)

    def _said(self, request: Request, path: str) -> Said:
        """What a request says, as it says it."""
        # Headers say which part of the body is asked for, and nothing of a head.
        looked_for = () if request.method == "HEAD" else self._in_headers
        found = ((name, header(request.scope, name)) for name in looked_for)
        headers = tuple((name, text) for name, text in found if text is not None)
        return Said(path, request.scope["query_string"], headers)

    def _values(self, said: Said) -> dict[str, Any]:
        """The values of the parameters.

        Raises
        ------
        Failure
            The request says what can't be.
        """
        values = {**self._defaults}
        given_once: set[str] = set()
        for name, text in parse_qsl(said.query.decode("latin-1"), keep_blank_values=True):
            asked = self._in_query.get(name)
            if asked is None:
                self._check_ignored(name)
            elif asked.is_repeated:
                values[asked.target] = (*values[asked.target], asked.value(text))
            elif name in given_once and not self.ignores_others:
                raise Failure(422, f"{name} is given more than once: expected {asked.meaning}")
            else:
                values[asked.target] = asked.value(text)
                given_once.add(name)
        missing = next((each for each in self._required if each.name not in given_once), None)
        if missing is not None:
            raise Failure(422, f"{missing.name} is missing: expected {missing.meaning}")
        for parameter in self._in_path:
            values[parameter.target] = parameter.value(said.path[len(self.begin) :])
        for its_header, text in said.headers:
            parameter = self._in_headers[its_header]
            values[parameter.target] = parameter.value(text)
        return values

    def _check_ignored(self, name: str) -> None:
        if not self.ignores_others:
            listed = ", ".join(sorted(self._in_query)) or "none"
            raise Failure(422, f"{name!r} is no parameter of this; there are: {listed}")
