"""Files of the usual kinds are opened and read without h5py, whose import takes longer than that."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from .processes import run
from .stacks import LOSSLESS

READ = """
import sys
import warnings
import numpy as np
import xarray as xr

warnings.simplefilter("error", category=UserWarning)
for path in sys.argv[1:]:
    dataset = xr.open_dataset(path, engine="nexus")
    print(dataset)
    assert dataset.counts.values.tolist() == np.arange(60_000).reshape(300, 200).tolist()
    assert dataset.attrs["title"]["value"] == "a scan"
    assert xr.open_datatree(path, engine="nexus")["entry/data"].x.size == 200
    assert not {"h5py", "hdf5plugin"} & sys.modules.keys()
"""


def write_scan(path: Path, **options: object) -> None:
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry["title"] = "a scan"
        entry.create_dataset("log", data=np.arange(50.0), chunks=(20,), maxshape=(None,), **options)
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="counts", axes=["y", "x"])
        data.create_dataset("counts", data=np.arange(60_000).reshape(300, 200), chunks=(100, 200), **options)
        data["x"], data["y"] = np.arange(200.0), np.arange(300.0)


def test_files_are_opened_printed_and_read_without_h5py(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.nxs" for number, _ in enumerate(LOSSLESS)]
    for path, options in zip(paths, LOSSLESS.values(), strict=True):
        write_scan(path, **options)
    run(READ, *paths)


def test_virtual_datasets_are_opened_and_read_without_h5py(tmp_path: Path) -> None:
    write_scan(tmp_path / "source.nxs", compression="gzip")
    layout = h5py.VirtualLayout((300, 200), "i8")
    layout[:200] = h5py.VirtualSource("source.nxs", "/entry/data/counts", (300, 200))[:200]
    layout[200:] = h5py.VirtualSource(".", "/own", (100, 200))
    write_scan(tmp_path / "master.nxs")
    with h5py.File(tmp_path / "master.nxs", "a") as file:
        file["own"] = file["entry/data/counts"][200:]
        del file["entry/data/counts"]
        file["entry/data"].create_virtual_dataset("counts", layout)
        small = h5py.VirtualLayout((5,), "i8")
        small[1:] = h5py.VirtualSource(".", "/own", (100, 200))[0, :4]
        file["entry"].create_virtual_dataset("small", small)
    run(READ, tmp_path / "master.nxs")


def test_all_public_names_are_there() -> None:
    run(
        """
import nexus_xr
assert set(nexus_xr.__all__) <= set(dir(nexus_xr))
from nexus_xr import *
assert callable(to_nexus) and callable(consolidate) and nexus_xr.to_nexus is to_nexus
assert not hasattr(nexus_xr, "nothing")
"""
    )
