"""The engine "nexus" of xarray."""

from __future__ import annotations

from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from .opening.datatree import open_groups, tree_of
from .opening.guess import is_nexus, let_netcdf_decline_nexus
from .opening.options import Options
from .opening.session import open_one
from .signatures import takes

# xarray makes dask chunks of what the engine gives, which is NXdata, and other datasets where they are selected, and
# plain arrays.
_NOT_OF_THE_ENGINE = ("chunks", "nxdata_only", "uncertainties")


class NexusBackendEntrypoint(BackendEntrypoint):
    """Opens NeXus files, and other HDF5 files, with ``engine="nexus"``."""

    description = "Open NeXus files of neutron, x-ray and electron facilities, lazily and chunk by chunk"
    url = "docs/index.md"  # where the documentation is in the repository
    supports_groups = True

    @takes(Options, *_NOT_OF_THE_ENGINE, use_default=True)
    def open_dataset(self, filename_or_obj: Any, **options: Any) -> xr.Dataset:
        """Open one NXdata group: the default plot, or the one that is selected.

        Parameters
        ----------
        filename_or_obj
            Path, URL or open binary file.
        {options}

        Raises
        ------
        NexusError
            The file isn't HDF5, or what was asked for isn't there, or is there several times.
        """
        chosen = Options(**options)
        return open_one(chosen.file(filename_or_obj), chosen)

    @takes(Options, *_NOT_OF_THE_ENGINE)
    def open_groups_as_dict(self, filename_or_obj: Any, **options: Any) -> dict[str, xr.Dataset]:
        """Open every NXdata group that is selected, by path.

        The parameters are those of `open_dataset`; with `use_default`, which is False here, the default plot alone.
        """
        chosen = Options(**options)
        return open_groups(chosen.file(filename_or_obj), chosen)

    @takes(Options, *_NOT_OF_THE_ENGINE)
    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """Open every NXdata group that is selected as a tree; the parameters are those of `open_groups_as_dict`."""
        return tree_of(self.open_groups_as_dict(filename_or_obj, **options))

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether a file is NeXus: by its extension, or as HDF5 whose root or first group has an NX_class."""
        return is_nexus(filename_or_obj)


let_netcdf_decline_nexus()
