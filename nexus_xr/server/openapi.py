"""The description of the service for machines.

Source: the OpenAPI Specification, version 3.1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from nexus_xr._version import __version__

from .endpoints.endpoint import Endpoint
from .endpoints.parameters import Parameter

# Where it is asked whether the service is there, for which no token is needed.
HEALTH = "/healthz"
_FAILURES_OF_HEALTH = ("400", "403", "431")
_FAILURES = {
    "400": "It is no valid request.",
    "401": "A token is needed.",
    "403": "It may not be read, or not from there.",
    "404": "There is no such thing.",
    "409": "It changed meanwhile.",
    "412": "It isn't in the state that is asked for.",
    "413": "It is more than one request may ask for.",
    "415": "It isn't an HDF5 file.",
    "416": "There are no such bytes.",
    "422": "A parameter isn't what it can be.",
    "431": "Its address and headers are too long, or these are too many.",
    "500": "What is asked for is damaged.",
    "503": "There are too many requests, this one took too long, or a file is being written.",
}
_MESSAGE = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}


def described(endpoints: Iterable[Endpoint], root_path: str = "") -> dict[str, Any]:
    """The description of all endpoints.

    Parameters
    ----------
    endpoints
        What there is.
    root_path
        Where the service is, behind a proxy.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": "nexus_xr", "version": __version__, "description": "NeXus and HDF5 files over HTTP."},
        "servers": [{"url": root_path or "/"}],
        "paths": {
            HEALTH: {"get": _health()},
            **{re.sub(r":\w+}", "}", each.path): {"get": _operation(each)} for each in endpoints},
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


def _health() -> dict[str, Any]:
    failures = {status: _failure(_FAILURES[status]) for status in _FAILURES_OF_HEALTH}
    return {
        "summary": "Whether the service is there.",
        "operationId": "healthz",
        "security": [],
        "responses": {"200": {"description": "It is."}, **failures},
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    found = {
        "description": endpoint.summary,
        "headers": {name: _header(meaning) for name, meaning in endpoint.headers.items()},
        "content": {each: {} for each in endpoint.media_types},
    }
    in_parts = {"206": found} if any(each.name == "Range" for each in endpoint.parameters) else {}
    unchanged = {"304": {"description": "It is as the client has it."}}
    failures = {status: _failure(each) for status, each in _FAILURES.items()}
    return {
        "summary": endpoint.summary,
        "operationId": re.sub(r"\W+", "_", endpoint.path).strip("_"),
        "parameters": list(map(_parameter, endpoint.parameters)),
        "responses": {"200": found, **in_parts, **unchanged, **failures},
    }


def _failure(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": _MESSAGE}}}


def _header(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "schema": {"type": "string"}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.is_required or parameter.place == "path",
        "description": parameter.meaning,
        "schema": dict(parameter.schema),
    }
