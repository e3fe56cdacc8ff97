"""
Raster scan with a detector
===========================

A sample is scanned over a raster, and at each point a detector takes a frame. What is wanted are the mean frame, a map
of the sample, and the frame where the sample diffracts most.
"""

# %%
# The file
# --------
# One frame a chunk, compressed with bitshuffle and LZ4, as detectors write it.
import h5py
import hdf5plugin
import numpy as np

rng = np.random.default_rng(7)
y, x = np.linspace(-0.4, 0.4, 20), np.linspace(-0.5, 0.5, 25)
rows, columns = np.indices((96, 112))
radius = np.hypot(rows - 50, columns - 52)
rings = sum(
    height * np.exp(-(((radius - at) / 2.5) ** 2))
    for at, height in ((18, 9.0), (33, 6.0), (46, 4.0))
)
grains = np.exp(-((y[:, None] - 0.15) ** 2 + (x + 0.2) ** 2) / 0.02)
grains += 0.7 * np.exp(-((y[:, None] + 0.2) ** 2 + (x - 0.15) ** 2) / 0.04)

with h5py.File("raster.nxs", "w") as file:
    entry = file.create_group("entry")
    entry.attrs["NX_class"] = "NXentry"
    entry["title"] = "Raster scan of two grains"
    data = entry.create_group("data")
    data.attrs.update(NX_class="NXdata", signal="counts", axes=["y", "x", "row", "column"])
    frames = rng.poisson(0.5 + rings * grains[..., None, None]).astype("u2")
    data.create_dataset(
        "counts", data=frames, chunks=(1, 1, 96, 112), **hdf5plugin.Bitshuffle(cname="lz4")
    )
    data["counts"].attrs.update(units="counts", interpretation="image")
    for name, values in {
        "y": y,
        "x": x,
        "row": np.arange(96) * 0.075,
        "column": np.arange(112) * 0.075,
    }.items():
        data[name] = values
        data[name].attrs["units"] = "mm"

# %%
# Opened
# ------
# ``chunks={}`` makes dask blocks of whole HDF5 chunks; nothing is read yet.
import xarray as xr

ds = xr.open_dataset("raster.nxs", engine="nexus", chunks={})
ds

# %%
# Reduced
# -------
# Both reductions are computed in one pass over the stack, on all cores.
with xr.set_options(keep_attrs=True):
    both = xr.Dataset(
        {"frame": ds.counts.mean(["y", "x"]), "total": ds.counts.sum(["row", "column"])}
    ).compute()
brightest = ds.counts.isel(both.total.argmax(["y", "x"]))

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
both.total.plot(ax=axes[0], cmap="magma")
axes[0].set_title("sum of each frame")
both.frame.plot(ax=axes[1], robust=True)
axes[1].set_title("mean frame")
brightest.plot(ax=axes[2], robust=True)
axes[2].set_title("brightest frame")
plt.show()
