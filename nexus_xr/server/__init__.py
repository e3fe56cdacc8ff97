"""NeXus and HDF5 files over HTTP: a service for browsers, notebooks far away, and whoever speaks HTTP."""

from .application import app
from .serving import serve
from .settings import Limits

__all__ = ["Limits", "app", "serve"]
