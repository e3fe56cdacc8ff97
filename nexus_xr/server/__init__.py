"""NeXus and HDF5 files over HTTP: a service for browsers, notebooks far away, and whoever speaks HTTP."""

from nexus_xr.extras import advising

with advising():
    from nexus_xr.server.application import app
    from nexus_xr.server.serving import serve
    from nexus_xr.server.settings import Limits

__all__ = ["Limits", "app", "serve"]
