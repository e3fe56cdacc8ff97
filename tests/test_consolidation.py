"""Files that have their values in others become one file, with the same content."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr
from h5py import h5d, h5p, h5s, h5t
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_xr import NexusFileError, NexusFileNotFoundError, NexusWarning, consolidate, to_nexus
from nexus_xr.hdf5.format.checksum import lookup3
from nexus_xr.writing.copies import consolidate as consolidation

from .kinds import kinds_that_numpy_has_no_word_for, stored_bytes
from .stacks import counts

VALUES = counts((12, 6, 8))


def write_source(path: str, values: Any, chunks: tuple[int, ...] | None = (2, 3, 8), **options: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=values, chunks=chunks, **options)


def write_master(sources: Sequence[tuple[str, slice]], fill: int = 0, path: str = "master.nxs") -> None:
    """A virtual dataset between two others, whose parts along the first dimension are whole files."""
    layout = h5py.VirtualLayout(VALUES.shape, "u2")
    for name, part in sources:
        layout[part] = h5py.VirtualSource(name, "data", VALUES[part].shape)
    with h5py.File(path, "w", track_order=True) as file:
        group = file.create_group("entry", track_order=True)
        group["first"] = 1
        group.create_virtual_dataset("counts", layout, fillvalue=fill).attrs["units"] = "counts"
        group["again"] = group["counts"]
        group["last"] = h5py.SoftLink("/entry/counts")


HALVES = [("a.h5", slice(0, 6)), ("b.h5", slice(6, 12))]


@pytest.mark.usefixtures("only_copies")
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "gzip", "shuffle": True}, hdf5plugin.Bitshuffle(), hdf5plugin.Blosc(), {"fletcher32": True}],
    ids=["none", "gzip", "bitshuffle", "blosc", "fletcher32"],
)
def test_chunks_of_the_sources_are_copied_as_they_are(options: Any) -> None:
    for name, part in HALVES:
        write_source(name, VALUES[part], **options)
    write_master(HALVES)
    with h5py.File("b.h5") as source:
        stored = source["data"].id.read_direct_chunk((2, 3, 0))
    consolidate("master.nxs")
    os.unlink("a.h5")
    os.unlink("b.h5")
    with h5py.File("master.nxs") as file:
        assert list(file["entry"]) == ["first", "counts", "again", "last"]
        made = file["entry/counts"]
        assert not made.is_virtual
        assert made == file["entry/again"] == file["entry/last"]
        assert dict(made.attrs) == {"units": "counts"}
        assert made.chunks == (2, 3, 8)
        assert made.id.read_direct_chunk((8, 3, 0)) == stored
        np.testing.assert_array_equal(made, VALUES)


@pytest.mark.parametrize(
    ("chunks", "options"),
    [((5, 6, 8), {}), (None, {}), ((2, 3, 8), {"compression": "szip"}), ((2, 3, 8), {"fillvalue": 7})],
    ids=["across the files", "contiguous", "another filter", "another fill value"],
)
def test_what_does_not_fit_is_stored_anew(chunks: Any, options: Any) -> None:
    write_source("a.h5", VALUES[:6], chunks, **options)
    write_source("b.h5", VALUES[6:], (2, 3, 8), compression="gzip")
    write_master(HALVES)
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        assert not file["entry/counts"].is_virtual
        np.testing.assert_array_equal(file["entry/counts"], VALUES)


@pytest.mark.parametrize("chunks", [(2, 3, 8), (5, 6, 8), None], ids=["copied", "across the files", "contiguous"])
def test_what_may_grow_may_do_so_afterwards(chunks: Any) -> None:
    for name, part in HALVES:
        write_source(name, VALUES[part], chunks)
    layout = h5py.VirtualLayout(VALUES.shape, "u2", maxshape=(None, *VALUES.shape[1:]))
    for name, part in HALVES:
        layout[part] = h5py.VirtualSource(name, "data", VALUES[part].shape)
    with h5py.File("master.nxs", "w") as file:
        file.create_virtual_dataset("counts", layout)
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        assert not file["counts"].is_virtual
        assert file["counts"].maxshape == (None, *VALUES.shape[1:])
        np.testing.assert_array_equal(file["counts"], VALUES)


@st.composite
def mappings(draw: st.DrawFn) -> list[tuple[int, int, int, int]]:
    """Regions of a virtual dataset of 12 rows: first row there, rows, first row in the source, step there."""
    made = []
    for _ in range(draw(st.integers(0, 4))):
        rows, step = draw(st.integers(1, 6)), draw(st.integers(1, 2))
        first = draw(st.integers(0, 12 - (rows - 1) * step - 1))
        made.append((first, rows, draw(st.integers(0, 6 - rows)), step))
    return made


@given(
    mappings(),
    st.sampled_from([1, 2, 3, 4]),
    st.sampled_from([None, "gzip"]),
    st.sampled_from([0, 9]),
    st.sampled_from([0, 9]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_are_those_that_h5py_reads_before(
    mapped: list[tuple[int, int, int, int]], chunk: int, compression: str | None, fill: int, source_fill: int
) -> None:
    layout = h5py.VirtualLayout((12, 8), "u2")
    for number, (first, rows, origin, step) in enumerate(mapped):
        with h5py.File(f"{number}.h5", "w") as file:
            layout_there = {"chunks": (chunk, 8), "compression": compression, "fillvalue": source_fill}
            file.create_dataset("data", (6, 8), "u2", **layout_there)[1:4] = VALUES[7:10, number]
        source = h5py.VirtualSource(f"{number}.h5", "data", (6, 8))
        layout[first : first + (rows - 1) * step + 1 : step] = source[origin : origin + rows]
    with h5py.File("master.nxs", "w") as file:
        file.create_virtual_dataset("counts", layout, fillvalue=fill)
    # Over fill values: where mappings overlap, libhdf5 fills too little of the rest.
    expected = np.full((12, 8), fill, "u2")
    with h5py.File("master.nxs") as file:
        file["counts"].read_direct(expected)
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        assert not file["counts"].is_virtual
        np.testing.assert_array_equal(file["counts"], expected)
        assert file["counts"].fillvalue == fill


FILLS = {
    "none": ("i4", None),
    "integer": (">i4", -3),
    "nan": ("f4", np.nan),
    "text": ("S4", b"ab"),
    "text of any length": (h5py.string_dtype(), "äb"),
    "ASCII of any length": (h5py.string_dtype("ascii"), "ab"),
    "compound": (np.dtype([("a", "i2"), ("b", "f4")]), (3, 2.5)),
    "boolean": (bool, True),
}


@pytest.mark.parametrize("kind", FILLS)
def test_what_was_virtual_has_the_fill_value_that_it_had(kind: str) -> None:
    dtype, fill = FILLS[kind]
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("data", (3,), dtype)
    properties, region = h5py.h5p.create(h5py.h5p.DATASET_CREATE), h5py.h5s.create_simple((6,))
    region.select_hyperslab((0,), (3,))
    properties.set_virtual(region, b"a.h5", b"data", h5py.h5s.create_simple((3,)))
    if fill is not None:  # h5py would store the address of text of fixed length
        properties.set_fill_value(np.array(fill, h5py.string_dtype() if kind == "text" else dtype))
    with h5py.File("master.nxs", "w") as file:
        stored = h5py.h5t.py_create(np.dtype(dtype), logical=True)
        h5py.h5d.create(file.id, b"counts", stored, h5py.h5s.create_simple((6,)), properties)
        before, values = file["counts"].fillvalue, file["counts"][...]
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        made = file["counts"]
        assert not made.is_virtual
        np.testing.assert_array_equal(made[...], values)
        np.testing.assert_equal(made.fillvalue, before)
        defined = made.id.get_create_plist().fill_value_defined()
        assert (defined == h5py.h5d.FILL_VALUE_USER_DEFINED) == (fill is not None)


def test_what_external_links_lead_to_is_copied_once(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    write_source("raw/a.h5", VALUES[:6])
    write_source("raw/b.h5", VALUES[6:])
    write_master(HALVES, path="raw/scan.nxs")
    with h5py.File("raw/scan.nxs", "r+") as file:
        file["entry"].attrs["NX_class"] = "NXentry"
        file["entry/other"] = h5py.ExternalLink("a.h5", "/data")
        file["entry/nowhere"] = h5py.ExternalLink("missing.h5", "/data")
        file["entry/up"] = h5py.SoftLink("/entry")
    with h5py.File("master.nxs", "w") as file:
        file["one"] = h5py.ExternalLink("raw/scan.nxs", "/entry")
        file["two"] = h5py.ExternalLink("raw/scan.nxs", "/entry/counts")
        file["gone"] = h5py.ExternalLink("missing.h5", "/data")
    with pytest.warns(
        NexusWarning, match=r"master\.nxs isn't one file.*:\n  - /gone: links to missing.h5:/data"
    ) as caught:
        consolidate("master.nxs")
    diagnostics = caught[0].message.diagnostics  # type: ignore[union-attr]
    assert [(each.code, each.path) for each in diagnostics] == [
        ("link-target-missing", "/gone"),
        ("link-target-missing", "/one/nowhere"),
    ]
    for name in ("a.h5", "b.h5", "scan.nxs"):
        os.unlink(f"raw/{name}")
    with h5py.File("master.nxs") as file:
        assert dict(file["one"].attrs) == {"NX_class": "NXentry"}
        np.testing.assert_array_equal(file["one/counts"], VALUES)
        assert file["two"] == file["one/counts"]
        np.testing.assert_array_equal(file["one/other"], VALUES[:6])
        assert file["one/up"] == file["one"]
        assert file.get("gone", getlink=True).filename == "missing.h5"
        assert file["one"].get("nowhere", getlink=True).filename == str(tmp_path / "raw/missing.h5")


def test_what_numpy_has_no_type_for_is_copied(tmp_path: Path) -> None:
    with h5py.File("a.h5", "w") as file:
        h5d.create(file.id, b"time", h5t.UNIX_D32LE, h5s.create_simple((2,)))
    with h5py.File("master.nxs", "w") as file:
        file["time"] = h5py.ExternalLink("a.h5", "/time")
    consolidate("master.nxs")
    os.unlink("a.h5")
    with h5py.File("master.nxs") as file:
        assert h5d.open(file.id, b"time").get_type().get_class() == h5t.TIME


@pytest.mark.parametrize("shape", [(), (7,), (30_000,)])
@pytest.mark.parametrize("name", kinds_that_numpy_has_no_word_for())
def test_raw_data_of_other_files_keep_their_type(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    kind = kinds_that_numpy_has_no_word_for()[name]
    content = np.random.default_rng(0).integers(0, 128, int(np.prod(shape)) * kind.get_size(), "u1").tobytes()
    Path("raw").write_bytes(content)
    with h5py.File("master.nxs", "w") as file, h5py.File("a.h5", "w") as other:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_external(b"raw", 0, 2 * len(content))
        longest = tuple(2 * length for length in shape)
        h5d.create(other.id, b"x", kind, h5s.create_simple(shape, longest), properties)
        file["x"] = h5py.ExternalLink("a.h5", "x")
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        made = file["x"]
        assert made.external is None
        assert made.id.get_type() == kind
        assert (made.shape, made.maxshape) == (shape, longest)
        assert stored_bytes(made.id) == content


@pytest.mark.parametrize("name", kinds_that_numpy_has_no_word_for())
def test_chunks_are_moved_only_into_what_is_of_their_type(name: str, tmp_path: Path) -> None:
    kind = kinds_that_numpy_has_no_word_for()[name]
    content = np.random.default_rng(0).integers(0, 128, (40, kind.get_size()), "u1").view(f"V{kind.get_size()}")[:, 0]
    space = h5s.create_simple((40,))
    with h5py.File("a.h5", "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((10,))
        properties.set_deflate(4)
        h5d.create(file.id, b"x", kind, space, properties).write(h5s.ALL, h5s.ALL, content, kind)
    with h5py.File("master.nxs", "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_virtual(space, b"a.h5", b"x", space)
        before = stored_bytes(h5d.create(file.id, b"x", kind, space, properties))
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        made = file["x"]
        assert (made.is_virtual, made.chunks, made.compression) == (False, (10,), "gzip")
        assert made.id.get_type() == kind
        assert stored_bytes(made.id) == before


def test_missing_sources_are_an_error_that_names_them() -> None:
    write_source("a.h5", VALUES[:6])
    write_master(HALVES)
    before = Path("master.nxs").read_bytes()
    said = r"(?s)master.nxs:/entry/counts: nothing was done.*missing:\n  - /\S*/b.h5"
    with pytest.raises(NexusFileError, match=said):
        consolidate("master.nxs")
    assert Path("master.nxs").read_bytes() == before
    assert sorted(os.listdir()) == ["a.h5", "master.nxs"]


@pytest.mark.parametrize("short", [0, 1])
@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"chunks": None}], ids=["copied", "written anew"])
def test_sources_that_are_short_are_an_error_that_names_them(options: Any, short: int) -> None:
    for number, (name, part) in enumerate(HALVES):
        write_source(name, VALUES[part][: 4 if number == short else None], **options)
    write_master(HALVES)
    before = Path("master.nxs").read_bytes()
    name = HALVES[short][0]
    said = (
        rf"(?s)master.nxs:/entry/counts: nothing was done.*whole:\n  - /\S*/{name}:data is of shape \(4, 6, 8\), less"
    )
    with pytest.raises(NexusFileError, match=said):
        consolidate("master.nxs")
    assert Path("master.nxs").read_bytes() == before


def mark_as_written(path: str, flags: int) -> None:
    """Leave a file of recent libraries as a killed writer does."""
    content = bytearray(Path(path).read_bytes())
    content[11] = flags
    content[44:48] = lookup3(bytes(content[:44])).to_bytes(4, "little")
    Path(path).write_bytes(content)


IS_BEING_WRITTEN = "another process is writing.*, or was when that was killed; .*wait until it.*repack.*h5clear"


@pytest.mark.parametrize("flags", [1, 5], ids=["for itself", "beside readers"])
def test_links_into_files_that_are_being_written_stay_and_say_so(flags: int) -> None:
    with h5py.File("live.h5", "w", libver="latest") as file:
        file["data"] = VALUES
    mark_as_written("live.h5", flags)
    Path("damaged.h5").write_bytes(b"no HDF5" * 100)
    with h5py.File("middle.h5", "w") as file:
        file["group/live"] = h5py.ExternalLink("live.h5", "/data")
    with h5py.File("master.nxs", "w") as file:
        for name in ("live", "damaged", "gone"):
            file[name] = h5py.ExternalLink(f"{name}.h5", "/data")
        file["middle"] = h5py.ExternalLink("middle.h5", "/group")
    with pytest.warns(NexusWarning) as caught:
        consolidate("master.nxs")
    (warning,) = (each.message for each in caught)
    assert isinstance(warning, NexusWarning)
    told = {each.path: each.message for each in warning.diagnostics}
    assert told.keys() == {"/live", "/damaged", "/gone", "/middle/live"}
    for path in ("/live", "/middle/live"):
        assert re.search(IS_BEING_WRITTEN, told[path]), told[path]
    assert "damaged.h5:/data, which can't be opened (" in told["/damaged"]
    assert told["/gone"] == "links to gone.h5:/data, which is not there; it stays a link"


@pytest.mark.parametrize("flags", [1, 5], ids=["for itself", "beside readers"])
def test_sources_that_are_being_written_are_an_error_that_names_them(flags: int) -> None:
    for name, part in HALVES:
        with h5py.File(name, "w", libver="latest") as file:
            file.create_dataset("data", data=VALUES[part], chunks=(2, 3, 8))
    write_master(HALVES)
    mark_as_written("b.h5", flags)
    before = Path("master.nxs").read_bytes()
    with pytest.raises(NexusFileError, match=rf"master.nxs:/entry/counts is made of \S*b\.h5: .*{IS_BEING_WRITTEN}"):
        consolidate("master.nxs")
    assert Path("master.nxs").read_bytes() == before


def test_a_file_that_is_changed_meanwhile_stays_as_that_left_it(monkeypatch: pytest.MonkeyPatch) -> None:
    write_source("a.h5", VALUES[:6])
    write_source("b.h5", VALUES[6:])
    write_master(HALVES)
    run = consolidation._Consolidation.run

    def run_beside_another(*arguments: Any) -> None:
        to_nexus(xr.DataArray([1, 2], name="meanwhile"), "master.nxs", mode="a")
        run(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(consolidation._Consolidation, "run", run_beside_another)
        with pytest.raises(NexusFileError, match=r"master\.nxs: another writer has changed it"):
            consolidate("master.nxs")
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        np.testing.assert_array_equal(file["entry/counts"], VALUES)
        assert file["entry1/meanwhile/meanwhile"][()].tolist() == [1, 2]


def test_files_that_are_not_there_or_whole_already() -> None:
    with pytest.raises(NexusFileNotFoundError, match=r"none\.nxs"):
        consolidate("none.nxs")
    assert os.listdir() == []
    write_source("whole.h5", VALUES)
    before = os.stat("whole.h5")
    consolidate("whole.h5")
    after = os.stat("whole.h5")
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


def test_text_of_a_virtual_dataset(tmp_path: Path) -> None:
    with h5py.File("a.h5", "w") as file:
        file["data"] = np.array(["a", "bé", "c"], h5py.string_dtype())
    layout = h5py.VirtualLayout((3,), h5py.string_dtype())
    layout[:] = h5py.VirtualSource("a.h5", "data", (3,))
    with h5py.File("master.nxs", "w") as file:
        file.create_virtual_dataset("label", layout)
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        assert file["label"].asstr()[...].tolist() == ["a", "bé", "c"]


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("shape", [(5,), (3, 20_000)])
def test_text_of_fixed_length_stays_as_it_is_stored(shape: tuple[int, ...], encoding: Any, tmp_path: Path) -> None:
    dtype = h5py.string_dtype(encoding, 2)
    texts = np.resize(np.array([b"ab", b"c", b"", b"\xb5m", "é".encode()]), shape)
    texts.tofile("raw")
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("a.h5", "data", shape)
    with h5py.File("a.h5", "w") as file:
        file["data"] = texts.astype(dtype)
        file.create_dataset("raw", shape, dtype, external=[("raw", 0, texts.nbytes)])
    with h5py.File("master.nxs", "w") as file:
        file.create_virtual_dataset("virtual", layout)
        file["linked"] = h5py.ExternalLink("a.h5", "raw")
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        for dataset in file.values():
            assert (dataset.dtype, dataset.is_virtual, dataset.external) == ("S2", False, None)
            assert h5py.check_string_dtype(dataset.dtype) == (encoding, 2)
            np.testing.assert_array_equal(dataset, texts)


def test_folders_of_parts_that_are_another_files_stay(tmp_path: Path) -> None:
    for folder in ("master_parts/0123abcd", "master_parts/mine"):
        os.makedirs(folder)
        write_source(f"{folder}/a.h5", VALUES[:6])
    write_source("b.h5", VALUES[6:])
    write_master([("master_parts/mine/a.h5", slice(0, 6)), ("b.h5", slice(6, 12))])
    with h5py.File("master.nxs", "r+") as file:
        file.attrs["nexus_xr_parts"] = ["mine", "../..", "89abcdef"]
    consolidate("master.nxs")
    assert sorted(map(str, Path().rglob("*.*"))) == [
        "b.h5",
        "master.nxs",
        "master_parts/0123abcd/a.h5",
        "master_parts/mine/a.h5",
    ]


def _names(references: Any, file: h5py.File) -> list[str | None]:
    return [file[reference].name if reference else None for reference in np.ravel(references)]


def test_netcdf_that_is_brought_in_whole_keeps_its_dimensions() -> None:
    expected = xr.Dataset({"t": (("y", "x"), np.arange(12.0).reshape(3, 4))}, {"y": [1, 2, 3], "x": [1.0, 2, 3, 4]})
    expected.to_netcdf("part.nc", engine="h5netcdf")
    with h5py.File("master.nxs", "w") as file:
        file["entry/result"] = h5py.ExternalLink("part.nc", "/")
        file["entry/padding"] = np.arange(1000)  # so that nothing is where it was in the other file
    consolidate("master.nxs")
    with xr.open_dataset("master.nxs", engine="netcdf4", group="entry/result") as opened:
        xr.testing.assert_identical(opened.load(), expected)
    with h5py.File("master.nxs") as file:
        assert [scales[0].name for scales in file["entry/result/t"].dims] == ["/entry/result/y", "/entry/result/x"]


@pytest.mark.parametrize("sizes", [(8, 8), (4, 4)])
def test_references_lead_to_what_was_brought_in(sizes: tuple[int, int]) -> None:
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_sizes(*sizes)
    h5py.File(h5py.h5f.create(b"other.h5", h5py.h5f.ACC_TRUNC, creation)).close()
    with h5py.File("other.h5", "a") as file:
        file["data"] = np.arange(12).reshape(3, 4)
        file["stays"] = [1, 2]
        both = [file["data"].ref, h5py.Reference(), file["stays"].ref]
        file["data"].attrs["regions"] = np.array([file["data"].regionref[1:, :2]], h5py.regionref_dtype)
        file["data"].attrs["objects"] = np.array(both, h5py.ref_dtype)
        file["data"].attrs["pairs"] = np.array([(1, file["data"].ref)], [("n", "i4"), ("to", h5py.ref_dtype)])
        file["group/objects"] = np.array(both, h5py.ref_dtype)
        file["group"].attrs["self"] = file["group"].ref
        file["group"].attrs.create("none", h5py.Empty(h5py.ref_dtype))
    with h5py.File("master.nxs", "w") as file:
        file["padding"] = np.arange(1000)
        file["counts"] = h5py.ExternalLink("other.h5", "/data")
        file["more"] = h5py.ExternalLink("other.h5", "/group")
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        attributes = file["counts"].attrs
        assert _names(attributes["objects"], file) == ["/counts", None, None]
        assert _names(attributes["pairs"]["to"], file) == ["/counts"]
        (region,) = attributes["regions"]
        assert file[region][region].tolist() == [[4, 5], [8, 9]]
        assert _names(file["more/objects"][...], file) == ["/counts", None, None]
        assert _names(file["more"].attrs["self"], file) == ["/more"]


def test_scales_that_were_not_brought_in_are_not_attached() -> None:
    with h5py.File("other.h5", "w") as file:
        file["data"], file["more"], file["x"], file["y"] = np.zeros((3, 4)), np.zeros(3), np.arange(3), np.arange(4)
        for name in ("x", "y"):
            file[name].make_scale(name)
        for name in ("data", "more"):
            file[name].dims[0].attach_scale(file["x"])
        file["data"].dims[1].attach_scale(file["y"])
    with h5py.File("master.nxs", "w") as file:
        file["padding"] = np.arange(1000)
        for name in ("data", "x"):
            file[name] = h5py.ExternalLink("other.h5", f"/{name}")
    with h5py.File("alone.nxs", "w") as file:
        file["y"] = h5py.ExternalLink("other.h5", "/y")
    consolidate("master.nxs")
    consolidate("alone.nxs")
    with h5py.File("master.nxs") as file:
        assert [[scale.name for scale in dim.values()] for dim in file["data"].dims] == [["/x"], []]
        assert _names([to for to, _ in file["x"].attrs["REFERENCE_LIST"]], file) == ["/data"]
    with h5py.File("alone.nxs") as file:
        assert dict(file["y"].attrs).keys() == {"CLASS", "NAME"}


def test_references_to_virtual_datasets_of_the_file_itself() -> None:
    write_source("source.h5", VALUES)
    write_master([("source.h5", np.s_[:])])
    with h5py.File("master.nxs", "a") as file:
        file["x"] = np.arange(12)
        file["x"].make_scale("x")
        file["entry/counts"].dims[0].attach_scale(file["x"])
        file["entry"].attrs["objects"] = np.array([file["entry/counts"].ref, file["x"].ref], h5py.ref_dtype)
        file["entry/counts"].attrs["own"] = file["entry/counts"].ref
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        assert not file["entry/counts"].is_virtual
        assert _names(file["entry"].attrs["objects"], file) == ["/entry/counts", "/x"]
        assert _names(file["entry/counts"].attrs["own"], file) == ["/entry/counts"]
        assert _names([to for to, _ in file["x"].attrs["REFERENCE_LIST"]], file) == ["/entry/counts"]
        assert [scale.name for scale in file["entry/counts"].dims[0].values()] == ["/x"]


def test_groups_within_each_other_to_any_depth() -> None:
    """Deeper than Python calls functions."""
    with h5py.File("other.h5", "w", libver="latest") as other, h5py.File("master.nxs", "w", libver="latest") as file:
        ends = []
        for group in (other["/"], file["/"]):
            for _ in range(1100):
                group = group.create_group("g")
            ends.append(group)
        ends[0]["data"] = [1, 2]
        ends[1]["more"] = h5py.ExternalLink("other.h5", "/g")
    consolidate("master.nxs")
    with h5py.File("master.nxs") as file:
        assert file["g/" * 1100 + "more/" + "g/" * 1099 + "data"][...].tolist() == [1, 2]


def test_blocks_that_are_behind_a_missing_one_are_not_left_behind(tmp_path: Path) -> None:
    for number in (0, 2):
        with h5py.File(tmp_path / f"part_{number}.h5", "w") as file:
            file["data"] = counts((2, 3))
    target, properties = h5s.create_simple((0, 3), (h5s.UNLIMITED, 3)), h5p.create(h5p.DATASET_CREATE)
    target.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (2, 1), (2, 3))
    properties.set_virtual(target, b"part_%b.h5", b"data", h5s.create_simple((2, 3)))
    with h5py.File(tmp_path / "master.h5", "w", libver="latest") as file:
        h5d.create(file.id, b"data", h5t.STD_U16LE, target, properties)
    before = (tmp_path / "master.h5").read_bytes()
    with pytest.raises(NexusFileError, match=r"are missing:\n.*part_1.h5 is missing, at which it ends; 1 behind it"):
        consolidate(tmp_path / "master.h5")
    assert (tmp_path / "master.h5").read_bytes() == before
