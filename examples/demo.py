"""Open a NeXus file, look at it, reduce its detector stack with dask, and draw the result.

Without a file, one is made as a scanning beamline writes it: a raster scan with a compressed detector stack, a map
with an auxiliary signal and uncertainties, and an instrument tree.

    python examples/demo.py [FILE] [--dataset /path/in/the/file] [--picture demo.png]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import matplotlib as mpl
import numpy as np
import xarray as xr
from dask.diagnostics import ProgressBar

import nexus_xr

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_PIXEL_MM = 0.075


def make_beamline_file(path: Path, scan: tuple[int, int] = (40, 50), frame: tuple[int, int] = (160, 192)) -> None:
    """Write a raster scan of a diffracting sample: one frame a point, bitshuffle and LZ4, one frame a chunk."""
    rng = np.random.default_rng(7)
    y, x = np.linspace(-0.4, 0.4, scan[0]), np.linspace(-0.5, 0.5, scan[1])
    rows, columns = np.indices(frame)
    radius = np.hypot(rows - frame[0] * 0.52, columns - frame[1] * 0.47)
    rings = sum(height * np.exp(-(((radius - at) / 3) ** 2)) for at, height in ((28, 6.0), (52, 4.0), (77, 2.5)))
    air = 8 * np.exp(-radius / 12) + 0.3
    grains = np.exp(-((y[:, None] - 0.15) ** 2 + (x + 0.2) ** 2) / 0.02)
    grains += 0.7 * np.exp(-((y[:, None] + 0.2) ** 2 + (x - 0.15) ** 2) / 0.04)
    with h5py.File(path, "w") as file:
        file.attrs.update(NX_class="NXroot", default="entry", creator="nexus_xr demo", file_name=path.name)
        entry = _group(file, "entry", "NXentry", default="detector")
        entry["title"] = "Raster scan of two grains"
        entry["start_time"] = "2026-03-01T09:30:00+01:00"
        _instrument(entry)
        data = _group(entry, "detector", "NXdata", signal="counts", axes=["y", "x", "row", "column"])
        data.attrs.update(interpretation="image", y_indices=0, x_indices=1, row_indices=2, column_indices=3)
        stack = data.create_dataset(
            "counts", (*scan, *frame), "u2", chunks=(1, 1, *frame), **hdf5plugin.Bitshuffle(cname="lz4")
        )
        stack.attrs.update(units="counts", long_name="Detector counts")
        total = np.empty(scan)
        for row in range(scan[0]):
            line = rng.poisson(air + rings * grains[row, :, None, None])
            stack[row] = line
            total[row] = line.sum(axis=(1, 2))
        _axis(data, "y", y, "Sample y")
        _axis(data, "x", x, "Sample x")
        _axis(data, "row", np.arange(frame[0]) * _PIXEL_MM, "Detector row")
        _axis(data, "column", np.arange(frame[1]) * _PIXEL_MM, "Detector column")
        _scan_map(entry, data, total, rng)


def _group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update(NX_class=nx_class, **attributes)
    return group


def _field(group: h5py.Group, name: str, value: Any, **attributes: Any) -> None:
    group[name] = value
    group[name].attrs.update(attributes)


def _axis(group: h5py.Group, name: str, values: Any, label: str) -> None:
    _field(group, name, values, units="mm", long_name=label)


def _scan_map(entry: h5py.Group, data: h5py.Group, total: Any, rng: np.random.Generator) -> None:
    group = _group(entry, "map", "NXdata", signal="total", auxiliary_signals=["i0"], axes=["y", "x"])
    _field(group, "total", total, units="counts", long_name="Counts a frame")
    _field(group, "total_errors", np.sqrt(total), units="counts")
    _field(group, "i0", rng.normal(1.2e5, 300, total.shape), units="Hz", long_name="Ion chamber")
    group["y"], group["x"] = data["y"], data["x"]


def _instrument(entry: h5py.Group) -> None:
    instrument = _group(entry, "instrument", "NXinstrument")
    _field(instrument, "name", "Microfocus beamline", short_name="I-demo")
    monochromator = _group(instrument, "monochromator", "NXmonochromator")
    _field(monochromator, "energy", 12.4, units="keV")
    detector = _group(instrument, "detector", "NXdetector")
    _field(detector, "distance", 0.215, units="m")
    _field(detector, "x_pixel_size", _PIXEL_MM, units="mm")
    _field(detector, "count_time", 0.01, units="s")
    sample = _group(entry, "sample", "NXsample")
    _field(sample, "name", "steel, two grains")
    _field(sample, "temperature", 296.2, units="K")


def reduce_and_draw(dataset: xr.Dataset, signal: str, picture: Path) -> None:
    """Draw the mean frame and the summed map of a stack, or whatever the rank of the signal has of them."""
    data = dataset[signal]
    if data.dtype.kind not in "biufc":
        sys.exit(f"the signal {signal!r} is of type {data.dtype}: there is nothing to average or draw")
    data = abs(data) if data.dtype.kind == "c" else data
    views = _views(data)
    with xr.set_options(keep_attrs=True), ProgressBar():
        computed = xr.Dataset(dict(enumerate(views.values()))).compute()
    figure, axes = plt.subplots(1, len(views), figsize=(6.4 * len(views), 5), layout="constrained", squeeze=False)
    for (number, title), axis in zip(enumerate(views), axes[0], strict=True):
        _draw(computed[number].rename(signal), axis, title)
    figure.suptitle(str(data.encoding.get("nexus_path", signal)))
    figure.savefig(picture, dpi=120)
    print(f"\nsaved {picture}")


def _views(data: xr.DataArray) -> dict[str, xr.DataArray]:
    """The frame is the last two dimensions, the map the first two of the others."""
    scan, frame = data.dims[:-2], data.dims[-2:]
    if data.ndim < 2:
        return {"signal": data}
    if not scan:
        return {"signal": data, f"sum over {frame[1]}": data.sum([frame[1]])}
    summed = (*scan[2:], *frame)
    return {
        f"mean over {', '.join(map(str, scan))}": data.mean(list(scan)),
        f"sum over {', '.join(map(str, summed))}": data.sum(list(summed)),
    }


def _draw(view: xr.DataArray, axis: Axes, title: str) -> None:
    if not view.ndim or not view.size:
        axis.axis("off")
        units = view.attrs.get("units", "")
        axis.text(0.5, 0.5, f"{view.item() if view.size else 'no values'} {units}", ha="center", fontsize=20)
    else:
        # The direct beam of a frame would leave nothing else to see; a map is shown as it is.
        is_frame = view.ndim == 2 and not title.startswith("sum")
        options: dict[str, Any] = {"robust": True} if is_frame else {}
        _with_sorted_axes(view).plot(ax=axis, **options)
    axis.set_title(title)


def _with_sorted_axes(view: xr.DataArray) -> xr.DataArray:
    """Images are drawn against axes that rise or fall; others give way to the position in the array."""
    unsorted = [
        dim
        for dim in view.dims
        if dim in view.coords
        and not (view.indexes[dim].is_monotonic_increasing or view.indexes[dim].is_monotonic_decreasing)
    ]
    return view.drop_vars(unsorted) if view.ndim > 1 else view


def main() -> None:
    """Make or open the file, print it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="a NeXus file; without one, one is made")
    parser.add_argument("--dataset", help="path of an NXdata group or dataset, for the default plot")
    parser.add_argument("--picture", type=Path, default=Path("demo.png"))
    arguments = parser.parse_args()
    path = arguments.file
    if path is None:
        path = Path("demo.nxs")
        print(f"making {path}, a raster scan with a detector stack ...")
        make_beamline_file(path)
    try:
        dataset = xr.open_dataset(path, engine="nexus", chunks={}, dataset_path=arguments.dataset)
    except nexus_xr.NexusError as error:
        sys.exit(str(error))
    print(f"\n>>> xr.open_dataset({path.name!r}, engine='nexus', chunks={{}})\n{dataset}")
    if arguments.file is None:
        print(f"\n>>> dataset.attrs['instrument']['detector']\n{dict(dataset.attrs['instrument']['detector'])}")
        tree = xr.open_datatree(path, engine="nexus")
        print(
            f"\n>>> xr.open_datatree({path.name!r}, engine='nexus')['entry/map'].dataset\n{tree['entry/map'].dataset}"
        )
    signal = next(iter(dataset.data_vars), None)
    if signal is None:
        sys.exit(f"{path}: the group has no signal to draw")
    print("\nthe mean frame and the map, computed by dask:")
    reduce_and_draw(dataset, str(signal), arguments.picture)


if __name__ == "__main__":
    main()
