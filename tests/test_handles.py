"""Several handles of one file in a process: what libhdf5 keeps of a handle that was closed is never followed."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.dataset import LibraryDataset
from nexus_xr.hdf5.library.group import root_of

from .processes import run

TEXT = h5py.string_dtype()
STORED: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": (2,)},
    "filtered": {"chunks": (2,), "compression": "gzip"},
    "unlimited": {"chunks": (2,), "maxshape": (None,)},
}
FILLS = ["", "abc"]

BEGIN = """
import sys, threading
import h5py, numpy as np, xarray as xr
import nexus_xr
folder, count = sys.argv[1:]
paths = [f"{folder}/{number}.h5" for number in range(int(count))]
def use(path):
    opened = xr.open_dataset(path, engine="nexus", dataset_path="/names")
    fill = opened.names.attrs["fill"]
    assert opened.names.values.tolist() == ["a", "b", "c", fill]
    [signal] = nexus_xr.open_signals(path, dataset_path="/names")
    assert signal[:2].values.tolist() == ["a", "b"]
    metadata = nexus_xr.read_metadata(path)
    assert metadata["table"]["value"][1]["name"] == b"b"
    assert metadata["names"]["attrs"]["words"].tolist() == ["x", "y"]
    assert metadata["names"]["attrs"]["rows"][1]["name"] == b"b"
"""
BESIDE_H5PY = """
for path in paths:
    user = h5py.File(path, "r+" if path == paths[0] else "r")
    names = user["names"]
    others = []
    for _ in range(4):
        use(path)
        # What takes the place in memory of the handle that was closed.
        others += [h5py.File(path, user.mode) for _ in range(2)]
        others.pop(0).close()
    tree = xr.open_datatree(path, engine="nexus")
    assert tree.names.values[0] == "a"
"""
BY_SEVERAL_THREADS = """
def use_often():
    for _ in range(3):
        for path in paths:
            use(path)
    ended.append(True)
ended = []
users = [threading.Thread(target=use_often) for _ in range(4)]
for user in users: user.start()
for user in users: user.join()
assert len(ended) == 4
"""


BEHIND_LINKS = """
def use_often(first):
    for number in range(20):
        path = f"{folder}/master_{(first + number) % int(count)}.nxs"
        opened = xr.open_dataset(path, engine="nexus", dataset_path="/entry/names")
        assert opened.names.values.tolist() == ["a", "b", "c", opened.names.attrs["fill"]]
        metadata = nexus_xr.read_metadata(path)["entry"]
        assert metadata["table"]["value"][1]["name"] == b"b"
        assert metadata["names"]["attrs"]["words"].tolist() == ["x", "y"]
    ended.append(True)
