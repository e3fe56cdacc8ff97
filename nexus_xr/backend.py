"""The engine "nexus" of xarray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from nexus_xr.hdf5.io.file import File, as_file_like
from nexus_xr.nexus.tree.find import Keys
from nexus_xr.opening.datatree import open_groups, tree_of
from nexus_xr.opening.guess import is_nexus, leave_nexus_to_us
from nexus_xr.opening.session import Options, open_one


class NexusBackendEntrypoint(BackendEntrypoint):
    """Opens NeXus files, and other HDF5 files, with ``engine="nexus"``."""

    description = "Open NeXus files of neutron, x-ray and electron facilities, lazily and chunk by chunk"
    url = "docs/index.md"  # where the documentation is in the repository
    supports_groups = True

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        group: str | None = None,
        dataset_path: Keys = None,
        dataset_key: Keys = None,
        metadata_key: Keys = None,
        skip_array_metadata: bool = False,
        hardlinks_only: bool = False,
        use_default: bool = True,
        mask_and_scale: bool = True,
        missing: str = "fill",
        drop_variables: str | Iterable[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        num_threads: int | None = None,
    ) -> xr.Dataset:
        """Open one NXdata group: the default plot, or the one that is selected.

        Parameters
        ----------
        filename_or_obj
            Path, URL or open binary file.
        group
            Group to begin at: an NXdata group, or one above it.
        dataset_path
            Exact path of an NXdata group or of a dataset.
        dataset_key
            Part of the path of an NXdata group or of a dataset.
        metadata_key
            Part of the path, or several, of the metadata to keep in ``attrs``.
        skip_array_metadata
            Whether to leave metadata of two or more elements out of ``attrs``.
        hardlinks_only
            Whether to leave what soft and external links, and the attribute ``target``, lead to.
        use_default
            Whether the default plot is opened where nothing is selected; without it there must be just one.
        mask_and_scale
            Whether ``FIELD_scaling_factor`` and ``FIELD_offset`` are applied.
        missing
            What becomes of targets of links and sources of virtual datasets that are missing: "fill" reads fill values
            where there are sources, and warns of them all; "raise" makes them an error.
        drop_variables
            Names of variables to leave out.
        storage_options
            Options for the fsspec file system of a URL.
        num_threads
            Most threads that a read may decode with; None for what ``NEXUS_XR_NUM_THREADS`` says, or else the CPUs
            that this process may use.

        Raises
        ------
        NexusError
            The file isn't HDF5, or what was asked for isn't there, or is there several times.
        """
        options = Options(
            group=group,
            dataset_path=dataset_path,
            dataset_key=dataset_key,
            metadata_key=metadata_key,
            skip_array_metadata=skip_array_metadata,
            hardlinks_only=hardlinks_only,
            use_default=use_default,
            mask_and_scale=mask_and_scale,
            missing=missing,
            drop_variables=_names(drop_variables),
        )
        return open_one(File(as_file_like(filename_or_obj), storage_options, num_threads), options)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        num_threads: int | None = None,
        **options: Any,
    ) -> dict[str, xr.Dataset]:
        """Open every NXdata group that is selected, by path.

        The parameters are those of `open_dataset`; with `use_default`, which is False here, the default plot alone.
        """
        chosen = Options(drop_variables=_names(drop_variables), **options)
        return open_groups(File(as_file_like(filename_or_obj), storage_options, num_threads), chosen)

    def open_datatree(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None, **options: Any
    ) -> xr.DataTree:
        """Open every NXdata group that is selected as a tree; the parameters are those of `open_groups_as_dict`."""
        return tree_of(self.open_groups_as_dict(filename_or_obj, drop_variables=drop_variables, **options))

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether a file is NeXus: by its extension, or as HDF5 whose root or first group has an NX_class."""
        return is_nexus(filename_or_obj)


leave_nexus_to_us()


def _names(names: str | Iterable[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())
