"""References to the chunks of a file: what kerchunk's and VirtualiZarr's readers read by them is what h5py reads."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import nexus_xr
from nexus_xr import NexusError, NexusPathError, NexusWarning
from nexus_xr.hdf5.reading.block_shapes import nearest_part

from .arrays import assert_same_bits, h5py_values, native
from .corpus import corpus_files
from .files import nxdata, nxentry, write_tree
from .stacks import LOSSLESS, counts

zarr = pytest.importorskip("zarr")


SHAPE, CHUNKS = (7, 20, 33), (2, 8, 33)
BLOSC = [name for name in LOSSLESS if name.startswith("blosc ")]
CORE = ["none", "zstd", *BLOSC]
NATIVE = [*CORE, "gzip", "gzip+shuffle", "gzip+shuffle+fletcher32", "shuffle", "fletcher32"]
MOST_CHUNKS = 2000


def references(path: Any, codecs: str = "native", inline: int = 0) -> dict[str, Any]:
    """The references of a file, nothing of it left out without being told."""
    found: dict[str, Any] = nexus_xr.zarr_store(path, codecs=codecs).references(inline=inline)["refs"]
    return found


def opened(refs: dict[str, Any], group: str = "", **options: Any) -> xr.Dataset:
    """What xarray reads by references, through fsspec, and the files alone."""
    described = {"version": 1, "refs": json.loads(json.dumps(refs))}
    found: xr.Dataset = xr.open_zarr("reference://", group=group, storage_options={"fo": described}, **options)
    return found


def alike(shape: tuple[int, ...]) -> NDArray[Any]:
    """Values that any filter makes smaller; where it can't, HDF5 leaves it out."""
    return np.repeat(counts(shape[:-1])[..., None], shape[-1], -1)


def chunks_of(refs: dict[str, Any], name: str) -> dict[str, Any]:
    """The references to the chunks of an array."""
    return {key: place for key, place in refs.items() if key.startswith(f"{name}/c")}


@pytest.mark.filterwarnings("ignore:Numcodecs codecs")
@pytest.mark.parametrize("dtype", ["<u2", ">f8"])
@pytest.mark.parametrize("name", NATIVE)
def test_readers_fetch_the_stored_bytes(tmp_path: Path, name: str, dtype: str) -> None:
    values = alike(SHAPE).astype(dtype)
    with h5py.File(tmp_path / "f.h5", "w", userblock_size=512) as file:
        file.create_dataset("data", data=values, chunks=CHUNKS, **LOSSLESS[name])
    refs = references(tmp_path / "f.h5")
    places = chunks_of(refs, "data").values()
    assert {type(place) for place in places} == {list}
    assert {place[0] for place in places} == {str(tmp_path / "f.h5")}
    assert_same_bits(opened(refs)["data"].values, native(values))


@pytest.mark.parametrize("name", [name for name in LOSSLESS if name not in NATIVE])
def test_what_the_codecs_do_not_undo_is_left_out_by_name(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=counts(SHAPE), chunks=CHUNKS, **LOSSLESS[name])
        file["other"] = [1, 2, 3]
    with pytest.warns(NexusWarning, match=r"chunks such as \(0, 0, 0\) went through .*, which isn't what") as caught:
        refs = references(tmp_path / "f.h5")
    [diagnostic] = caught[0].message.diagnostics  # type: ignore[union-attr]
    assert (diagnostic.code, diagnostic.path) == ("no-reference", "/data")
    assert list(opened(refs)) == ["other"]


@pytest.mark.parametrize("name", [name for name in NATIVE if name not in CORE])
def test_core_codecs_take_other_bytes(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=alike(SHAPE), chunks=CHUNKS, **LOSSLESS[name])
    if name == "fletcher32":  # which is left off, and lies at the end
        assert_same_bits(opened(references(tmp_path / "f.h5", "core"))["data"].values, alike(SHAPE))
    else:
        with pytest.warns(NexusWarning, match=r"/data: chunks such as \(0, 0, 0\) went through (deflate|shuffle)"):
            assert "data/zarr.json" not in references(tmp_path / "f.h5", "core")


@pytest.mark.parametrize("name", CORE)
def test_core_codecs_take_the_same_bytes(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=alike(SHAPE), chunks=CHUNKS, **LOSSLESS[name])
    assert_same_bits(opened(references(tmp_path / "f.h5", "core"))["data"].values, alike(SHAPE))


