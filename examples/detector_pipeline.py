"""Reduce a scan of detector frames on a cluster: correct them, average them over rings, and map the sample.

The scan is synthetic, of any logical size: frames of 4 megapixels of a diffracting sample on a raster, in a virtual
dataset over many detector files, which show up again and again so that the scan takes little disk. Reducing it is what
beamlines do: dark and flat field, a mask of hot pixels, gaps and beam stop, the azimuthal average of each frame, and a
map. The result is a NeXus file that says how it was made, and a picture.

    python examples/detector_pipeline.py --size 2
    python examples/detector_pipeline.py --scheduler tcp://10.0.0.5:8786 --folder /shared/scratch --keep
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import matplotlib as mpl
import numpy as np
import xarray as xr
from distributed import Client, LocalCluster, progress
from numpy.typing import NDArray

import nexus_xr

mpl.use("Agg")
from matplotlib import pyplot as plt

FRAME = (2048, 2048)
LEVELS, FRAMES_IN_FILE = 24, 8
CENTRE = (1060.0, 985.0)
PIXEL_MM, DISTANCE_MM, WAVELENGTH = 0.075, 260.0, 1.0  # the wavelength is in angstrom
MATRIX, GRAINS = (
    ((1.55, 3.0), (1.8, 2.0), (2.53, 1.5)),
    ((1.7, 4.0), (2.2, 2.5)),
)  # rings: position in 1/angstrom, counts
BINS = 400


# --- making the scan -------------------------------------------------------------------------------------------


def momentum_transfer() -> NDArray[Any]:
    """The q of each pixel, in 1/angstrom."""
    row, column = np.indices(FRAME, dtype="f4")
    radius = np.hypot(row - CENTRE[0], column - CENTRE[1]) * PIXEL_MM
    q: NDArray[Any] = 4 * np.pi / WAVELENGTH * np.sin(np.arctan2(radius, DISTANCE_MM) / 2)
    return q


def make_detector(rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """What its calibration says of a detector: dark level, flat field, and the pixels that can't be used."""
    row, column = np.indices(FRAME)
    flat = 1 + 0.08 * np.sin(column / 197) * np.cos(row / 263) + rng.normal(0, 0.02, FRAME)
    flat *= np.where((column // 512 + row // 512) % 2, 0.95, 1.05)  # modules differ
    mask = (row % 512 >= 500) | (column % 1024 >= 1014)  # gaps between modules
    mask |= np.hypot(row - CENTRE[0], column - CENTRE[1]) < 60  # the beam stop, and what holds it
    mask |= (abs(row - CENTRE[0]) < 8) & (column > CENTRE[1])
    dark = rng.uniform(0.1, 0.4, FRAME)
    hot = rng.random(FRAME) < 2e-4
    return {"flatfield": flat.astype("f4"), "dark": dark.astype("f4"), "pixel_mask": (mask * 1 + hot * 16).astype("u4")}


def make_frames(amount: float, count: int, detector: dict[str, NDArray[Any]], rng: np.random.Generator) -> NDArray[Any]:
    """Frames of a point of the sample with that much of a grain."""
    q = momentum_transfer()
    expected = 0.3 + 4 * np.exp(-q / 0.5)
    for rings, weight in ((MATRIX, 1 - 0.7 * amount), (GRAINS, amount)):
        for at, height in rings:
            expected += weight * height * np.exp(-(((q - at) / 0.02) ** 2))
    counts = rng.poisson(expected * detector["flatfield"] + detector["dark"], (count, *FRAME)).astype("u2")
    counts[:, detector["pixel_mask"] & 1 > 0] = 0
    counts[:, detector["pixel_mask"] == 16] = 60000
    return counts


def make_sample(rows: int, columns: int) -> NDArray[Any]:
    """How much of a grain is at each point of the raster."""
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    grains = ((0.25, 0.3, 0.012), (0.6, 0.7, 0.03), (0.8, 0.2, 0.008), (0.35, 0.8, 0.006))
    amount = np.zeros(y.shape)
    for at_y, at_x, width in grains:
        amount += np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / width)
    return np.minimum(amount, 1)


def make_scan(folder: Path, gibibytes: float) -> Path:
    """Write a scan of that logical size: detector files, and a master with a virtual dataset over them."""
    rng = np.random.default_rng(4)
    points = max(4, int(gibibytes * 2**30 / (2 * math.prod(FRAME))))
    columns = math.ceil(math.sqrt(points * 100 / 64))
    rows = max(1, points // columns)
    level = np.rint(make_sample(rows, columns).ravel() * (LEVELS - 1)).astype(int)
    detector = make_detector(rng)
    stretches = runs(level)
    layout = h5py.VirtualLayout((rows * columns, *FRAME), "u2")
    for each in np.unique(level):
        own = [(begin, end) for begin, end in stretches if level[begin] == each]
        frames = make_frames(each / (LEVELS - 1), max(end - begin for begin, end in own), detector, rng)
        name, compression = f"frames_{each:06}.h5", hdf5plugin.Bitshuffle(cname="lz4")
        with h5py.File(folder / name, "w") as file:
            file.create_dataset("entry/data/data", data=frames, chunks=(1, *FRAME), compression=compression)
        source = h5py.VirtualSource(name, "entry/data/data", frames.shape)
        for begin, end in own:
            layout[begin:end] = source[: end - begin]
    y, x = np.indices((rows, columns)).reshape(2, -1) * 0.01
    with h5py.File(folder / "scan.nxs", "w", libver="latest") as file:
        file.attrs["default"] = "entry"
        entry = group(file, "entry", "NXentry", default="data", title="Raster scan of grains in a matrix")
        found = group(group(entry, "instrument", "NXinstrument"), "detector", "NXdetector")
        for name, values in detector.items():
            found.create_dataset(name, data=values, compression="gzip", compression_opts=1, shuffle=True)
        data = group(entry, "data", "NXdata", signal="counts", axes=["point", ".", "."], y_indices=0, x_indices=0)
        data.create_virtual_dataset("counts", layout)
        data["counts"].attrs.update(units="counts", interpretation="image")
        for name, values in (("point", np.arange(len(y))), ("y", y), ("x", x)):
            data[name] = values
            data[name].attrs["units"] = "" if name == "point" else "mm"
    return folder / "scan.nxs"


def runs(level: NDArray[Any]) -> list[tuple[int, int]]:
    """Stretches of points of one level, none longer than a detector file."""
    borders = {0, len(level), *(np.flatnonzero(np.diff(level)) + 1).tolist()}
    for begin, end in zip(sorted(borders)[:-1], sorted(borders)[1:], strict=True):
        borders |= set(range(begin, end, FRAMES_IN_FILE))
    return list(zip(sorted(borders)[:-1], sorted(borders)[1:], strict=True))


def group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    """Make a group of a class."""
    made = parent.create_group(name)
    made.attrs.update(NX_class=nx_class, **attributes)
    return made


# --- reducing it -----------------------------------------------------------------------------------------------


def ring_numbers(pixel_mask: NDArray[Any]) -> NDArray[Any]:
    """The ring that each pixel is in; those that are masked are in one of their own, the last."""
    rings = np.digitize(momentum_transfer(), ring_edges()) - 1
    return np.where(pixel_mask == 0, np.clip(rings, 0, BINS - 1), BINS)


def ring_edges() -> NDArray[Any]:
    """The borders of the rings, in 1/angstrom."""
    q = momentum_transfer()
    return np.linspace(q.min(), q.max(), BINS + 1)


def azimuthal_average(frames: NDArray[Any], ring: NDArray[Any]) -> NDArray[Any]:
    """The mean over each ring, for one frame or a stack of them."""
    pixels = np.bincount(ring.ravel(), minlength=BINS + 1)
    sums = [np.bincount(ring.ravel(), weights=frame, minlength=BINS + 1) for frame in frames.reshape(-1, ring.size)]
    with np.errstate(invalid="ignore"):
        means = (np.array(sums) / pixels)[:, :BINS]
    return means.reshape(*frames.shape[:-2], BINS).astype("f4")


def reduce_scan(scan: xr.Dataset) -> xr.Dataset:
    """The mean frame, and for each point the azimuthal average, of corrected frames; nothing is computed yet."""
    frame = list(scan.counts.dims[1:])
    dark, flat, mask = (calibration(scan, name) for name in ("dark", "flatfield", "pixel_mask"))
    corrected = (scan.counts - dark) / flat
    ring = xr.apply_ufunc(ring_numbers, mask, dask="parallelized", output_dtypes=[np.intp])
    profiles = xr.apply_ufunc(
        azimuthal_average,
        corrected,
        ring,
        input_core_dims=[frame, frame],
        output_core_dims=[["q"]],
        dask="parallelized",
        output_dtypes=["f4"],
        dask_gufunc_kwargs={"output_sizes": {"q": BINS}},
    )
    edges = ring_edges()
    profiles = profiles.assign_coords(q=("q", (edges[1:] + edges[:-1]) / 2, {"units": "1/angstrom"}))
    mean = corrected.mean("point", skipna=False).where(mask == 0)
    return xr.Dataset({"profile": profiles, "mean_frame": mean})


def calibration(scan: xr.Dataset, name: str) -> xr.DataArray:
    """A field of the detector, which each worker reads by itself."""
    path = f"/entry/instrument/detector/{name}"
    [field] = nexus_xr.open_signals(scan.encoding["source"], dataset_path=path, chunks=-1)
    return field.rename(dict(zip(field.dims, scan.counts.dims[1:], strict=True))).drop_attrs()


def maps_of(profiles: xr.DataArray) -> xr.DataArray:
    """For each point of the raster, how far the rings of the grains stand out."""
    peaks = [profiles.sel(q=slice(at - 0.03, at + 0.03)).mean("q") for at, _ in GRAINS]
    beside = [profiles.sel(q=slice(at - 0.09, at - 0.06)).mean("q") for at, _ in GRAINS]
    strength = (xr.concat(peaks, "ring") - xr.concat(beside, "ring")).sum("ring")
    raster = strength.set_index(point=["y", "x"]).unstack("point")
    return raster.rename("grains").assign_attrs(units="counts", long_name="Rings of the grains")


def provenance(scan: xr.Dataset, **parameters: Any) -> dict[str, Any]:
    """How the result was made, as an NXprocess."""
    note = {"attrs": {"NX_class": "NXnote"}, "type": "application/json", "data": json.dumps(parameters)}
    process = {
        "attrs": {"NX_class": "NXprocess"},
        "program": "detector_pipeline.py",
        "version": nexus_xr.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "sequence_index": 1,
        "source": str(scan.encoding["source"]),
        "parameters": note,
    }
    return {"process": process}


def draw(result: xr.Dataset, raster: xr.DataArray, title: str, picture: Path) -> None:
    """The mean frame, the profiles of a point in a grain and of one beside it, and the map."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(17, 5), layout="constrained")
    image = left.imshow(result.mean_frame, vmin=0, vmax=float(result.mean_frame.quantile(0.995)), cmap="magma")
    figure.colorbar(image, ax=left, label="counts", shrink=0.85)
    left.set(title="mean of all frames, corrected", xlabel="column", ylabel="row")
    strongest, weakest = int(raster.values.argmax()), int(raster.values.argmin())
    for point, label in ((strongest, "in a grain"), (weakest, "in the matrix")):
        result.profile[point].plot(ax=middle, label=label, linewidth=1.2)
    middle.set(title="azimuthal average of one frame", xlabel="q [1/angstrom]", ylabel="counts")
    middle.legend()
    raster.plot.pcolormesh(
        ax=right, cmap="viridis", center=False, cbar_kwargs={"label": "rings of the grains [counts]"}
    )
    right.set(title="map of the grains", aspect="equal", xlabel="x [mm]", ylabel="y [mm]")
    figure.suptitle(title)
    figure.savefig(picture, dpi=120)


# --- running it ------------------------------------------------------------------------------------------------


def peak_mebibytes() -> float:
    """The most memory that this process has taken."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(client: Client, scan_path: Path, output: Path, picture: Path) -> None:
    """Reduce a scan on the workers of a client, and say how it went."""
    scan = xr.open_dataset(scan_path, engine="nexus", chunks={})
    print(
        f"{scan.counts.nbytes / 2**30:.2f} GiB in {scan.counts.shape[0]} frames, {scan.counts.data.npartitions} blocks"
    )
    begin = time.perf_counter()
    reduced = client.persist(reduce_scan(scan))
    progress(reduced, notebook=False)
    result = reduced.compute()
    seconds = time.perf_counter() - begin
    raster = maps_of(result.profile)
    workers = len(client.scheduler_info(n_workers=-1)["workers"])
    rate = f"{len(result.point) / seconds:.0f} frames/s, {scan.counts.nbytes / seconds / 2**20:.0f} MiB/s"
    print(f"\nreduced in {seconds:.1f} s: {rate} with {workers} workers")
    print(f"most memory of a worker: {max(client.run(peak_mebibytes).values()):.0f} MiB")
    tree = provenance(scan, bins=BINS, centre=CENTRE, distance_mm=DISTANCE_MM, wavelength_angstrom=WAVELENGTH)
    profiles = result[["profile"]].assign_attrs(tree)
    mean = result[["mean_frame"]].assign_attrs(tree)
    nexus_xr.to_nexus([raster.to_dataset().assign_attrs(tree), profiles, mean], output, use_default=True)
    draw(result, raster, f"{len(result.point)} frames: {rate}", picture)
    print(f"wrote {output} and {picture}")


def main() -> None:
    """Read the command line, make the scan, and reduce it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=50, help="of the scan, in GiB (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=None, help="processes of one thread; by default one a CPU")
    parser.add_argument("--memory-limit", default="1GiB", help="of a worker (default: %(default)s)")
    parser.add_argument("--scheduler", help="address of a cluster's scheduler, for one on this machine")
    parser.add_argument("--folder", type=Path, help="where the scan is made: all workers have to see it")
    parser.add_argument("--output", type=Path, default=Path("reduced.nxs"))
    parser.add_argument("--plot", type=Path, default=Path("reduced.png"))
    parser.add_argument("--keep", action="store_true", help="keep the scan")
    options = parser.parse_args()
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="scan_", dir=options.folder))
    try:
        print(f"making a scan of {options.size:g} GiB in {folder} ...")
        scan = make_scan(folder, options.size)
        print(f"it takes {sum(path.stat().st_size for path in folder.iterdir()) / 2**20:.0f} MiB on disk")
        if options.scheduler:
            with Client(options.scheduler) as client:
                run(client, scan, options.output, options.plot)
        else:
            limits = {"memory_limit": options.memory_limit, "threads_per_worker": 1, "dashboard_address": ":0"}
            with LocalCluster(n_workers=options.workers, **limits) as cluster, Client(cluster) as client:
                run(client, scan, options.output, options.plot)
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
