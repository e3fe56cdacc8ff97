"""
Small-angle scattering curve (NXcanSAS)
=======================================

NXcanSAS has names of its own for signal, axes and uncertainties: ``@I_axes``, ``Q``, ``Idev``. They are read as what
they are.
"""

# %%
# The file
# --------
import h5py
import numpy as np

rng = np.random.default_rng(4)
q = np.geomspace(0.004, 0.5, 180)
radius = 40.0
form = (3 * (np.sin(q * radius) - q * radius * np.cos(q * radius)) / (q * radius) ** 3) ** 2
intensity = 120 * form + 0.05
deviation = 0.03 * intensity + 0.002

with h5py.File("sas.h5", "w") as file:
    entry = file.create_group("sasentry01")
    entry.attrs.update(NX_class="NXentry", canSAS_class="SASentry", version="1.1")
    entry["definition"] = "NXcanSAS"
    entry["title"] = "Silica spheres"
    data = entry.create_group("sasdata01")
    data.attrs.update(
        NX_class="NXdata", canSAS_class="SASdata", signal="I", I_axes="Q", Q_indices=0
    )
    data["Q"] = q
    data["Q"].attrs["units"] = "1/angstrom"
    data["I"] = rng.normal(intensity, deviation)
    data["I"].attrs.update(units="1/cm", uncertainties="Idev")
    data["Idev"] = deviation
    data["Idev"].attrs["units"] = "1/cm"

# %%
# Opened
# ------
# No extension tells that this is NeXus; its content does, so no engine has to be named.
import xarray as xr

ds = xr.open_dataset("sas.h5")
ds

# %%
# Guinier's law at small q
# ------------------------
low = ds.sel(Q=slice(None, 0.025))
fit = np.polyfit(low.Q**2, np.log(low.I), 1, w=low.I / low.I_errors)
radius_of_gyration = np.sqrt(-3 * fit[0])
print(
    f"radius of gyration {radius_of_gyration:.1f} A, of a sphere of {radius:.0f} A: {radius * np.sqrt(3 / 5):.1f} A"
)

# %%
import matplotlib.pyplot as plt

figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
axis.errorbar(
    ds.Q, ds.I, ds.I_errors, fmt=".", ms=3, lw=0.7, label=ds.attrs["title"]["value"]
)
axis.plot(low.Q, np.exp(np.polyval(fit, low.Q**2)), lw=2, zorder=3, label="Guinier")
axis.set(
    xscale="log", yscale="log", xlabel="Q [1/angstrom]", ylabel="I [1/cm]", ylim=(0.02, 300)
)
axis.legend()
plt.show()
