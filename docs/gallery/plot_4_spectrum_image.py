"""
Spectrum image in the layout of HyperSpy
========================================

Electron microscopists keep spectrum images in the files that HyperSpy writes: a spectrum for each point, axes with
scale and offset, and the microscope's metadata. Those open here with all of it, and what is written here opens in
HyperSpy.
"""

# %%
# A spectrum image
# ----------------
# EDS of two phases: iron with a line at 6.40 keV and copper with one at 8.05 keV. ``attrs`` holds the metadata, in the
# form that HyperSpy restores them from.
import numpy as np
import xarray as xr

import nexus_xr  # noqa: F401, for the accessor .nexus

rng = np.random.default_rng(3)
energy = np.arange(1024) * 0.01
row, column = np.mgrid[0:1:40j, 0:1:50j]
copper = 1 / (1 + np.exp((row - 0.5 - 0.2 * np.sin(6 * column)) / 0.03))


def line(at: float, height: float) -> np.ndarray:
    """A line of a spectrum, as wide as a detector makes it."""
    return height * np.exp(-(((energy - at) / 0.07) ** 2))


iron_spectrum = line(6.40, 1.2) + line(7.06, 0.2) + line(0.70, 0.5)
copper_spectrum = line(8.05, 1.0) + line(8.91, 0.15) + line(0.93, 0.8)
background = 0.08 * np.exp(-energy / 4)
expected = (
    copper[..., None] * copper_spectrum
    + (1 - copper[..., None]) * iron_spectrum
    + background
)
spectra = xr.DataArray(
    rng.poisson(expected).astype("u2"),
    dims=("y", "x", "Energy"),
    coords={
        "y": ("y", np.arange(40) * 2.5, {"units": "nm"}),
        "x": ("x", np.arange(50) * 2.5, {"units": "nm"}),
        "Energy": ("Energy", energy, {"units": "keV"}),
    },
    name="eds",
    attrs={
        "units": "counts",
        "interpretation": "spectrum",
        "microscope": {"beam_energy": {"value": 200.0, "attrs": {"units": "kV"}}},
        "hyperspy_metadata": {
            "General": {"title": "two phases"},
            "Signal": {"signal_type": "EDS_TEM"},
        },
    },
)
spectra.nexus.to_nexus("eds.nxs")

# %%
# Opened
# ------
ds = xr.open_dataset("eds.nxs", engine="nexus", chunks={})
print(ds.attrs["microscope"]["beam_energy"])
print(ds.attrs["hyperspy_metadata"]["General"]["title"])
ds.eds

# %%
# Element maps
# ------------
# A window of energy is a label-based slice.
maps = {
    "Fe K": ds.eds.sel(Energy=slice(6.2, 6.6)).sum("Energy", keep_attrs=True),
    "Cu K": ds.eds.sel(Energy=slice(7.85, 8.25)).sum("Energy", keep_attrs=True),
}

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(
    1, 3, figsize=(13, 3.6), layout="constrained", width_ratios=(1.3, 1, 1)
)
ds.eds.sum(["y", "x"], keep_attrs=True).plot(ax=axes[0], yscale="log")
axes[0].set_title("sum of all spectra")
for axis, (name, element) in zip(axes[1:], maps.items(), strict=True):
    element.plot(ax=axis, cmap="viridis")
    axis.set_title(name)
plt.show()
