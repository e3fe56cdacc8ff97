"""The service as an application for any ASGI server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .access.hosts import KnownHosts
from .access.preflights import Preflights
from .access.strangers import Strangers
from .access.tokens import Tokens
from .endpoints.lookup import Endpoints
from .endpoints.responses import Responder, json_response
from .endpoints.table import ENDPOINTS
from .metrics import MEDIA_TYPE, OTHER, Metrics, bytes_of_figures
from .observed import Observed
from .openapi import HEALTH, described
from .pages import PAGES, page_routes
from .settings import Limits, Settings, settings_of
from .workers.pool import Pool

# What is counted apart.
COUNTED = (*(each.path for each in ENDPOINTS), OTHER)


def app(
    folders: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    token: str | bool = True,
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    limits: Limits | None = None,
) -> Starlette:
    """The service of the HDF5 files below some folders, for any ASGI server.

    Files are read by other processes, which start with the application and are replaced when they end.

    Parameters
    ----------
    folders
        A folder, or several, which are then told apart by their names.
    token
        What clients have to show; True for a random one, which is in ``state.token``; False for none.
    hosts
        Names under which it is reached, one or several, besides those of this machine; "*" for any.
    origins
        Origins of pages that may use it, one or several, besides its own, such as ``https://h5web.example``; "*" for
        any.
    limits
        How much it does for one request and at a time; by default what a laptop can spare.

    Raises
    ------
    TypeError
        The token is neither text nor True or False, as where a variable of the environment isn't set; or another
        argument is of another type.
    NexusError
        There is no such folder, the token is empty, or a host or an origin is none.

    Examples
    --------
    >>> application = app(".", token="secret")
    >>> application.state.token
    'secret'
    """
    return application_of(settings_of(folders, token, hosts, origins, limits))


def application_of(settings: Settings, figures: memoryview | None = None, process: int = 0) -> Starlette:
    """The application that does what the settings say.

    Parameters
    ----------
    settings
        What the service was told.
    figures
        Memory in which several processes count what they do, of `bytes_of_figures`; None for a single one.
    process
        Which of them this is.
    """
    pool = Pool(settings)
    figures = memoryview(bytearray(bytes_of_figures(COUNTED))) if figures is None else figures
    metrics = Metrics(COUNTED, figures, pool.counts, process)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await pool.start()
        try:
            yield
        finally:
            await pool.stop()

    application = Starlette(
        routes=[*_about(metrics), *page_routes(settings.origins)],
        middleware=[*_middleware(settings, metrics), Middleware(Endpoints, ENDPOINTS, Responder(pool))],
        exception_handlers={HTTPException: _refused},
        lifespan=lifespan,
    )
    application.state.token = settings.token
    return application


def _middleware(settings: Settings, metrics: Metrics) -> list[Middleware]:
    layers = [
        Middleware(Observed, metrics),
        Middleware(Strangers, PAGES, settings.origins),
        Middleware(KnownHosts, settings.hosts, settings.origins),
    ]
    if settings.origins:
        layers.append(Middleware(Preflights, settings.origins))
    if settings.token is not None:
        layers.append(Middleware(Tokens, settings.token, (HEALTH,)))
    return layers


def _about(metrics: Metrics) -> list[Route]:
    """What the service says of itself."""

    async def tell_metrics(_: Request) -> Response:
        return Response(metrics.text(), media_type=MEDIA_TYPE)

    async def tell_openapi(request: Request) -> Response:
        return json_response(described(ENDPOINTS, request.scope.get("root_path", "")))

    async def tell_health(_: Request) -> Response:
        return Response(headers={"Cache-Control": "no-store"})

    return [Route("/metrics", tell_metrics), Route("/openapi.json", tell_openapi), Route(HEALTH, tell_health)]


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = json_response({"message": f"{error.detail}: {request.url.path}; see /openapi.json"}, error.status_code)
    response.headers.update(error.headers or {})
    return response
