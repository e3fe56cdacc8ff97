"""The accessor `.nexus` of xarray's objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import xarray as xr
from numpy.typing import ArrayLike, NDArray

from .arrays.edges import assign_edges, bounds_to_edges, edges_along, edges_to_bounds
from .arrays.fitting import curvefit
from .arrays.quantified import without_quantities
from .arrays.rebinning import rebin
from .arrays.signal_dims import assign_signal_dims, set_signal_dims, signal_dims
from .arrays.uncertainties import (
    assign_errors,
    errors_by_owner,
    errors_in,
    is_uncertain,
    values_in,
    variances_in,
    with_uncertainties,
    without_uncertainties,
)
from .opening.refresh import refresh_array, refresh_dataset, refresh_tree
from .plotting.view import default_view, signal_of, view_of
from .reductions import reduce
from .signatures import checks, takes
from .writing.options import WritingOptions

if TYPE_CHECKING:
    from .metadata.promotion import Dims
    from .metadata.table import MetadataTable


class _Accessor:
    """What NeXus adds to xarray's objects."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    @property
    def _plain(self) -> Any:
        """The object, with numbers and their units as attributes where it has quantities of pint."""
        return without_quantities(self._obj)

    @takes(WritingOptions)
    def to_nexus(self, path: str | os.PathLike[str] | BinaryIO, **options: Any) -> Any:
        """Write into a NeXus file; the options are those of `nexus_xr.to_nexus`."""
        from .writing.to_nexus import to_nexus

        return to_nexus(self._obj, path, **options)

    # --- metadata --------------------------------------------------------------------------------------------------

    @property
    def metadata(self) -> MetadataTable:
        """All fields of the metadata, by path; a table with the columns path, value, units and type.

        It prints as that table, unfolds in a notebook, and takes paths as ``ds.nexus.metadata["sample/temperature"]``.
        IPython completes them of a table that has a name (``table = ds.nexus.metadata``).
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


class _ArrayAccessor(_Accessor):
    """What it adds to arrays and Datasets of them.

    Where these are quantities of pint, what comes of them has numbers with attributes ``units``.
    """

    def edges(self, name: Hashable) -> NDArray[Any]:
        """The n + 1 edges of the n bins of a coordinate, in its unit.

        Raises
        ------
        NexusError
            It has no edges of bins in its index, or these leave gaps, as after ``isel(tof=[0, 7])``.

        Examples
        --------
        >>> import nexus_xr
        >>> counts = xr.DataArray([3, 5, 2], dims="tof").nexus.assign_edges(tof=[0, 10, 20, 40])
        >>> counts[1:].nexus.edges("tof")
        array([10, 20, 40])
        """
        return edges_along(self._plain, name)

    def assign_edges(self, edges: Mapping[Any, ArrayLike] | None = None, **by_name: ArrayLike) -> Any:
        """The same with edges of bins: coordinates of their middles, with an index of n + 1 edges for n bins.

        Raises
        ------
        NexusError
            There isn't one edge more than the dimension is long, or the edges are in other units than the coordinate.
        """
        return assign_edges(self._plain, {**(edges or {}), **by_name})

    @checks()
    def rebin(self, numbers: Mapping[Any, int] | None = None, **by_name: int) -> Any:
        """The same with so many neighbouring bins added up, and the edges of what becomes of them.

        Uncertainties are propagated, be they joined with values or variables or coordinates of their own,
        ``<name>_errors``. Of booleans, as a ``mask``, it is whether any of those that are put together is true. Other
        coordinates have their means, and those with CF bounds the middles of the bounds of what was put together. What
        a file has beside its signals is left out of a Dataset, with a warning.

        Raises
        ------
        NexusError
            There aren't just so many bins along a dimension, they leave gaps, or there is text along it.

        Examples
        --------
        >>> import nexus_xr
        >>> counts = xr.DataArray([3, 5, 2, 7], dims="tof").nexus.assign_edges(tof=[0, 10, 20, 40, 50])
        >>> rebinned = counts.nexus.rebin(tof=2)
        >>> rebinned.values, rebinned.nexus.edges("tof")
        (array([8, 9]), array([ 0, 20, 50]))
        """
        return rebin(self._plain, {**(numbers or {}), **by_name})

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


class DataArrayAccessor(_ArrayAccessor):
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

    def with_uncertainties(self, errors: Any = None) -> xr.DataArray:
        """Values and uncertainties in one array, whose arithmetic propagates these to first order.

        Parameters
        ----------
        errors
            Standard uncertainties, in the unit of the values, to which those of quantities are converted; None for
            the coordinate ``<name>_errors``.

        Raises
        ------
        NexusError
            There are none, or they were computed as ordinary values, or they say other units.

        Examples
        --------
        >>> import nexus_xr
        >>> counts = xr.DataArray([100.0, 400.0], dims="x", name="counts").nexus.with_uncertainties([10.0, 20.0])
        >>> (counts / 2).nexus.errors.values
        array([ 5., 10.])
        """
        dataset = self._dataset() if errors is None else assign_errors(self._dataset(), {self._name: errors})
        return self._named(with_uncertainties(dataset))

    def without_uncertainties(self) -> xr.DataArray:
        """Values, with their uncertainties as the coordinate ``<name>_errors``."""
        dataset = without_uncertainties(self._dataset())
        return self._named(dataset.set_coords(errors_by_owner(dataset).values()))

    def assign_errors(self, errors: Any) -> xr.DataArray:
        """The same with standard uncertainties, in the unit of the values, as the coordinate ``<name>_errors``."""
        dataset = assign_errors(self._dataset(), {self._name: errors})
        return self._named(dataset.set_coords(errors_by_owner(dataset).values()))

    @property
    def values(self) -> xr.DataArray:
        """The values, without uncertainties."""
        array: xr.DataArray = self._obj
        return array.copy(data=values_in(array).data) if is_uncertain(array.variable) else array

    @property
    def errors(self) -> xr.DataArray:
        """The standard uncertainties, in the unit of the values: of an array with these, or with ``<name>_errors``."""
        return self._of_joined(errors_in)

    @property
    def variances(self) -> xr.DataArray:
        """The squares of the standard uncertainties."""
        return self._of_joined(variances_in)

    def curvefit(
        self, dim: Hashable, function: Callable[..., Any], p0: Mapping[str, float] | None = None, **options: Any
    ) -> xr.Dataset:
        """Fit a function along a dimension by least squares, in which each value weighs as its uncertainty says.

        Parameters
        ----------
        dim
            A dimension with a coordinate, whose values are the function's first argument.
        function
            A function of these and of its parameters.
        p0
            Where to start, by the parameters' names; at 1 where nothing is said.
        **options
            Those of ``scipy.optimize.curve_fit``.

        Returns
        -------
        xarray.Dataset
            The parameters by their names, with their uncertainties, along the other dimensions; NaN where no fit was
            found. Values that are NaN are left out, and how parameters depend on each other is not kept.

        Raises
        ------
        NexusError
            There are no uncertainties, or some are 0; or there is no such coordinate, or parameter.

        Examples
        --------
        >>> import nexus_xr
        >>> counts = xr.DataArray([2.0, 4.0, 6.0], {"x": [1, 2, 3]}, "x", "counts").nexus.with_uncertainties([0.1] * 3)
        >>> line = counts.nexus.curvefit("x", lambda x, slope: slope * x)
        >>> line.slope.data
        UncertainArray(2. ± 0.02672612)
        """
        return curvefit(DataArrayAccessor(self._plain)._joined(), dim, function, p0 or {}, options)

    def _of_joined(self, part: Callable[[xr.DataArray], xr.Variable]) -> xr.DataArray:
        joined = self._joined()
        return xr.DataArray(part(joined), joined.coords, name=joined.name)

    def _joined(self) -> xr.DataArray:
        array: xr.DataArray = self._obj
        return array if is_uncertain(array.variable) else self.with_uncertainties()

    @property
    def signal_dims(self) -> tuple[Hashable, ...]:
        """The dimensions that make one signal; the others lead from one signal to the next, as HyperSpy has it.

        As many of the last ones as the attribute ``interpretation`` says; else those whose coordinate has no attribute
        ``navigate``, or one that is false, which is all of them where no coordinate has it.

        Set, to one name or to several in their order, it changes the array in place as `assign_signal_dims` changes a
        copy. A variable of a Dataset is another array each time that it is taken, so give it a name first.

        Raises
        ------
        NexusError
            As `assign_signal_dims`, and the array is as it was.

        Examples
        --------
        >>> import nexus_xr
        >>> images = xr.DataArray([[[1, 2], [3, 4]]], dims=("y", "x", "frame"))
        >>> images.nexus.signal_dims = ("y", "x")
        >>> images.dims, images.nexus.signal_dims, images.attrs
        (('frame', 'y', 'x'), ('y', 'x'), {'interpretation': 'image'})
        """
        return signal_dims(self._obj)

    @signal_dims.setter
    def signal_dims(self, dims: str | Iterable[Hashable]) -> None:
        set_signal_dims(self._obj, dims)

    def assign_signal_dims(self, *dims: Hashable) -> xr.DataArray:
        """The same with these dimensions as those of one signal, which become the last ones.

        It is the attribute ``interpretation`` that says so, or for more than two, ``navigate`` of the coordinates. So
        it is written, and HyperSpy opens a Signal1D or Signal2D.

        Raises
        ------
        NexusError
            The array hasn't such a dimension, or more than two can't be told apart from the others.

        Examples
        --------
        >>> import nexus_xr
        >>> spectra = xr.DataArray([[1, 2], [3, 4]], dims=("energy", "x")).nexus.assign_signal_dims("energy")
        >>> spectra.dims, spectra.nexus.signal_dims, spectra.attrs
        (('x', 'energy'), ('energy',), {'interpretation': 'spectrum'})
        """
        return assign_signal_dims(self._obj, dims)

    @property
    def _name(self) -> Hashable:
        return "data" if self._obj.name is None else self._obj.name

    def _dataset(self) -> xr.Dataset:
        array = self._plain
        dataset: xr.Dataset = array.to_dataset(name=self._name)
        return dataset.assign_attrs(array.attrs)

    def _named(self, dataset: xr.Dataset) -> xr.DataArray:
        return dataset[self._name].rename(self._obj.name)

    def reduce(self, op: Any, dims: Any = None, where: Any = None, above: Any = None) -> xr.DataArray:
        """Reduce it chunk by chunk in each core's cache; the parameters are those of `nexus_xr.reduce`."""
        return reduce(self._obj, op, dims, where, above)

    def default_view(self) -> xr.DataArray:
        """The part that a plot shows first: the dimensions of ``@interpretation``, at ``@default_slice``.

        Source: the attributes ``interpretation`` of a field and ``default_slice`` of NXdata.
        """
        return default_view(self._plain)

    def plot(self, **options: Any) -> Any:
        """Plot the default view by xarray's `plot`, as `nexus_xr.plot` does it, but of all its values.

        Of bins a histogram's steps, or an image by their edges.
        """
        from .plotting.picture import draw

        return draw(view_of(self._plain, is_thinned=False), **options)


