"""Build the source distribution and the wheel, install the wheel away from the repository, and try it there.

usage: python .ci/wheel.py FOLDER

The package `build` has to be installed. What is built is left in the folder.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Opens a file by content, by extension and by name, and reads what it holds.
TRIAL = """
import importlib.metadata, pathlib, types
import h5py, numpy as np, xarray as xr
import nexus_xr
from nexus_xr.arrays.compiled import IN_ONE_PASS
from nexus_xr.hdf5.filters.compiled import decode_all
from nexus_xr.hdf5.format.compiled import lookup3
from nexus_xr.hdf5.reading.reductions.compiled import add

assert "site-packages" in nexus_xr.__file__, nexus_xr.__file__
of_modules = (IN_ONE_PASS, decode_all is not None, lookup3 is not None, isinstance(add, types.BuiltinFunctionType))
assert all(of_modules), f"the wheel lacks a compiled module: {of_modules}"
assert pathlib.Path(nexus_xr.__file__).with_name("py.typed").exists(), "the wheel lacks py.typed"
counts = np.arange(12.0).reshape(3, 4)
with h5py.File("scan.nxs", "w") as file:
    group = file.create_group("entry/data")
    file["entry"].attrs["NX_class"], group.attrs["NX_class"], group.attrs["signal"] = "NXentry", "NXdata", "counts"
    group.create_dataset("counts", data=counts, chunks=(1, 4), compression="gzip", shuffle=True)
for options in ({}, {"engine": "nexus"}, {"engine": "nexus", "chunks": {}}):
    assert np.array_equal(xr.open_dataset("scan.nxs", **options).counts, counts)
xr.open_dataset("scan.nxs").counts.nexus.to_nexus("copy.nxs")
assert np.array_equal(nexus_xr.open_signals("copy.nxs")[0], counts)
print("the wheel of", importlib.metadata.version("nexus-xr"), "opens and writes files")
"""


def main(folder: str) -> None:
    """Build, install and try."""
    built = Path(folder).resolve()
    shutil.rmtree(built, ignore_errors=True)
    _run(sys.executable, "-m", "build", "--outdir", str(built), str(ROOT))
    [wheel] = built.glob("*.whl")
    assert "-cp311-abi3-" in wheel.name, f"{wheel.name} is no wheel for every Python from 3.11 on"
    with tempfile.TemporaryDirectory() as away:
        venv.create(Path(away, "env"), with_pip=True)
        python = Path(away, "env", "Scripts" if sys.platform == "win32" else "bin", "python")
        pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(*pip, f"{wheel}[fit,netcdf,plot,server,zarr]", "pytest", "virtualizarr>=2.5")
        work = Path(away, "work")
        work.mkdir()
        # Doctests run each in a folder of its own, as in the repository.
        shutil.copy(ROOT / "conftest.py", work)
        _run(str(python), "-c", TRIAL, where=work)
        _run(str(python), "-m", "pytest", "-q", "--doctest-modules", "--pyargs", "nexus_xr", where=work)


def _run(*command: str, where: Path | None = None) -> None:
    subprocess.run(command, cwd=where, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
