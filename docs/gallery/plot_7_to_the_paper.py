"""
From opening to the paper
=========================

Strontium titanate is cooled through its transition at 105 K, and at each of 200 temperatures a strip detector counts a
diffraction pattern. Below the transition there is a reflection that is forbidden above it. From the raw counts to a
figure and to files that others can open, with uncertainties all the way.
"""

# %%
# The files
# ---------
# Each has the counts of 640 strips between the edges of ``two_theta``, and the temperature of its sample. A dark and a
# flat field were counted for longer.
import h5py
import numpy as np

WAVELENGTH = 1.5406  # of the X-rays, in Å, like all lengths
CLASSES = {"": "NXentry", "sample": "NXsample", "detector": "NXdetector"}

rng = np.random.default_rng(7)
edges = np.linspace(31, 41, 641)
two_theta = (edges[:-1] + edges[1:]) / 2
efficiency = rng.normal(1, 0.08, two_theta.size)  # each strip has its own
dark_rate = 0.5 + 0.1 * (two_theta - 31)  # counts a second


def measure(path, rate, seconds, kelvin):
    """Write what the detector counts at such a rate in some time, as an instrument does."""
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="counts", axes=["two_theta"])
        data["counts"] = rng.poisson(seconds * (efficiency * rate + dark_rate))
        data["two_theta"] = edges
        data["two_theta"].attrs.update(units="deg", long_name="Scattering angle")
        entry["sample/temperature"] = kelvin
        entry["sample/temperature"].attrs["units"] = "K"
        entry["detector/count_time"] = seconds
        entry["detector/count_time"].attrs["units"] = "s"
        for group, its_class in CLASSES.items():
            entry[f"/entry/{group}"].attrs["NX_class"] = its_class


def reflection(cell, squares, height):
    """A peak of a cubic cell, by the sum of the squares of its indices."""
    at = 2 * np.rad2deg(np.arcsin(WAVELENGTH * np.sqrt(squares) / (2 * cell)))
    return height * np.exp(-(((two_theta - at) / 0.08) ** 2) / 2)


for number, kelvin in enumerate(np.linspace(20, 140, 200), start=1):
    cell = 3.897 * (1 + 9e-6 * kelvin)
    order = max(0, 1 - kelvin / 105.5) ** 0.7
    rate = (
        12
        + reflection(cell, 2, 600)
        + reflection(cell, 3, 150)
        + reflection(cell, 2.75, 60 * order)
    )
    measure(f"cooling_{number}.nxs", rate, 10, kelvin)
measure("dark.nxs", 0, 2000, 295)
measure("flat.nxs", 400, 2000, 295)

# %%
# Opened
# ------
# The temperature that each file says of its sample is an axis of all of them; the counting time goes along as well.
import xarray as xr

import nexus_xr

scans = nexus_xr.open_mfdataset(
    "cooling_*.nxs",
    promote=["sample/temperature", "detector/count_time"],
    concat_dim="temperature",
)
dark, flat = (
    xr.open_dataset(path, engine="nexus").nexus.promote("detector/count_time")
    for path in ("dark.nxs", "flat.nxs")
)
scans

# %%
# Corrected
# ---------
# Counts have the square root of their number as uncertainty. Joined with it they are one array, and what follows
# propagates, as if operands were independent of each other. Nothing is computed yet: dask's blocks know what to do.


def rate(measured):
    """Counts a second, with their uncertainties."""
    counts = measured.counts.nexus.with_uncertainties(np.sqrt(measured.counts))
    return (counts / measured.count_time).drop_vars("count_time")


response = rate(flat) - rate(dark)
corrected = (rate(scans) - rate(dark)) / (response / response.mean())

# %%
# Four strips become one bin; the edges of the bins come along. That is little enough to be held in memory.
pattern = corrected.nexus.rebin(two_theta=4).rename("intensity").compute()
pattern.attrs.update(units="1/s", long_name="Intensity")

# %%
# The coldest pattern, before and after:
import matplotlib.pyplot as plt


def with_bars(array, axes):
    """Draw values with the bars of their uncertainties."""
    [x] = array.dims
    axes.errorbar(array[x], array.nexus.values, array.nexus.errors, fmt=".", ms=3, lw=0.7)
    axes.set_ylabel(f"{array.attrs['long_name']} [{array.attrs['units']}]")


