"""
Tomography stack with dask
==========================

Projections are corrected for dark current and flat field, block by block, so that memory stays that of a few blocks
however many projections there are; and a sinogram is cut out without reading the rest.
"""

# %%
# The file
# --------
# Projections, darks and flats are three NXdata groups of one entry; the projections are the default plot.
import h5py
import numpy as np

rng = np.random.default_rng(2)
angles = np.linspace(0, 180, 120, endpoint=False)
rows, columns = 48, 160
position = np.arange(columns) - columns / 2
flat = 4000 * (1 + 0.15 * np.sin(position / 9)) * np.ones((rows, 1))
thickness = np.zeros((angles.size, rows, columns))
for radius, phase, size, density in (
    (0, 0, 55, 0.009),
    (30, 40, 9, 0.03),
    (22, 190, 14, -0.008),
):
    centre = radius * np.cos(np.deg2rad(angles + phase))
    thickness += (
        density
        * 2
        * np.sqrt(np.clip(size**2 - (position - centre[:, None]) ** 2, 0, None))[:, None, :]
    )
projections = rng.poisson(flat * np.exp(-thickness) + 100)

with h5py.File("tomography.nxs", "w") as file:
    entry = file.create_group("entry")
    entry.attrs.update(NX_class="NXentry", default="projections")
    for name, stack in {
        "projections": projections,
        "darks": rng.poisson(100, (10, rows, columns)),
        "flats": rng.poisson(flat + 100, (10, rows, columns)),
    }.items():
        group = entry.create_group(name)
        first = "angle" if name == "projections" else "shot"
        group.attrs.update(NX_class="NXdata", signal="data", axes=[first, "row", "column"])
        group.create_dataset(
            "data", data=stack.astype("u2"), chunks=(1, rows, columns), compression="gzip"
        )
        group["data"].attrs["interpretation"] = "image"
        group[first] = angles if name == "projections" else np.arange(10)
        group["row"], group["column"] = np.arange(rows), np.arange(columns)
    entry["projections/angle"].attrs["units"] = "deg"

# %%
# All groups at once
# ------------------
import xarray as xr

tree = xr.open_datatree("tomography.nxs", engine="nexus", chunks={})
entry = tree["entry"]
entry

# %%
# Corrected, lazily
# -----------------
# Nothing is computed here: the absorption is a dask array with the blocks of the file.
dark = entry["darks"].data.mean("shot")
flat_field = entry["flats"].data.mean("shot")
raw = entry["projections"].data
absorption = -np.log((raw - dark) / (flat_field - dark)).rename("absorption")
absorption.data

# %%
# Looked at
# ---------
# The sinogram of one row reads each block, keeps a line of it, and lets go of the rest.
import matplotlib.pyplot as plt

sinogram = absorption.isel(row=24).compute()
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
absorption.isel(angle=0).plot(ax=left, cmap="gray_r", vmin=0)
left.set_title("projection at 0 deg")
sinogram.plot(ax=right, cmap="gray_r", vmin=0)
right.set_title("sinogram of row 24")
plt.show()

# %%
# Written
# -------
# Block by block as well, with a filter of one's choice.
absorption.astype("f4").nexus.to_nexus("absorption.nxs", compression="zstd")
xr.open_dataset("absorption.nxs", engine="nexus").absorption.encoding["hdf5_filters"]

# %%
# One stack of all frames
# -----------------------
# NXtomo has projections, darks and flats in one stack, and ``image_key`` of the detector tells which frame is what.
# It is metadata, also where a link to it stands beside the data, as nothing says which dimension it goes along.
# ``promote`` does.
with h5py.File("nxtomo.nxs", "w") as file:
    entry = file.create_group("entry")
    entry.attrs.update(NX_class="NXentry", default="data")
    entry["definition"] = "NXtomo"
    detector = entry.create_group("instrument/detector")
    entry["instrument"].attrs["NX_class"] = "NXinstrument"
    detector.attrs["NX_class"] = "NXdetector"
    detector["data"] = np.concatenate(
        [
            rng.poisson(flat + 100, (5, rows, columns)),
            rng.poisson(100, (5, rows, columns)),
            projections,
        ]
    ).astype("u2")
    detector["image_key"] = np.repeat([1, 2, 0], [5, 5, angles.size])
    data = entry.create_group("data")
    data.attrs.update(NX_class="NXdata", signal="data", axes=["rotation_angle", ".", "."])
    data["data"], data["image_key"] = detector["data"], detector["image_key"]
    data["rotation_angle"] = np.concatenate([np.zeros(10), angles])

scan = xr.open_dataset("nxtomo.nxs", engine="nexus").nexus.promote(
    "instrument/detector/image_key", dims="rotation_angle"
)
frames, kind = scan.data, scan.image_key
flat_field = frames.nexus.reduce("mean", "rotation_angle", where=kind == 1)
dark = frames.nexus.reduce("mean", "rotation_angle", where=kind == 2)
-np.log((frames[kind.values == 0] - dark) / (flat_field - dark))