class DatasetAccessor(_ArrayAccessor):
    """`Dataset.nexus`."""

    def refresh(self) -> xr.Dataset:
        """The same with what has been written since it was opened, as `DataArray.nexus.refresh` does it.

        What had no variables when it was opened, as files that it links to were missing, gets those that there are now.
        """
        return refresh_dataset(self._obj)

    def with_uncertainties(self) -> xr.Dataset:
        """Each variable in one array with its uncertainties ``<name>_errors``, as `DataArray.nexus` does it.

        Raises
        ------
        NexusError
            There are none, or they were computed as ordinary values, or some say other units than their values.
        """
        return with_uncertainties(self._plain)

    def without_uncertainties(self) -> xr.Dataset:
        """Values and their uncertainties as variables of their own, called ``<name>_errors``."""
        return without_uncertainties(self._plain)

    @property
    def values(self) -> xr.Dataset:
        """The values of each variable, without uncertainties that are joined with them."""
        return self._of_joined(values_in, self._obj)

    @property
    def errors(self) -> xr.Dataset:
        """The standard uncertainties of those variables that they are joined with, by the variables' names."""
        return self._of_joined(errors_in, self._obj.coords.to_dataset())

    def _of_joined(self, part: Callable[[xr.DataArray], xr.Variable], beside: xr.Dataset) -> xr.Dataset:
        uncertain = [name for name, each in self._obj.data_vars.variables.items() if is_uncertain(each)]
        return beside.assign({name: part(self._obj[name]) for name in uncertain})

    def assign_errors(self, errors: Mapping[Any, Any] | None = None, **by_name: Any) -> xr.Dataset:
        """The same with variables ``<name>_errors`` that are the standard uncertainties of others."""
        return assign_errors(self._plain, {**(errors or {}), **by_name})

    def edges_to_bounds(self) -> xr.Dataset:
        """The same with the edges of bins as CF bounds alone, as cf_xarray knows them and netCDF holds them.

        Examples
        --------
        >>> import nexus_xr
        >>> counts = xr.DataArray([3, 5, 2], dims="tof", name="counts").nexus.assign_edges(tof=[0, 10, 20, 40])
        >>> counts.to_dataset().nexus.edges_to_bounds().tof_bounds.values.tolist()
        [[0, 10], [10, 20], [20, 40]]
        """
        return edges_to_bounds(self._plain)

    def bounds_to_edges(self) -> xr.Dataset:
        """The same with indexes of edges for the coordinates that have CF bounds, which stay beside them."""
        return bounds_to_edges(self._plain)

    def plot(self, **options: Any) -> Any:
        """Plot the default view of the signal, the first variable."""
        return DataArrayAccessor(signal_of(self._plain, "the Dataset")).plot(**options)


class DataTreeAccessor(_Accessor):
    """`DataTree.nexus`."""

    def refresh(self) -> xr.DataTree:
        """The same with what has been written since it was opened, as `Dataset.nexus.refresh` does it of each node."""
        return refresh_tree(self._obj)
