"""The accessor `.nexus` of xarray's objects."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO

import xarray as xr

from .errors import NexusError
from .nexus.rules.interpretation import shown_dims
from .opening.refresh import refresh_array, refresh_dataset, refresh_tree
from .reductions import reduce
from .signatures import takes
from .writing.options import WritingOptions

if TYPE_CHECKING:
    from .metadata.promotion import Dims
    from .metadata.table import MetadataTable

# What a plot shows together where nothing is said of it: an image.
_USUALLY_SHOWN = 2


class _Accessor:
    """What NeXus adds to xarray's objects."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    @takes(WritingOptions)
    def to_nexus(self, path: str | os.PathLike[str] | BinaryIO, **options: Any) -> Any:
        """Write into a NeXus file; the options are those of `nexus_xr.to_nexus`."""
        from .writing.to_nexus import to_nexus

        return to_nexus(self._obj, path, **options)

    # --- metadata --------------------------------------------------------------------------------------------------

    @property
    def metadata(self) -> MetadataTable:
        """All fields of the metadata, by path; a table with the columns path, value, units and type.

        It prints as that table, unfolds in a notebook, and completes paths as in
        ``ds.nexus.metadata["sample/temperature"]``.
        """
        from .metadata.table import table_of

        return table_of(self._obj)

    def find(self, text: str) -> MetadataTable:
        """The fields of the metadata in whose path a text is, in letters of either case."""
        return self.metadata.find(text)

    # --- other formats ---------------------------------------------------------------------------------------------

    def flat(self, large_arrays: str = "write") -> xr.Dataset | xr.DataTree:
        """The same in a form that any format holds; `nexus_xr.unflat` makes it what it was.

        Attributes are numbers and text under their paths (``"instrument.detector.distance.value"``), and text in JSON
        where they are neither. Complex numbers and compound values are variables of their parts. A DataArray becomes a
        Dataset.

        Parameters
        ----------
        large_arrays
            What becomes of arrays of metadata that stay in their file: ``write``, they are variables; ``leave``, an
            attribute says where they are.

        Raises
        ------
        NexusError
            Something has no form in other formats.
        """
        from .exchange.flat import flat

        return flat(self._obj, large_arrays)

    def to_netcdf(self, path: str | os.PathLike[str], large_arrays: str = "write", **options: Any) -> Any:
        """Write a netCDF file of the flat form; the other options are those of xarray's `to_netcdf`."""
        from .exchange.stores import to_netcdf

        return to_netcdf(self._obj, path, large_arrays, **options)

    def to_zarr(self, store: Any, large_arrays: str = "write", **options: Any) -> Any:
        """Write a Zarr group of the flat form; the other options are those of xarray's `to_zarr`."""
        from .exchange.stores import to_zarr

        return to_zarr(self._obj, store, large_arrays, **options)

    def to_json(self, path: str | os.PathLike[str], large_arrays: str = "leave") -> None:
        """Write a JSON file of the flat form, which `nexus_xr.read_json` reads."""
        from .exchange.json_file import to_json

        to_json(self._obj, path, large_arrays)

    def to_csv(self, path: str | os.PathLike[str], large_arrays: str = "leave") -> None:
        """Write a CSV file of the flat form, a table with a row for each value, which `nexus_xr.read_csv` reads.

        Raises
        ------
        NexusError
            It is a DataTree, which no one table is.
        """
        from .exchange.csv_file import to_csv

        to_csv(self._obj, path, large_arrays)


class _Promoting(_Accessor):
    """What goes for those whose coordinates can be added to."""

    def promote(self, *paths: str, dims: Dims = None, **names: str) -> Any:
        """The same with fields of the metadata as coordinates.

        Parameters
        ----------
        *paths
            Paths of fields, as ``"sample/temperature"``; the coordinate has the name of the field, and its attributes.
        dims
            The dimensions of fields of two or more elements.
        **names
            Paths of fields, by the names that the coordinates get.

        Raises
        ------
        NexusError
            A path isn't there, is a group, or the name is taken.
        """
        from .metadata.promotion import promoting

        return promoting(*paths, dims=dims, **names)(self._obj)


class DataArrayAccessor(_Promoting):
    """`DataArray.nexus`.

    Examples
    --------
    >>> import nexus_xr
    >>> xr.DataArray([1, 2, 3], dims="x", name="counts").nexus.to_nexus("counts.nxs")
    >>> nexus_xr.list_datasets("counts.nxs")[0]
    ['/entry1/counts']
    """

    def refresh(self) -> xr.DataArray:
        """The same with what has been written since it was opened; a file that is being written need not be closed.

        It is opened again in the same way, with all that grew, in dask chunks of the same lengths or lazily indexed as
        before. Of chunks that were known, those are looked up anew that were missing or reached beyond the end.

        Raises
        ------
        NexusError
            It was computed, or is a part of what was opened.
        """
        return refresh_array(self._obj)

    def reduce(self, op: Any, dims: Any = None, where: Any = None, above: Any = None) -> xr.DataArray:
        """Reduce it chunk by chunk in each core's cache; the parameters are those of `nexus_xr.reduce`."""
        return reduce(self._obj, op, dims, where, above)

    def default_view(self) -> xr.DataArray:
        """The part that a plot shows first: the dimensions of ``@interpretation``, at ``@default_slice``.

        Source: the attributes ``interpretation`` of a field and ``default_slice`` of NXdata.
        """
        array: xr.DataArray = self._obj
        chosen = {dim: at for dim, at in array.encoding.get("default_slice", {}).items() if dim in array.dims}
        said = shown_dims(array.attrs)
        shown = _USUALLY_SHOWN if said is None else said
        left = [dim for dim in array.dims if dim not in chosen]
        chosen |= dict.fromkeys(left[: max(0, len(left) - shown)], 0)
        return array.isel(chosen)

    def plot(self, **options: Any) -> Any:
        """Plot the default view by xarray's `plot`."""
        return self.default_view().plot(**options)


class DatasetAccessor(_Promoting):
    """`Dataset.nexus`."""

    def refresh(self) -> xr.Dataset:
        """The same with what has been written since it was opened, as `DataArray.nexus.refresh` does it."""
        return refresh_dataset(self._obj)

    def plot(self, **options: Any) -> Any:
        """Plot the default view of the signal, the first variable."""
        if not self._obj.data_vars:
            raise NexusError("the Dataset has no variable to plot")
        signal: xr.DataArray = next(iter(self._obj.data_vars.values()))
        return DataArrayAccessor(signal).plot(**options)


class DataTreeAccessor(_Accessor):
    """`DataTree.nexus`."""

    def refresh(self) -> xr.DataTree:
        """The same with what has been written since it was opened, as `DataArray.nexus.refresh` does it."""
        return refresh_tree(self._obj)


def register() -> None:
    """Give xarray's classes the accessor."""
    for register_accessor, accessor, owner in (
        (xr.register_dataarray_accessor, DataArrayAccessor, xr.DataArray),
        (xr.register_dataset_accessor, DatasetAccessor, xr.Dataset),
        (xr.register_datatree_accessor, DataTreeAccessor, xr.DataTree),
    ):
        if not hasattr(owner, "nexus"):
            register_accessor("nexus")(accessor)


register()
