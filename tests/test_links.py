"""Soft, hard and external links: what they lead to is read in the file that has it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import Link, NexusError, NexusWarning
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.nexus.tree.metadata import same_tree

from .files import nxdata, nxentry, write_tree
from .stacks import counts

pytestmark = pytest.mark.usefixtures("only_engine")

VALUES = counts((6, 8, 8))


@pytest.fixture
def master(tmp_path: Path) -> Path:
    """A master in one folder whose links lead through a second to the chunks in a third."""
    for name in ("below/deeper", "beside"):
        (tmp_path / name).mkdir(parents=True)
    with h5py.File(tmp_path / "below/deeper/chunks.h5", "w") as file:
        file.create_dataset("group/stack", data=VALUES, chunks=(1, 8, 8), compression="gzip")
        file["soft"] = h5py.SoftLink("/group/stack")
    with h5py.File(tmp_path / "below/middle.h5", "w") as file:
        file["link"] = h5py.ExternalLink("deeper/chunks.h5", "/soft")
        file["detour"] = h5py.SoftLink("/link")
    fields = {
        "counts": h5py.ExternalLink("below/middle.h5", "/link"),
        "detour": h5py.ExternalLink("below/middle.h5", "/detour"),
        "soft": h5py.SoftLink("counts"),
        "own": VALUES,
        "own_soft": h5py.SoftLink("own"),
    }
    write_tree(tmp_path / "master.nxs", {"entry": nxentry({"data": nxdata(fields, signal="counts")})})
    return tmp_path / "master.nxs"


def test_chains_of_links_lead_to_the_file_that_has_the_chunks(master: Path) -> None:
    dataset = xr.open_dataset(master, engine="nexus", chunks={})
    chunks = str(master.parent / "below/deeper/chunks.h5")
    for name in ("counts", "detour", "soft", "own", "own_soft"):
        variable = dataset[name]
        np.testing.assert_array_equal(variable.values, VALUES)
        assert variable.encoding["nexus_path"] == f"/entry/data/{name}"
        assert variable.encoding["source"] == (str(master) if name.startswith("own") else chunks)
        with h5py.File(variable.encoding["source"]) as file:
            np.testing.assert_array_equal(file[variable.encoding["source_path"]], VALUES)
    assert dataset.encoding["source"] == str(master)
    assert dataset.detour.encoding["chunksizes"] == (1, 8, 8)


def test_links_are_relative_to_the_folder_of_the_file_they_are_in(
    master: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(master.parent / "beside")
    dataset = xr.open_dataset(os.path.join("..", master.name), engine="nexus", chunks={})
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).counts.values, VALUES)


def test_links_that_lead_round_in_circles_lead_nowhere(tmp_path: Path) -> None:
    for here, there in ("ab", "ba"):
        with h5py.File(tmp_path / f"{here}.nxs", "w") as file:
            file["entry/values"] = VALUES
            file["entry/round"] = h5py.ExternalLink(f"{there}.nxs", "/entry/round")
    with pytest.warns(NexusWarning, match=r"/entry/round: links to b.nxs:/entry/round, which is not there"):
        dataset = xr.open_dataset(tmp_path / "a.nxs", engine="nexus")
    np.testing.assert_array_equal(dataset["values"], VALUES)


@pytest.mark.parametrize("target", ["/", "/b", "/a/inner", "/b/inner", "/a/data", "/b/data"])
@pytest.mark.parametrize("holder", ["a", "a/inner", "b", "b/inner", "b/data"])
def test_the_tree_of_an_entry_is_the_same_however_it_is_opened(holder: str, target: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.nxs"
    data = nxdata({"n": [1, 2], "rest": [0, 1, 2]}, signal="n")
    entry = nxentry({"inner": {"x": 1.0, "list": [1, 2, 3]}, "data": data})
    write_tree(path, {"a": entry, "b": entry})
    with h5py.File(path, "a") as file:
        file[holder]["soft"] = h5py.SoftLink(target)
        file[holder]["hard"] = file[target]
    signals = nexus_xr.open_signals(path, nxdata_only=True)
    alone = {name: xr.open_dataset(path, engine="nexus", dataset_path=f"/{name}/data").attrs for name in "ab"}
    opened = {signal.encoding["nexus_path"]: signal.attrs for signal in signals}
    assert same_tree({name: opened[f"/{name}/data/n"] for name in "ab"}, alone)


@pytest.mark.parametrize("locking", [True, False, "best-effort", None])
def test_targets_that_this_process_has_open(master: Path, locking: Any) -> None:
    with h5py.File(master.parent / "below/deeper/chunks.h5", "r", locking=locking):
        dataset = xr.open_dataset(master, engine="nexus")
        np.testing.assert_array_equal(dataset.counts.values, VALUES)
        np.testing.assert_array_equal(LazyArray(File(master), "/entry/data/soft", VALUES.shape, VALUES.dtype), VALUES)


def test_a_target_that_changed_is_an_error_until_the_file_is_opened_again(master: Path) -> None:
    dataset = xr.open_dataset(master, engine="nexus")
    array = LazyArray(File(master), "/entry/data/counts", VALUES.shape, VALUES.dtype)
    array[0]
    with h5py.File(master.parent / "below/deeper/chunks.h5", "r+") as file:
        del file["group/stack"]
        file["group/stack"] = np.full(VALUES.shape, 3, "u2")
    for values in (dataset.counts, array):
        with pytest.raises(NexusError, match=r"chunks.h5: the file changed since it was opened"):
            np.asarray(values)
    assert np.all(xr.open_dataset(master, engine="nexus").counts.values == 3)


def test_a_change_of_a_file_is_told_by_its_size_where_that_changed(tmp_path: Path) -> None:
    write_tree(tmp_path / "f.nxs", {"entry": nxentry({"data": nxdata({"n": [1, 2]}, signal="n")})})
    array = LazyArray(File(tmp_path / "f.nxs"), "/entry/data/n", (2,), np.dtype("i8"))
    array[0]
    size = (tmp_path / "f.nxs").stat().st_size
    os.utime(tmp_path / "f.nxs", ns=(0, 0))
    with pytest.raises(NexusError, match=r"opened \(it was written to or replaced\); open it again"):
        array[0]
    with (tmp_path / "f.nxs").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(NexusError, match=rf"opened \(it had {size} bytes, now {size + 4}\); open it again"):
        array[0]


def test_large_arrays_of_the_tree_are_those_of_their_file(tmp_path: Path) -> None:
    write_tree(tmp_path / "flat.h5", {"flat": np.arange(20_000.0)})
    tree = {
        "entry": nxentry({"data": nxdata({"x": [1, 2]}, signal="x"), "flat": h5py.ExternalLink("flat.h5", "/flat")})
    }
    write_tree(tmp_path / "master.nxs", tree)
    value = xr.open_dataset(tmp_path / "master.nxs", engine="nexus").attrs["flat"]["value"]
    assert value.file.name == str(tmp_path / "flat.h5")
    np.testing.assert_array_equal(value, np.arange(20_000.0))


def test_missing_targets_are_named_in_one_warning_or_are_an_error_that_lists_them_all(tmp_path: Path) -> None:
    links: dict[str, Any] = {f"link_{number}": h5py.ExternalLink(f"gone_{number}.h5", "/x") for number in range(30)}
    tree = {"entry": nxentry({"data": nxdata({"x": [1, 2]}, signal="x"), **links, "soft": h5py.SoftLink("/nowhere")})}
    write_tree(tmp_path / "master.nxs", tree)
    with pytest.warns(NexusWarning, match=r"gone_0.h5") as caught:
        dataset = xr.open_dataset(tmp_path / "master.nxs", engine="nexus")
    assert len(caught) == 1
    assert len(str(caught[0].message)) < 2000
    assert dataset.attrs["link_3"] == Link("/x", "gone_3.h5")
    for way in (xr.open_dataset, xr.open_datatree):
        with pytest.raises(NexusError) as raised:
            way(tmp_path / "master.nxs", engine="nexus", missing="raise")
        assert all(f"gone_{number}.h5:/x" in str(raised.value) for number in range(30))
        assert "/nowhere" in str(raised.value)
    with pytest.raises(NexusError, match=r"gone_29.h5"):
        nexus_xr.open_signals(tmp_path / "master.nxs", missing="raise")


WRITER = """
import h5py, sys
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    file["counts"] = [1, 2, 3]
    file.flush()
    print(flush=True)
    sys.stdin.readline()
"""


def test_a_target_that_can_not_be_opened_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no HDF5")
    links = {"busy": h5py.ExternalLink("live.h5", "/counts"), "text": h5py.ExternalLink("text.h5", "/counts")}
    write_tree(tmp_path / "master.nxs", {"entry": nxentry({"data": nxdata({"n": [1, 2]}, signal="n"), **links})})
    command = [sys.executable, "-c", WRITER, str(tmp_path / "live.h5")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        expected = (
            r"(?s)busy: links to live.h5:/counts, which can't be opened .*text: .* which can't be opened .*signature"
        )
        with pytest.warns(NexusWarning, match=expected):
            dataset = xr.open_dataset(tmp_path / "master.nxs", engine="nexus")
        writer.communicate(b"\n")
    assert dataset.n.values.tolist() == [1, 2]
    with pytest.warns(NexusWarning, match="text: links to"):
        opened = xr.open_dataset(tmp_path / "master.nxs", engine="nexus")
    assert opened.attrs["busy"]["value"].tolist() == [1, 2, 3]
