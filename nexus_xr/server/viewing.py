"""A file or an object in the viewer, from Python and in notebooks."""

from __future__ import annotations

import atexit
import html
import json
import os
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import uvicorn
import xarray as xr

from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError
from nexus_xr.hdf5.io.local import path_of_what_is_there
from nexus_xr.hdf5.io.superblock import has_hdf5_signature
from nexus_xr.hdf5.runtime.fork import after_fork
from nexus_xr.opening.arrays import is_whole
from nexus_xr.opening.session import Opened

from .application import application_of
from .jobs.served_files import is_shown
from .settings import ANY, settings_of

_PATIENCE_SECONDS = 300
# Two names of this machine, and to browsers two sites. A page within another one may keep a cookie, which the viewer
# needs, where both are of one site: by the name by which most notebooks are opened, or else by the other.
_NAME, _OTHER_NAME = "localhost", "127.0.0.1"
_HERE = f"http://{_NAME}:{{port}}/"
_BASE = "NEXUS_XR_VIEW_BASE"
_FRAME = """\
<iframe src="{escaped}" width="100%" height="600" style="border: 0"></iframe>
<script>
if (location.hostname === "{other}")
  for (const frame of document.querySelectorAll("iframe"))
    if (frame.getAttribute("src") === {quoted}) frame.src = frame.src.replace("//{name}:", "//{other}:");
</script>"""


@dataclass(frozen=True)
class View:
    """Where an object is shown; in a notebook, it is shown below the cell.

    Parameters
    ----------
    url
        The address, with the token that it needs; it is there as long as this process.
    """

    url: str

    def _repr_html_(self) -> str:
        quoted = json.dumps(self.url).replace("<", "\\u003c")
        return _FRAME.format(escaped=html.escape(self.url), quoted=quoted, name=_NAME, other=_OTHER_NAME)


def view(obj: Any, *, browser: bool | None = None) -> View:
    """Show a file, or what was opened or made of one, in the viewer.

    The files of its folder are served to this machine alone, by processes that end with this one. In a notebook behind
    a JupyterHub, and where the environment variable ``NEXUS_XR_VIEW_BASE`` says so, they are shown through a proxy.

    Parameters
    ----------
    obj
        Path of a local file; or a Dataset, DataArray or DataTree. One that was opened is shown as it is in its file,
        others are written into a temporary file first.
    browser
        Whether to open the browser; None for doing so unless this is a notebook.

    Returns
    -------
    View
        Which shows itself in a notebook.

    Raises
    ------
    NexusError
        The file isn't there, can't be read, isn't HDF5 or is hidden; the object can't be written; or
        ``NEXUS_XR_VIEW_BASE`` doesn't say where a port goes.

    Examples
    --------
    >>> from nexus_xr import view
    >>> view("scan.nxs", browser=False)  # doctest: +SKIP
    View(url='http://localhost:.../view?file=scan.nxs&token=...')
    """
    base = _base()
    where, shown = _where(obj)
    folder, name = _served(path_of_what_is_there(where))
    service = _service(folder, is_proxied=base != _HERE)
    asked = {"file": name, **({"path": shown} if shown else {})}
    if browser or (browser is None and not _is_notebook()):
        webbrowser.open(service.address(_HERE, asked))
    return View(service.address(base, asked))


def _base() -> str:
    """What stands before the pages of a service in addresses for who sees a notebook."""
    said = os.environ.get(_BASE, "").strip()
    if said:
        if "{port}" not in said:
            raise NexusError(f"{_BASE}={said!r}: expected an address with {{port}} in it, such as '/proxy/{{port}}/'")
        return f"{said.rstrip('/')}/"
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
    return f"{prefix.rstrip('/')}/proxy/{{port}}/" if prefix and _is_notebook() else _HERE


def _served(path: str) -> tuple[str, str]:
    """The folder that is served for a file, and its name there."""
    if not os.path.isfile(path):
        raise NexusFileNotFoundError(f"{path}: there is no such local file; name one that is there")
    folder, name = os.path.split(os.path.realpath(path))
    if not is_shown(name):
        raise NexusError(f"{path}: files whose names begin with a dot, or aren't UTF-8, aren't served; give it another")
    try:
        with open(path, "rb") as stream:
            is_hdf5 = has_hdf5_signature(stream)
    except OSError as error:
        raise NexusFileError(f"{path}: can't be read ({error.strerror}); see to its permissions") from error
    if not is_hdf5:
        raise NexusFileError(f"{path}: isn't an HDF5 file; name one that is")
    return folder, name