figure, (raw, clean) = plt.subplots(
    2, 1, sharex=True, figsize=(10, 5), layout="constrained"
)
scans.counts[0].nexus.plot(ax=raw)
raw.set(title="", xlabel="", ylim=(0, 400))
with_bars(pattern[0], clean)
clean.set(ylim=(20, 150), xlabel="Scattering angle [deg]")
plt.show()

# %%
# Fitted
# ------
# The lattice parameter follows from where the reflection (110) is. Each value weighs in a fit as its uncertainty says,
# and the parameters that come out have uncertainties of their own, with which one can calculate on.


def gaussian(x, height, centre, width, background):
    """A reflection above its background."""
    return height * np.exp(-(((x - centre) / width) ** 2) / 2) + background


start = {"height": 1000, "centre": 32.4, "width": 0.1, "background": 50}
peak = pattern.sel(two_theta=slice(32, 32.8)).nexus.curvefit("two_theta", gaussian, start)
lattice = WAVELENGTH * np.sqrt(2) / (2 * np.sin(np.deg2rad(peak.centre / 2)))
lattice = lattice.rename("lattice")
lattice.attrs.update(units="angstrom", long_name="Lattice parameter")

# %%
# The intensity of the other reflection is what there is more than beside it. It is the square of an order parameter,
# which a fit along the temperature tells more of.
inside = pattern.sel(two_theta=slice(37.9, 38.5))
beside = xr.concat(
    [pattern.sel(two_theta=slice(37.2, 37.8)), pattern.sel(two_theta=slice(38.6, 39.2))],
    "two_theta",
)
superlattice = (inside - beside.mean("two_theta")).sum("two_theta").rename("superlattice")
superlattice.attrs.update(units="1/s", long_name="Superlattice reflection")


def order_parameter(kelvin, height, transition, beta):
    """The square of what grows as a power of the distance to the transition."""
    return height * np.maximum(1 - kelvin / transition, 1e-12) ** (2 * beta)


start = {"height": 500, "transition": 100, "beta": 0.3}
order = superlattice.nexus.curvefit("temperature", order_parameter, start)
values, errors = order.nexus.values, order.nexus.errors
for name in order:
    print(f"{name:10} {values[name]:8.3f} ± {errors[name]:.3f}")

# %%
# xarray's own ``curvefit``, and whatever else makes plain arrays of what it is given, takes the values alone. Functions
# that know weights are given both, as ``array.nexus.values`` and ``array.nexus.errors``; so is matplotlib.
#
# The figure
# ----------
figure, axes = plt.subplot_mosaic(
    [["map", "lattice"], ["map", "order"]],
    figsize=(11, 6),
    layout="constrained",
    width_ratios=(1.1, 1),
)
pattern.nexus.plot(ax=axes["map"], vmin=40, vmax=120, cmap="magma")
with_bars(lattice, axes["lattice"])
with_bars(superlattice, axes["order"])
axes["order"].plot(
    scans.temperature,
    order_parameter(scans.temperature, **values),
    label=rf"$T_c$ = {values.transition:.1f} ± {errors.transition:.1f} K,"
    rf" $\beta$ = {values.beta:.3f} ± {errors.beta:.3f}",
)
axes["order"].legend()
axes["order"].set_xlabel("Temperature [K]")
plt.show()

# %%
# Saved
# -----
# A file has values and their uncertainties side by side, ``lattice`` and ``lattice_errors``, and the edges of bins.
paper = xr.Dataset({"lattice": lattice, "superlattice": superlattice, "pattern": pattern})
paper.nexus.to_nexus("paper.nxs")
paper.nexus.to_netcdf("paper.nc")
paper.nexus.to_zarr("paper.zarr", mode="w", consolidated=False)

# %%
# Whichever of them a colleague opens, it has what was saved.
saved = paper.nexus.without_uncertainties()
for opened in (
    xr.open_dataset("paper.nxs", engine="nexus"),
    nexus_xr.unflat(xr.open_dataset("paper.nc")),
    nexus_xr.unflat(xr.open_zarr("paper.zarr", consolidated=False)),
):
    print(all(opened[name].equals(saved[name]) for name in saved), end=" ")
    print(opened.nexus.with_uncertainties().lattice[0].data)
saved