ended = []
users = [threading.Thread(target=use_often, args=(first,)) for first in range(4)]
for user in users: user.start()
for user in users: user.join()
assert len(ended) == 4
"""


def write(path: Path, fill: str, options: dict[str, Any]) -> None:
    rows = np.array([("a", 1), ("b", 2)], [("name", TEXT), ("count", "i4")])
    with h5py.File(path, "w") as file:
        names = file.create_dataset("names", (4,), TEXT, fillvalue=fill, **options)
        names[:3] = ["a", "b", "c"]
        names.attrs["fill"] = fill
        names.attrs["words"] = ["x", "y"]
        names.attrs["rows"] = rows
        file["table"] = rows


@pytest.mark.parametrize("code", [BESIDE_H5PY, BY_SEVERAL_THREADS], ids=["beside h5py", "by several threads"])
def test_elements_of_varying_length_are_read(tmp_path: Path, code: str) -> None:
    for number, (options, fill) in enumerate(itertools.product(STORED.values(), FILLS)):
        write(tmp_path / f"{number}.h5", fill, options)
    run(BEGIN + code, tmp_path, number + 1)


def test_elements_of_varying_length_are_read_behind_links_by_several_threads(tmp_path: Path) -> None:
    write(tmp_path / "target.h5", "abc", {})
    for number in range(3):
        with h5py.File(tmp_path / f"master_{number}.nxs", "w") as file:
            file["entry"] = h5py.ExternalLink("target.h5", "/")
    run(BEGIN + BEHIND_LINKS, tmp_path, 3)


def test_a_linked_file_is_open_as_long_as_the_one_that_links_to_it(tmp_path: Path) -> None:
    write(tmp_path / "target.h5", "abc", {})
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        file["first"] = h5py.ExternalLink("target.h5", "/names")
        file["second"] = h5py.ExternalLink("target.h5", "/table")
    with File(tmp_path / "master.nxs").opened() as handle, File(tmp_path / "target.h5").opened() as target:
        diagnostics = Diagnostics()
        members = [each for _, each, _ in root_of(handle, diagnostics).members() if isinstance(each, LibraryDataset)]
        assert list(diagnostics) == []
        assert len(members) == 2
        assert {h5py.h5i.get_file_id(member.id) for member in members} == {target.id}
        assert all(member.id.valid for member in members)
    assert not target
    assert not any(member.id.valid for member in members)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("stored", STORED)
def test_how_text_with_a_fill_value_is_stored_is_told(tmp_path: Path, stored: str, fill: str) -> None:
    write(tmp_path / "f.h5", fill, STORED[stored])
    with h5py.File(tmp_path / "f.h5") as file:
        expected = file["names"].chunks
    encoding = xr.open_dataset(tmp_path / "f.h5", engine="nexus", dataset_path="/names").names.encoding
    assert encoding["chunksizes"] == expected
    assert [step["name"] for step in encoding.get("hdf5_filters", ())] == ["deflate"] * (stored == "filtered")


@pytest.mark.parametrize("shape", [(), (1,), (2,), (0,), (2, 2)])
def test_properties_are_told_for_every_number_of_elements(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("names", shape, TEXT, fillvalue="abc")
    assert nexus_xr.read_metadata(tmp_path / "f.h5")["names"]["value"] is not None


def test_one_handle_is_open_of_a_file_however_many_read_from_it(tmp_path: Path) -> None:
    write(tmp_path / "f.h5", "", {})
    first, second = File(tmp_path / "f.h5"), File(tmp_path / "f.h5")
    with first.opened() as handle:
        with second.opened() as other:
            assert other is handle
        assert handle
        with File(tmp_path / "f.h5").opened() as other:
            assert other is handle
    assert not handle


def test_a_file_that_was_put_in_place_of_another_has_a_handle_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "f.h5", "old", {})
    write(tmp_path / "new.h5", "new", {})
    with File(tmp_path / "f.h5").opened() as handle:
        (tmp_path / "new.h5").rename(tmp_path / "f.h5")
        with File(tmp_path / "f.h5").opened() as other:
            assert (handle["names"][3], other["names"][3]) == (b"old", b"new")


def test_a_handle_that_somebody_else_closed_is_opened_again(tmp_path: Path) -> None:
    write(tmp_path / "f.h5", "", {})
    with File(tmp_path / "f.h5").opened() as handle:
        handle.close()
        with File(tmp_path / "f.h5").opened() as other:
            assert other["names"][0] == b"a"
        assert not other


def test_a_file_that_can_not_be_opened_leaves_the_next_one_alone(tmp_path: Path) -> None:
    (tmp_path / "f.h5").write_bytes(b"no HDF5")
    with pytest.raises(nexus_xr.NexusFileError, match="not an HDF5 file"), File(tmp_path / "f.h5").opened():
        pass
    write(tmp_path / "g.h5", "", {})
    with File(tmp_path / "g.h5").opened() as handle:
        assert handle["names"][0] == b"a"


def test_threads_that_open_at_once_share_a_handle(tmp_path: Path) -> None:
    write(tmp_path / "f.h5", "", {})
    together = threading.Barrier(4)
    handles: list[h5py.File] = []

    def use() -> None:
        together.wait()
        with File(tmp_path / "f.h5").opened() as handle:
            handles.append(handle)
            together.wait()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, handles))) == 1
    assert not handles[0]