def test_a_chunk_that_blosc_can_not_take_apart_is_not_referred_to(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        data = file.create_dataset("data", data=counts((4, 64)), chunks=(2, 64), **LOSSLESS["blosc lz4 1"])
        _, stored = data.id.read_direct_chunk((0, 0))
        data.id.write_direct_chunk((0, 0), b"\5" + stored[1:])  # a frame of Blosc 2
    with pytest.warns(NexusWarning, match=r"/data: chunks such as \(0, 0\) went through blosc"):
        references(tmp_path / "f.h5")


def test_single_chunks_stand_among_the_references(tmp_path: Path) -> None:
    values = counts((6, 64))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        data = file.create_dataset("data", data=values, chunks=(2, 64), compression="gzip")
        data.id.write_direct_chunk((2, 0), values[2:4].tobytes(), filter_mask=1)
    odd = values[2:4].nbytes
    refs = references(tmp_path / "f.h5", inline=odd)
    assert {key: type(place) for key, place in chunks_of(refs, "data").items()} == {
        "data/c/0/0": list,
        "data/c/1/0": str,
        "data/c/2/0": list,
    }
    with warnings.catch_warnings(action="ignore"):
        assert_same_bits(opened(refs)["data"].values, values)
    with pytest.warns(NexusWarning, match=r"/data: chunk \(1, 0\) went through no filter"):
        references(tmp_path / "f.h5", inline=odd - 1)


@pytest.mark.parametrize("shape", [(), (5,), (1009, 3), (6, 7, 5), (0, 4)])
def test_contiguous_values_are_cut_without_a_rest(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.asarray(counts(shape))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data"] = values
    refs = references(tmp_path / "f.h5")
    assert {type(place) for place in chunks_of(refs, "data").values()} <= {list}
    assert_same_bits(opened(refs)["data"].values, values)


@pytest.mark.parametrize(("frames", "together"), [(34, 17), (37, 37), (74, 37)])
def test_long_stacks_are_cut_into_equal_parts(tmp_path: Path, frames: int, together: int) -> None:
    values = np.arange(frames * 2**20, dtype="u1").reshape(frames, 1024, 1024)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data"] = values
    refs = references(tmp_path / "f.h5")
    assert {size for _, _, size in chunks_of(refs, "data").values()} == {together * 2**20}
    assert_same_bits(opened(refs)["data"].values, values)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_no_other_part_is_nearer(length: int, whole: int) -> None:
    part = nearest_part(length, whole)
    assert whole % part == 0
    ratios = (max(each / length, length / each) for each in range(1, whole + 1) if not whole % each)
    assert max(part / length, length / part) == min(ratios)


def test_virtual_datasets_lead_to_their_sources(tmp_path: Path) -> None:
    frames = [counts((3, 8, 16)), counts((5, 8, 16)) + 1]
    layout = h5py.VirtualLayout((8, 8, 16), frames[0].dtype)
    begin = 0
    for number, values in enumerate(frames):
        with h5py.File(tmp_path / f"part{number}.h5", "w") as file:
            file.create_dataset("data", data=values, **({"chunks": (1, 8, 16)} if number else {}))
        layout[begin : begin + len(values)] = h5py.VirtualSource(tmp_path / f"part{number}.h5", "data", values.shape)
        begin += len(values)
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    refs = references(tmp_path / "master.h5")
    places = chunks_of(refs, "data")
    assert [places[f"data/c/{number}/0/0"][0] for number in (0, 7)] == [
        str(tmp_path / "part0.h5"),
        str(tmp_path / "part1.h5"),
    ]
    assert_same_bits(opened(refs)["data"].values, np.concatenate(frames))


def test_what_is_in_no_file_as_it_is_stands_among_the_references(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["title"] = "a {{title}}"
        file.create_dataset("beside", data=[1, 2], external=[(str(tmp_path / "raw"), 0, 16)])
        file["table"] = np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")])
        file.create_dataset("nothing", (4, 4), "f4", chunks=(2, 2), fillvalue=3)
    refs = references(tmp_path / "f.h5", inline=1000)
    found = opened(refs)
    assert found["title"].values.item() == "a {{title}}"
    assert found["beside"].values.tolist() == [1, 2]
    assert opened(refs, "table")["b"].values.item() == 2.5
    assert not chunks_of(refs, "nothing")
    assert opened(refs, mask_and_scale=False)["nothing"].values.tolist() == [[3] * 4] * 4
    with pytest.warns(NexusWarning, match=r"/beside: chunk \(0\) isn't(.*\n)*.*/title: its values") as caught:
        references(tmp_path / "f.h5")
    assert len(caught[0].message.diagnostics) == 4  # type: ignore[union-attr]


def test_a_file_object_has_no_place(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data"] = [1, 2, 3]
    with (tmp_path / "f.h5").open("rb") as stream, pytest.raises(NexusError, match="need the path or the URL"):
        nexus_xr.zarr_store(stream).references()


@pytest.mark.usefixtures("corpus")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", corpus_files() or [None], ids=lambda path: getattr(path, "name", "absent"))
def test_references_to_real_files_are_what_the_store_gives(path: Path) -> None:
    store = nexus_xr.zarr_store(path, codecs="native")
    refs = store.references(inline=0)["refs"]
    places = [(key, place) for key, place in refs.items() if isinstance(place, list)]
    for key, (where, offset, size) in places[:: len(places) // MOST_CHUNKS + 1]:
        value = store.view.value(key)
        with Path(where).open("rb") as file:
            file.seek(offset)
            assert value is not None
            assert file.read(size) == bytes(value), key


# --- VirtualiZarr and icechunk ------------------------------------------------------------------------------------


def _scan(folder: Path) -> Path:
    """A scan whose arrays are stored in ways that can be referred to, and in one that can't."""
    values = counts((6, 20))
    data = nxdata({"t": np.arange(6.0), "x": np.arange(21) / 2, "label": "a scan"}, signal="counts", axes=["t", "x"])
    write_tree(folder / "a scan.nxs", {"entry": nxentry({"data": data})})
    with h5py.File(folder / "a scan.nxs", "a") as file:
        group = file["entry/data"]
        group.create_dataset("counts", data=values, chunks=(2, 20), compression="gzip", shuffle=True)
        group.create_dataset("counts_errors", data=np.sqrt(values), chunks=(1, 20), **LOSSLESS["zstd"])
        group.create_dataset("monitor", data=np.arange(12.0).reshape(6, 2)[:, 0])
        group.create_dataset("odd", data=values, chunks=(2, 20), **LOSSLESS["bitshuffle+lz4"])
    return folder / "a scan.nxs"


@pytest.mark.parametrize("folder_name", ["scans", "5 µm + é (1)"])
def test_icechunk_reads_what_the_engine_reads(folder_name: str, tmp_path: Path) -> None:
    pytest.importorskip("virtualizarr")
    icechunk = pytest.importorskip("icechunk")
    folder = tmp_path / folder_name
    folder.mkdir()
    path = _scan(folder)
    virtual = nexus_xr.zarr_store(path, codecs="native").virtual_dataset("/entry/data")
    assert "ManifestArray" in repr(virtual["counts"])
    where = f"file://{folder}/"
    config = icechunk.RepositoryConfig.default()
    files = icechunk.local_filesystem_store(str(folder))
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(where, files))
    kept = icechunk.in_memory_storage()
    access = getattr(icechunk.credentials, "LocalFileSystemAccess", None)  # None before icechunk 2
    repository = icechunk.Repository.create(kept, config, authorize_virtual_chunk_access={where: access})
    session = repository.writable_session("main")
    virtual.vz.to_icechunk(session.store)
    session.commit("a scan")
    with warnings.catch_warnings(action="ignore"):
        read = xr.open_zarr(repository.readonly_session("main").store, consolidated=False).load()
    expected = xr.open_dataset(path, engine="nexus", group="entry/data")
    assert set(read.variables) == set(expected.variables)
    for name, variable in expected.variables.items():
        assert_same_bits(read.variables[name].values, native(variable.values))
    assert set(read.coords) == set(expected.coords)


@pytest.mark.parametrize("name", ["scan.nxs", "a #1?.nxs", "100% (é)+%20.nxs"])
def test_paths_in_virtual_datasets_are_as_they_are(name: str, tmp_path: Path) -> None:
    pytest.importorskip("virtualizarr")
    path = _scan(tmp_path).rename(tmp_path / name)
    virtual = nexus_xr.zarr_store(path, codecs="native").virtual_dataset("entry/data")
    manifest = virtual["counts"].data.manifest
    assert {each["path"] for each in manifest.dict().values()} == {f"file://{path}"}
    virtual[["counts"]].vz.to_kerchunk(str(tmp_path / "scan.json"), format="json")
    options = {"fo": str(tmp_path / "scan.json")}
    referred = xr.open_zarr("reference://", consolidated=False, mask_and_scale=False, storage_options=options)
    np.testing.assert_array_equal(referred["counts"], counts((6, 20)))


def test_a_virtual_dataset_has_no_array_that_can_not_be_referred_to(tmp_path: Path) -> None:
    pytest.importorskip("virtualizarr")
    store = nexus_xr.zarr_store(_scan(tmp_path), codecs="native")
    with pytest.warns(NexusWarning, match=r"can't be referred to.*\n.*/entry/data/"):
        virtual = store.virtual_dataset("entry/data", inline=0)
    assert {"counts", "t"} <= set(virtual.variables)
    with pytest.raises(NexusPathError, match="no group 'nowhere'"):
        store.virtual_dataset("nowhere")


def test_virtual_datasets_are_joined(tmp_path: Path) -> None:
    pytest.importorskip("virtualizarr")
    virtual = nexus_xr.zarr_store(_scan(tmp_path), codecs="native").virtual_dataset("entry/data")[["counts"]]
    joined = xr.concat([virtual, virtual], "t", coords="minimal", compat="override")
    assert joined["counts"].shape == (12, 20)
    assert h5py_values(tmp_path / "a scan.nxs", "entry/data/counts").shape == (6, 20)