def _where(obj: Any) -> tuple[str, str | None]:
    """The file in which an object is, and its path there."""
    if isinstance(obj, str | os.PathLike):
        return os.fspath(obj), None
    if not isinstance(obj, xr.DataArray | xr.Dataset | xr.DataTree):
        raise NexusError(f"expected a path or an object of xarray to show, found {type(obj).__name__}")
    origins = list(map(_origin, _variables(obj).values()))
    files = {None if origin is None else origin.file.name for origin in origins}
    if len(files) != 1 or not os.path.isfile(str(*files)) or not _is_as_in_file(obj):
        return _written(obj), None
    return str(*files), _place([origin.path for origin in origins if origin is not None], obj)


def _place(paths: Sequence[str], obj: xr.DataArray | xr.Dataset | xr.DataTree) -> str | None:
    """The path in its file at which an object is shown, of whose variables these are the paths."""
    if not isinstance(obj, xr.DataTree):
        return paths[0]
    above = str(obj.encoding.get("nexus_path", "/")).rstrip("/")
    is_of_file = all(f"{path}/".startswith(f"{above}/") for path in paths)
    return above or None if is_of_file else None


def _variables(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> dict[str, xr.Variable]:
    if isinstance(obj, xr.DataArray):
        return {"": obj.variable}
    nodes = {node.path: node for node in obj.subtree} if isinstance(obj, xr.DataTree) else {"": obj}
    return {f"{path}/{name}": each for path, node in nodes.items() for name, each in node.variables.items()}


def _is_as_in_file(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> bool:
    """Whether an object has the values of its file, each at its place; of what is in memory they are compared."""
    in_memory = {name: variable for name, variable in _variables(obj).items() if not is_whole(variable)}
    if not in_memory:
        return True
    try:
        stored = _variables(obj.nexus.refresh())
    except NexusError:  # which says what isn't as it was
        return False
    return all(_has_values_of(variable, stored[name]) for name, variable in in_memory.items())


def _has_values_of(variable: xr.Variable, stored: xr.Variable) -> bool:
    """Whether a variable in memory has the values of one in a file, which may be longer meanwhile."""
    from nexus_xr.writing.fields.blockwise import LazyVariable
    from nexus_xr.writing.fields.comparison import first_difference

    then = stored.isel({dim: slice(size) for dim, size in variable.sizes.items()}, missing_dims="ignore")
    if hasattr(variable._data, "dask") or (variable.dims, variable.shape) != (then.dims, then.shape):
        return False
    return first_difference(LazyVariable(variable), LazyVariable(then), False) is None


def _origin(variable: xr.Variable) -> Opened | None:
    """How a variable was opened, None where it is only a part of that, or was made in memory."""
    origin = variable.encoding.get("opened")
    return origin if isinstance(origin, Opened) and origin.sizes == tuple(variable.sizes.items()) else None


def _written(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> str:
    """The path of a file in which an object was put; it is there as long as this process."""
    from nexus_xr.writing.to_nexus import to_nexus

    descriptor, path = tempfile.mkstemp(".nxs", dir=_temporary_folder().name)
    os.close(descriptor)
    to_nexus(obj, path, mode="w")
    return path


@lru_cache(1)
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="nexus-xr-")


def _is_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class _Service:
    """The service of a folder, in a thread of this process.

    A proxy, such as Jupyter's, passes on the name under which it is asked, which nobody here knows: any will do, as a
    page that has a name of its own lead to this machine has no token.
    """

    def __init__(self, folder: str, *, is_proxied: bool) -> None:
        self._settings = settings_of(folder, True, (ANY,) if is_proxied else (), (), None)
        config = uvicorn.Config(application_of(self._settings), _OTHER_NAME, 0, log_level="error", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="nexus_xr viewer", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise NexusError(f"{folder}: the viewer can't be started; nexus_xr.server.serve tells why")
            time.sleep(0.01)

    def address(self, base: str, asked: dict[str, str]) -> str:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        query = urlencode({**asked, "token": self._settings.token})
        return f"{base.replace('{port}', str(port))}view?{query}"

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join(_PATIENCE_SECONDS)


_services: dict[tuple[str, bool], _Service] = {}
_lock = threading.Lock()


def _service(folder: str, *, is_proxied: bool) -> _Service:
    with _lock:
        if (folder, is_proxied) not in _services:
            _services[folder, is_proxied] = _Service(folder, is_proxied=is_proxied)
            atexit.register(_services[folder, is_proxied].end)
        return _services[folder, is_proxied]


@after_fork
def _start_anew() -> None:
    """A child has none of its parent's threads."""
    global _lock
    _services.clear()
    _lock = threading.Lock()
