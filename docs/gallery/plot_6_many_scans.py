"""
Many scans as one array
=======================

A sample is heated, and at each temperature one file is written. Together they are one array with a new dimension, whose
coordinate is the temperature that each file says of its sample.
"""

# %%
# The files
# ---------
import h5py
import numpy as np

rng = np.random.default_rng(5)
two_theta = np.linspace(20, 60, 800)
for number, temperature in enumerate(np.linspace(300, 900, 25), start=1):
    grown = 1 / (1 + np.exp(-(temperature - 620) / 40))  # how much has changed its phase
    expansion = (temperature - 300) * 6e-4
    pattern = sum(
        weight * np.exp(-(((two_theta - at + expansion) / 0.25) ** 2))
        for at, weight in (
            (28, 1 - grown),
            (41, 0.7 * (1 - grown)),
            (33, grown),
            (47.5, 0.6 * grown),
            (54, 0.4),
        )
    )
    with h5py.File(f"heating_{number}.nxs", "w") as file:
        data = file.create_group("entry/data")
        file["entry"].attrs["NX_class"] = "NXentry"
        data.attrs.update(NX_class="NXdata", signal="intensity", axes=["two_theta"])
        data["intensity"] = rng.poisson(200 * pattern + 5)
        data["two_theta"] = two_theta
        data["two_theta"].attrs["units"] = "deg"
        sample = file.create_group("entry/sample")
        sample.attrs["NX_class"] = "NXsample"
        sample["name"] = "iron"
        sample["temperature"] = temperature
        sample["temperature"].attrs["units"] = "K"

# %%
# Opened together
# ---------------
# ``preprocess`` takes from each tree what tells the files apart, and ``common_attrs`` keeps what they agree on. No file
# stays open.
import xarray as xr

import nexus_xr


def at_its_temperature(ds: xr.Dataset) -> xr.Dataset:
    """The Dataset of a file with a dimension for its temperature."""
    return ds.expand_dims(temperature=[ds.attrs["sample"]["temperature"]["value"]])


scans = xr.open_mfdataset(
    "heating_*.nxs",
    engine="nexus",
    preprocess=at_its_temperature,
    combine="by_coords",
    combine_attrs=nexus_xr.common_attrs,
)
scans.temperature.attrs["units"] = "K"
scans

# %%
# The common tree still has the sample's name, and no longer its temperature.
scans.attrs["sample"]

# %%
# The transition
# --------------
import matplotlib.pyplot as plt

new_phase = scans.intensity.sel(two_theta=slice(32, 34)).sum("two_theta")
old_phase = scans.intensity.sel(two_theta=slice(27, 29)).sum("two_theta")
figure, (left, right) = plt.subplots(
    1, 2, figsize=(12, 4.2), layout="constrained", width_ratios=(1.4, 1)
)
scans.intensity.plot(ax=left, robust=True, cmap="magma")
(new_phase / (new_phase + old_phase)).rename("share of the new phase").plot.line(
    "o-", ax=right
)
plt.show()
