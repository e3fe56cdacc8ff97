"""
Powder diffraction with uncertainties
=====================================

A time-of-flight histogram has edges in place of points, and an uncertainty for each value. Both come along, and are
there again in the file that is written.
"""

# %%
# The file
# --------
# The field ``intensity_errors`` holds the uncertainties of ``intensity``; ``tof`` has one value more than there are
# bins.
import h5py
import numpy as np

rng = np.random.default_rng(1)
edges = np.linspace(2000.0, 20000.0, 601)
tof = (edges[:-1] + edges[1:]) / 2
peaks = sum(
    height * np.exp(-(((tof - at) / (60 + at / 200)) ** 2))
    for at, height in ((5200, 900), (6900, 500), (9400, 1400), (12300, 700), (16800, 1100))
)
counts = rng.poisson(peaks + 40 + 2e5 / tof)
monitor = 0.85 + 0.3 * np.exp(-(((tof - 9000) / 5000) ** 2))

with h5py.File("powder.nxs", "w") as file:
    data = file.create_group("entry/bank_1")
    file["entry"].attrs["NX_class"] = "NXentry"
    data.attrs.update(
        NX_class="NXdata", signal="intensity", axes=["tof"], auxiliary_signals=["monitor"]
    )
    data["intensity"] = counts.astype("f8")
    data["intensity"].attrs.update(units="counts", long_name="Intensity")
    data["intensity_errors"] = np.sqrt(counts)
    data["monitor"] = monitor
    data["tof"] = edges
    data["tof"].attrs.update(units="us", long_name="Time of flight")

# %%
# Opened
# ------
# The coordinate has the centres of the bins, its index their edges, which are in ``tof_bounds`` too.
import xarray as xr

ds = xr.open_dataset("powder.nxs", engine="nexus")
ds

# %%
# Normalised, with the uncertainties propagated
# ---------------------------------------------
# Joined with its uncertainties, the intensity is one array that propagates them. Two bins are made one, too.
joined = ds.nexus.with_uncertainties()
with xr.set_options(keep_attrs=True):
    normalised = (joined.intensity / joined.monitor).rename("intensity")
    normalised = normalised.nexus.rebin(tof=2)

# %%
import matplotlib.pyplot as plt

figure, (whole, peak) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", width_ratios=(2, 1)
)
for axis, part in ((whole, normalised), (peak, normalised.sel(tof=slice(9000, 9800)))):
    axis.errorbar(
        part.tof,
        part.nexus.values,
        part.nexus.errors,
        fmt=".",
        ms=3,
        lw=0.8,
        capsize=0,
    )
    axis.set_xlabel("Time of flight [us]")
whole.set_ylabel("Intensity, normalised [counts]")
peak.set_title("one peak")
plt.show()

# %%
# Written, and opened again
# -------------------------
normalised.nexus.to_nexus("normalised.nxs")
again = xr.open_dataset("normalised.nxs", engine="nexus")
with h5py.File("normalised.nxs") as file:
    stored = file["entry1/intensity/tof"][...]
print(
    f"{stored.size} edges for {again.sizes['tof']} bins;",
    f"every other one of before: {np.array_equal(stored, edges[::2])}",
)
