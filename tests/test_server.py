"""The service: what it lists, describes and sends, is what is in the files."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import h5py
import hdf5plugin
import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from nexus_xr.hdf5.filters.pipeline import Pipeline
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.naming.reach import Reach
from nexus_xr.hdf5.io.unreadable import being_written
from nexus_xr.opening.files import natural_order
from nexus_xr.server import app
from nexus_xr.server.endpoints import remembered
from nexus_xr.server.endpoints.stored_replies import StoredReply
from nexus_xr.server.failures import Failure, failure_of
from nexus_xr.server.formats import csv
from nexus_xr.server.formats.encoding import Shown, ValuePart
from nexus_xr.server.formats.plain import to_json
from nexus_xr.server.formats.table import FORMATS
from nexus_xr.server.jobs import listing, served_files
from nexus_xr.server.jobs.answer import Answer
from nexus_xr.server.jobs.chunk import ReadChunk
from nexus_xr.server.jobs.context import Context
from nexus_xr.server.jobs.data import ReadData
from nexus_xr.server.jobs.h5grove.data import ReadValues
from nexus_xr.server.jobs.job import Job
from nexus_xr.server.jobs.listing import ListFolder
from nexus_xr.server.jobs.meta import ReadMeta
from nexus_xr.server.jobs.stored_file import ReadFile
from nexus_xr.server.jobs.values import blocks
from nexus_xr.server.jobs.values.reduced import REDUCTIONS
from nexus_xr.server.jobs.values.selection import Selection, chunks_touched, parse_selection
from nexus_xr.server.jobs.zarr import ReadKey
from nexus_xr.server.settings import Folder, Limits, Settings, folders_of, settings_of
from nexus_xr.server.workers import worker
from nexus_xr.server.workers.exchange import Reply
from nexus_xr.server.workers.pool import Pool
from nexus_xr.zarr.view import ZarrView

from .corpus import CORPUS, corpus_files
from .files import scan_file, write_tree
from .services import HERE, client_of, data
from .thresholds import moved

COUNTS = np.arange(5 * 6 * 7, dtype="<u2").reshape(5, 6, 7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scan, a stack, and what isn't to be seen."""
    folder = tmp_path_factory.mktemp("served")
    write_tree(folder / "scan.nxs", scan_file())
    with h5py.File(folder / "stack.h5", "w") as file:
        file.create_dataset("counts", data=COUNTS, chunks=(2, 4, 7), compression="gzip", shuffle=True)
        file["big"] = COUNTS.astype(">f4")
        file["names"] = np.array(["a", "µ, b"], dtype=h5py.string_dtype())
        file["nothing"] = h5py.Empty("f4")
        file["none"] = np.zeros((0, 3))
        file["one"] = 4.5
    (folder / "below").mkdir()
    write_tree(folder / "below" / "scan_10.nxs", scan_file())
    write_tree(folder / "below" / "scan_9.nxs", scan_file())
    (folder / "notes.txt").write_text("not data")
    (folder / "broken.nxs").write_text("not HDF5")
    (folder / ".hidden.nxs").write_bytes((folder / "scan.nxs").read_bytes())
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with client_of(folder) as client:
        yield client


# --- listing ---------------------------------------------------------------------------------------------------------


def names(answer: Any) -> list[str]:
    return [item["name"] for item in answer.json()["items"]]


def test_a_folder_lists_folders_and_hdf5_files(client: TestClient) -> None:
    answer = client.get("/api/files")
    assert names(answer) == ["below", "broken.nxs", "scan.nxs", "stack.h5"]
    assert [item["kind"] for item in answer.json()["items"]] == ["folder", "file", "file", "file"]


def test_files_are_served_whatever_signs_their_names_have(tmp_path: Path) -> None:
    names_there = ["a b.h5", "back\\slash.h5", 'quo"te#?%.h5', "µ.h5"]
    for name in names_there:
        write_tree(tmp_path / name, {"x": 1.5})
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        assert sorted(names(client.get("/api/files"))) == names_there
        for name in names_there:
            address = quote(name)
            assert client.get(f"/api/data/{address}?path=x&format=json").json() == 1.5
            assert client.get(f"/zarr/{address}/x/zarr.json").status_code == 200
            assert client.get(f"/file/{address}").content == (tmp_path / name).read_bytes()
            assert client.get("/h5grove/data", params={"file": name, "path": "x"}).json() == 1.5


def test_files_are_listed_page_by_page_in_natural_order(client: TestClient) -> None:
    assert names(client.get("/api/files/below")) == ["scan_9.nxs", "scan_10.nxs"]
    page = client.get("/api/files/below?offset=1&limit=1")
    assert names(page) == ["scan_10.nxs"]
    assert page.json()["total"] == 2


def test_a_folder_is_listed_anew_when_something_is_put_there_or_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(Settings(folders_of(tmp_path), None))
    scanned: list[str] = []
    scan = os.scandir

    def noted(path: str) -> Any:
        scanned.append(path)
        return scan(path)

    def listed() -> list[str]:
        return [item["name"] for item in json.loads(bytes(ListFolder("").answer(context).body))["items"]]

    monkeypatch.setattr(os, "scandir", noted)
    target = tmp_path / "a.h5"
    target.touch()
    (tmp_path / "link.h5").symlink_to("b.h5")
    assert listed() == listed() == ["a.h5"]
    assert len(scanned) == 2  # it has just changed, and may do so again at the same time by its clock
    monkeypatch.setattr(served_files, "_SETTLED_NS", -(10**18))
    assert listed() == listed() == ["a.h5"]
    assert len(scanned) == 3
    target.rename(tmp_path / "b.h5")
    os.utime(tmp_path, ns=(0, 10**18))  # a time that is another, however coarse the clock
    assert listed() == listed() == ["b.h5", "link.h5"]
    assert len(scanned) == 4


def test_what_is_new_in_a_folder_is_placed_among_what_was_in_order_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(Settings(folders_of(tmp_path), None))
    compared: list[str] = []

    def noted(name: str) -> list[Any]:
        compared.append(name)
        return natural_order(name)

    def listed() -> list[str]:
        compared.clear()
        return [item["name"] for item in json.loads(bytes(ListFolder("").answer(context).body))["items"]]

    monkeypatch.setattr(listing, "natural_order", noted)
    names_there = [name for number in range(1, 17) for name in (f"scan_{number:02}.h5", f"scan_{number}.nxs")]
    for name in names_there:
        (tmp_path / name).touch()
    assert listed() == names_there
    assert len(compared) == len(names_there)
    (tmp_path / "scan_2.nxs").unlink()
    (tmp_path / "scan_10.nxs").rename(tmp_path / "scan_1b.nxs")
    names_there = [name for name in names_there if name not in ("scan_2.nxs", "scan_10.nxs")]
    names_there.insert(2, "scan_1b.nxs")
    assert listed() == names_there
    assert 0 < len(compared) < len(names_there)  # few are compared with a few
    for name in ("a.h5", "scan_07.h5", "scan_007.h5"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).mkdir()
    names_there.insert(names_there.index("scan_07.h5"), "scan_007.h5")
    assert listed() == ["a.h5", *names_there]
    assert len(compared) == len(names_there) + 1  # many are put in order with all


def test_what_a_link_leads_to_is_looked_at_whenever_a_folder_is_listed(tmp_path: Path) -> None:
    served, other = tmp_path / "served", tmp_path / "served" / "below"
    other.mkdir(parents=True)
    (served / "link.h5").symlink_to("below/there.h5")
    os.utime(served, (0, 0))
    with client_of(served, limits=Limits(workers=1)) as client:
        assert names(client.get("/api/files")) == ["below"]
        (other / "there.h5").touch()
        assert names(client.get("/api/files")) == ["below", "link.h5"]


def test_details_say_what_each_file_is_about(client: TestClient, folder: Path) -> None:
    items = {item["name"]: item for item in client.get("/api/files?details=true").json()["items"]}
    assert {name: items["scan.nxs"][name] for name in ("title", "start", "default", "signal", "shape")} == {
        "title": "a scan",
        "start": None,
        "default": "/entry/data",
        "signal": "counts",
        "shape": [3, 4],
    }
    assert items["scan.nxs"]["size"] == (folder / "scan.nxs").stat().st_size
    assert "isn't an HDF5 file" in items["broken.nxs"]["trouble"]


def test_what_can_not_be_asked_for_does_not_hide_the_rest(tmp_path: Path) -> None:
    write_tree(tmp_path / "scan.nxs", scan_file())
    (tmp_path / "loop.nxs").symlink_to("loop.nxs")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/20\xb0C.nxs")).touch()
    except OSError:
        pytest.skip("the file system has names of UTF-8 alone")
    (tmp_path / "20°C.nxs").touch()
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        assert names(client.get("/api/files")) == ["20°C.nxs", "scan.nxs"]
        assert names(client.get("/api/files?details=true")) == ["20°C.nxs", "scan.nxs"]


def test_where_something_else_is_asked_for_what_there_is_is_told(tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    write_tree(served / "a b.h5", {"x": 1.0})
    with client_of(served, limits=Limits(workers=1)) as client:
        for address, words in (
            ("/api/files/a%20b.h5", "'a b.h5' is no folder, but a file"),
            ("/zarr/a%20b.h5", "'a b.h5' is a file, and no key of it is asked for; ask for zarr.json"),
            ("/zarr/a%20b.h5/", "'a b.h5' is a file, and no key of it is asked for; ask for zarr.json"),
            ("/zarr/b.h5/", "There is no 'b.h5"),
            ("/api/files/b.h5", "There is no 'b.h5"),
        ):
            answer = client.get(address)
            assert answer.status_code == 404
            assert words in answer.json()["message"]
        served.rename(tmp_path / "gone")
        answer = client.get("/api/files")
        assert (answer.status_code, "folder that is served is gone" in answer.json()["message"]) == (404, True)


def test_several_folders_are_told_apart_by_their_names(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "below"
    other.mkdir()
    write_tree(other / "other.nxs", scan_file())
    with client_of([folder / "below", other]) as client:
        assert names(client.get("/api/files")) == ["below", "below-2"]
        assert names(client.get("/api/files/below-2")) == ["other.nxs"]
        assert client.get("/api/meta/below-2/other.nxs").status_code == 200
        assert client.get("/api/meta/other.nxs").status_code == 404


# --- descriptions ----------------------------------------------------------------------------------------------------


def test_folders_keep_their_own_names_where_they_can(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a/run", "b/run", "c/run", "e/run-2")]
    for path in paths:
        path.mkdir(parents=True)
    assert [folder.name for folder in folders_of(paths)] == ["run", "run-3", "run-4", "run-2"]
    assert [folder.name for folder in folders_of(paths[:3])] == ["run", "run-2", "run-3"]


def test_a_file_that_nobody_may_read_meanwhile_is_to_be_asked_for_again() -> None:
    failure = failure_of(being_written("/data/a.h5"), [Folder("", "/data")])
    assert failure.status == 503
    assert "wait for its writer" in failure.message


def test_a_description_has_members_attributes_and_small_values(client: TestClient) -> None:
    described = client.get("/api/meta/scan.nxs?path=/entry").json()
    assert described["attributes"] == {"NX_class": "NXentry", "default": "data"}
    members = {member["name"]: member for member in described["members"]}
    assert members["title"]["value"] == "a scan"
    assert members["data"]["nx_class"] == "NXdata"
    assert "members" not in members["data"]
    assert client.get("/api/meta/scan.nxs").json()["default"] == "/entry/data"


def test_a_description_says_what_elements_of_any_kind_are(tmp_path: Path) -> None:
    text, numbers = h5py.string_dtype(), h5py.vlen_dtype("<i4")
    reordered = np.dtype({"names": ["a", "b"], "formats": ["<i4", "<f4"], "offsets": [4, 0], "itemsize": 12})
    gaps = np.dtype({"names": ["a", "b"], "formats": ["<i4", "<f4"], "offsets": [1, 8], "itemsize": 13})
    told = {
        "text": (text, "text"),
        "fixed text": ("S3", "|S3"),
        "number": (">u2", ">u2"),
        "numbers": (numbers, {"list": "<i4"}),
        "reference": (h5py.ref_dtype, "reference"),
        "references": (h5py.vlen_dtype(h5py.ref_dtype), {"list": "reference"}),
        "arrays": (h5py.vlen_dtype(np.dtype(("<i4", (2, 3)))), {"list": {"array": "<i4", "shape": [2, 3]}}),
        "compound": (np.dtype([("name", text), ("v", "<f4")]), [["name", "text"], ["v", "<f4"]]),
        "numbers in compound": (np.dtype([("p", numbers)]), [["p", {"list": "<i4"}]]),
        "array in compound": (np.dtype([("p", "<i2", (2,))]), [["p", "<i2", [2]]]),
        "compound in compound": (
            np.dtype([("c", [("x", "<i2"), ("y", "|u1")])]),
            [["c", [["x", "<i2"], ["y", "|u1"]]]],
        ),
        "reordered": (reordered, {"parts": [["a", "<i4"], ["b", "<f4"]], "offsets": [4, 0], "size": 12}),
        "gaps": (gaps, [["", "|V1"], ["a", "<i4"], ["", "|V3"], ["b", "<f4"], ["", "|V1"]]),
    }
    with h5py.File(tmp_path / "types.h5", "w") as file:
        for name, (dtype, _) in told.items():
            file.create_dataset(name, (2,), dtype)
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        described = client.get("/api/meta/types.h5")
    assert described.status_code == 200, described.json()
    assert {each["name"]: each["dtype"] for each in described.json()["members"]} == {
        name: expected for name, (_, expected) in told.items()
    }


def test_a_description_tells_no_data_from_one_element(client: TestClient) -> None:
    shapes = {
        name: client.get(f"/api/meta/stack.h5?path={name}").json()["shape"] for name in ("nothing", "none", "one")
    }
    assert shapes == {"nothing": None, "none": [0, 3], "one": []}


def test_deeper_members_are_described_where_that_is_asked(client: TestClient) -> None:
    [entry] = client.get("/api/meta/scan.nxs?depth=3").json()["members"]
    instrument = next(member for member in entry["members"] if member["name"] == "instrument")
    [detector] = instrument["members"]
    assert detector["name"] == "detector"
    assert "members" not in detector


def test_a_group_of_data_is_described_by_the_rules(client: TestClient, folder: Path) -> None:
    described = client.get("/api/meta/scan.nxs?path=/entry/data").json()["data"]
    opened = xr.open_dataset(folder / "scan.nxs", engine="nexus")
    assert described["signal"] == "counts"
    assert {each["name"]: tuple(each["dims"]) for each in described["variables"]} == {
        str(name): variable.dims for name, variable in opened.variables.items()
    }


def test_what_could_not_be_honoured_is_told(folder: Path, client: TestClient) -> None:
    tree = {"entry": {"@NX_class": "NXentry", "data": {"@NX_class": "NXdata", "@signal": "gone", "x": [1, 2]}}}
    write_tree(folder / "below" / "odd.nxs", tree)
    told = client.get("/api/meta/below/odd.nxs?path=/entry/data").json()["diagnostics"]
    assert "signal-missing" in [each["code"] for each in told]
    (folder / "below" / "odd.nxs").unlink()


@pytest.mark.parametrize("file", corpus_files(), ids=lambda file: file.name)
@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_real_files_are_described_and_their_signals_sent(file: Path) -> None:
    context = Context(Settings(folders_of(CORPUS), None))
    address = str(file.relative_to(CORPUS))
    top = json.loads(bytes(ReadMeta(address).answer(context).body))
    if top["default"] is None:
        return
    described = json.loads(bytes(ReadMeta(address, path=top["default"]).answer(context).body))["data"]
    for variable in described["variables"][:1]:
        dataset = xr.open_dataset(file, engine="nexus", group=top["default"], mask_and_scale=False)
        array = dataset[variable["name"]]
        if variable["segments"] or array.dtype.kind not in "iuf" or variable["bounds"] or array.nbytes > 1 << 26:
            continue
        values = array.values
        path = f"{top['default']}/{variable['field']}"
        sent = b"".join(bytes(part.body) for part in parts_of(ReadData(address, path=path), context))
        assert sent == np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def test_endpoints_are_found_where_the_application_is_one_of_several(folder: Path) -> None:
    own = app(folder, token=False, limits=Limits(workers=1))
    with TestClient(Starlette(routes=[Mount("/data", own)], lifespan=own.router.lifespan_context), HERE) as client:
        assert client.get("/data/api/files/below").json()["total"] == 2
        assert client.get("/data/api/meta/stack.h5?path=/one").json()["value"] == 4.5
        assert client.get("/data/api/meta/").status_code == 404
        for begin in ("api/meta", "api/data", "zarr", "api/chunk", "api/files"):
            short, whole = (client.get(f"/data/{begin}{slash}") for slash in ("", "/"))
            assert (short.status_code, short.content) == (whole.status_code, whole.content)
        assert client.get("/data/api/meta").json()["message"] != client.get("/data/api/metal").json()["message"]
        refused = client.post("/data/api/meta/stack.h5")
        assert (refused.status_code, refused.json()["message"][:4]) == (405, "POST")
        assert client.get("/data/api/else").status_code == client.get("/api/files").status_code == 404


@pytest.mark.parametrize(
    ("job", "call"),
    [
        (ListFolder(""), "stat"),
        (ListFolder(""), "scandir"),
        (ReadMeta("stack.h5"), "stat"),
        (ReadKey("stack.h5/counts/zarr.json"), "stat"),
        (ReadKey("stack.h5/counts/c/0/0/0"), "stat"),
        (ReadKey("stack.h5"), "stat"),
    ],
    ids=str,
)
@pytest.mark.parametrize(("number", "status"), [(errno.ESTALE, 500), (errno.ENAMETOOLONG, 404)])
def test_what_the_system_fails_to_look_for_is_not_said_to_be_gone(
    folder: Path, job: Job, call: str, number: int, status: int
) -> None:
    """By a 404 Zarr's readers know what isn't there."""
    context = Context(Settings(folders_of(folder), None))
    with (
        mock.patch.object(os, call, side_effect=OSError(number, os.strerror(number))),
        pytest.raises(Failure) as raised,
    ):
        job.answer(context)
    is_chunk = isinstance(job, ReadKey) and "/c/" in job.file
    assert raised.value.status == (422 if status == 404 and is_chunk else status)
    assert str(folder) not in raised.value.message


def test_a_request_opens_its_file_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    open_resolved = Reach.open_resolved

    def noted(self: Reach, place: str, path: str) -> int:
        opened.append(place)
        return open_resolved(self, place, path)

    monkeypatch.setattr(Reach, "open_resolved", noted)
    context = Context(Settings(folders_of(folder), None))
    jobs = (
        ReadMeta("stack.h5"),
        ReadData("stack.h5", path="/counts"),
        ReadChunk("stack.h5", path="/counts", chunk=(0,) * 3),
    )
    for job in (*jobs, ReadKey("stack.h5/counts/c/0/0/0")):
        opened.clear()
        with context.answering(memoryview(bytearray(1 << 20))):
            within = bytes(job.answer(context).body)
        assert opened == [os.path.realpath(folder / "stack.h5")]
        assert bytes(job.answer(Context(context.settings)).body) == within


# --- values ----------------------------------------------------------------------------------------------------------


def numpy_key(selection: str) -> Any:
    """The same for NumPy."""
    return tuple(map(numpy_part, selection.split(","))) if selection else ()


def numpy_part(text: str) -> int | slice:
    numbers = [int(number) if number else None for number in text.split(":")]
    return slice(*numbers) if len(numbers) > 1 else int(text)


@pytest.mark.parametrize("selection", ["", "0", "-1,:,2", "1:4:2,::3,1:", ":,2", "4:1"])
@pytest.mark.parametrize("dataset", ["counts", "big"])
def test_values_are_those_of_the_selection(client: TestClient, dataset: str, selection: str) -> None:
    expected = COUNTS.astype({"counts": "<u2", "big": "<f4"}[dataset])[numpy_key(selection)]
    answer = data(client, "stack.h5", dataset, selection=selection)
    assert answer.headers["X-Shape"] == ",".join(map(str, expected.shape))
    assert answer.headers["X-Dtype"] == expected.dtype.str
    assert answer.content == expected.tobytes()
    assert data(client, "stack.h5", dataset, selection=selection, format="json").json() == expected.tolist()
    loaded = np.load(io.BytesIO(data(client, "stack.h5", dataset, selection=selection, format="npy").content))
    assert np.array_equal(loaded, expected)
    assert loaded.dtype == {"counts": "<u2", "big": ">f4"}[dataset]


def test_text_and_single_values_are_json(client: TestClient) -> None:
    assert data(client, "stack.h5", "names", format="json").json() == ["a", "µ, b"]
    assert data(client, "stack.h5", "one", format="json").json() == 4.5
    assert data(client, "stack.h5", "none", format="json").json() == []
    assert data(client, "stack.h5", "names").status_code == 422


def test_json_has_references_as_paths_and_integers_as_numbers(tmp_path: Path) -> None:
    numbers = [1, 2**64 - 1]
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["x"] = 1.0
        file.create_dataset("to x", data=[file["x"].ref], dtype=h5py.ref_dtype)
        file["x"].attrs["to x"] = file["x"].ref
        file["x"].attrs["numbers"] = np.array(numbers, ">u8")
        for order in "<>":
            file[f"numbers {order}"] = np.array(numbers, f"{order}u8")
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        assert data(client, "scan.h5", "to x", format="json").json() == ["/x"]
        assert client.get("/api/meta/scan.h5?path=x").json()["attributes"] == {"to x": "/x", "numbers": numbers}
        for order in "<>":
            assert data(client, "scan.h5", f"numbers {order}", format="json").json() == numbers


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize(
    ("times", "told"),
    [
        (np.array(["2020-01-01T00:00:00.123456789", "NaT"], "M8[ns]"), ["2020-01-01T00:00:00.123456789", None]),
        (np.array(["1500-03-04", "NaT"], "M8[D]"), ["1500-03-04", None]),
        (np.array([90, "NaT"], "m8[s]"), [90, None]),
        (np.array([[2**62], [-1]], "m8[ns]"), [[2**62], [-1]]),
        (np.array("2020-01-01T12:00", "M8[m]"), "2020-01-01T12:00"),
    ],
)
def test_times_are_told_to_their_last_digit(tmp_path: Path, form: str, times: Any, told: Any) -> None:
    with h5py.File(tmp_path / "times.h5", "w") as file:
        file["t"] = times.astype(h5py.opaque_dtype(times.dtype))
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        answer = data(client, "times.h5", "t", format=form)
    if form == "json":
        assert answer.json() == told
    else:
        assert answer.text.split() == [
            "NaT" if each is None else str(each) for each in np.ravel(np.array(told, object))
        ]


def test_opaque_values_are_text_alone_and_in_lists(tmp_path: Path) -> None:
    write_tree(tmp_path / "scan.h5", {"several": np.array([b"abc", b"d\xb5f"], "V3"), "one": np.void(b"abc")})
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        assert data(client, "scan.h5", "several", format="json").json() == ["abc", "dµf"]
        assert data(client, "scan.h5", "several", format="csv").text == "abc\ndµf\n"
        for asked in ({"dataset": "one"}, {"dataset": "several", "selection": "0"}):
            assert data(client, "scan.h5", **asked, format="json").json() == "abc"
            assert data(client, "scan.h5", **asked, format="csv").text == "abc\n"
            assert data(client, "scan.h5", **asked).content == b"abc"


def test_what_is_no_number_is_null_in_json_and_written_out_in_csv(tmp_path: Path) -> None:
    write_tree(tmp_path / "scan.h5", {"numbers": np.array([np.nan, np.inf, -np.inf, 1.5])})
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        assert data(client, "scan.h5", "numbers", format="json").json() == [None, None, None, 1.5]
        assert data(client, "scan.h5", "numbers", format="csv").text == "nan\ninf\n-inf\n1.5\n"


def test_tables_are_csv(client: TestClient) -> None:
    answer = data(client, "stack.h5", "big", selection="1", format="csv")
    assert np.array_equal(np.loadtxt(io.StringIO(answer.text), delimiter=","), COUNTS[1])
    assert data(client, "stack.h5", "names", format="csv").text == 'a\n"µ, b"\n'
    assert 'filename="big.csv"' in answer.headers["Content-Disposition"]


@given(
    st.sampled_from(["?", "i1", ">i4", "<u8", "<f2", ">f4", "<f8", ">f8", "g", "<c8"]),
    st.sampled_from([(), (5,), (5, 1), (2, 3), (1, 4), (0,), (0, 3), (3, 0)]),
    st.binary(min_size=1, max_size=96),
    st.sampled_from([None, 1e-4, 1e16, 1.0]),
)
def test_numbers_are_written_to_csv_as_python_does(
    dtype: str, shape: tuple[int, ...], content: bytes, about: float | None
) -> None:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    values = np.frombuffer((content * size)[:size], dtype).reshape(shape)
    if dtype == "?":
        values = (values.view("u1") % 2).view("?")
    if about is not None and values.dtype.kind == "f":
        near = about * (1 + np.arange(-2, math.prod(shape) - 2) * 2.0**-52)
        with np.errstate(all="ignore"):
            values = near.astype(dtype).reshape(shape)
    with np.errstate(all="ignore"):
        rows = values.reshape(-1, 1).tolist() if len(shape) < 2 else values.tolist()
    expected = "".join(
        ",".join(repr(each) if isinstance(each, float) else str(each) for each in row) + "\n" for row in rows
    )
    part = ValuePart(values, tuple(map(range, shape)), 0)
    with mock.patch.object(csv, "_AT_ONCE", 3):
        assert FORMATS["csv"].encode(Shown("x", shape, values.dtype), part) == expected.encode()


def test_rows_are_cells_of_arrow(client: TestClient) -> None:
    table = pa.ipc.open_stream(data(client, "stack.h5", "big", format="arrow").content).read_all()
    cells = table["big"].combine_chunks()
    assert np.array_equal(cells.to_numpy_ndarray(), COUNTS)
    text = pa.ipc.open_stream(data(client, "stack.h5", "names", format="arrow").content).read_all()
    assert text["names"].to_pylist() == ["a", "µ, b"]


def test_null_references_are_nulls_of_arrow(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["x"] = 1.0
        file.create_dataset("to", (2,), h5py.ref_dtype)[0] = file["x"].ref
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        table = pa.ipc.open_stream(data(client, "scan.h5", "to", format="arrow").content).read_all()
        assert table["to"].to_pylist() == ["/x", None] == data(client, "scan.h5", "to", format="json").json()


def test_pictures_show_values_between_black_and_white(client: TestClient) -> None:
    shown = Image.open(io.BytesIO(data(client, "stack.h5", "counts", selection="1", format="png").content))
    low, high = COUNTS[1].min(), COUNTS[1].max()
    assert np.array_equal(np.asarray(shown), np.round((COUNTS[1] - low) / (high - low) * 255))
    clipped = data(client, "stack.h5", "counts", selection="1", format="png", low=50, high=60)
    greys = np.asarray(Image.open(io.BytesIO(clipped.content)))
    assert (greys[COUNTS[1] <= 50] == 0).all()
    assert (greys[COUNTS[1] >= 60] == 255).all()


@pytest.mark.parametrize(
    ("values", "greys"),
    [
        (np.array([[1e308, -1e308], [0, 5e307]]), [[255, 0], [128, 191]]),
        (np.array([[2**64 - 1, 2**64 - 2, 2**64 - 3]], "u8"), [[255, 128, 0]]),
        (np.array([[2**63 - 1, -(2**63), 0]], ">i8"), [[255, 0, 128]]),
        (2**53 + np.arange(1, 7).reshape(1, 6), [[0, 51, 102, 153, 204, 255]]),
        (np.array([[np.nan, np.inf, -np.inf, 1, 2, 3]]), [[0, 255, 0, 0, 128, 255]]),
    ],
    ids=["far apart", "unsigned", "signed", "close together", "infinite"],
)
def test_greys_are_exact_whatever_the_values(tmp_path: Path, values: Any, greys: list[list[int]]) -> None:
    write_tree(tmp_path / "image.h5", {"image": values})
    job = ReadData("image.h5", path="image", form="png")
    body = job.answer(Context(Settings(folders_of(tmp_path), None))).body
    assert np.asarray(Image.open(io.BytesIO(bytes(body)))).tolist() == greys


def test_black_is_below_white(client: TestClient) -> None:
    refused = data(client, "stack.h5", "counts", selection="1", format="png", low=60, high=50)
    assert refused.status_code == 422
    assert "swap them" in refused.json()["message"]


@pytest.mark.parametrize("dataset", ["counts", "big"])
def test_images_hold_the_values(client: TestClient, dataset: str) -> None:
    answer = data(client, "stack.h5", dataset, selection="1", format="tiff")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), COUNTS[1])


def test_decimation_leaves_values_out(client: TestClient) -> None:
    answer = data(client, "stack.h5", "counts", decimate=3, format="json")
    assert answer.json() == COUNTS[::2, ::2, ::3].tolist()


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"selection": "9"}, 422),
        ({"selection": "x"}, 422),
        ({"selection": "::0"}, 422),
        ({"selection": ",,,"}, 422),
        ({"format": "gif"}, 422),
        ({"reduce": "median"}, 422),
        ({"reduce": "sum", "axes": "3"}, 422),
        ({"format": "png"}, 422),
        ({"selction": "0"}, 422),
        ({"decimate": "-1"}, 422),
        ({"path": "/gone"}, 404),
        ({"path": "/nothing"}, 422),
        ({"path": "/"}, 404),
    ],
)
def test_what_can_not_be_asked_is_explained(client: TestClient, asked: dict[str, str], status: int) -> None:
    answer = client.get("/api/data/stack.h5", params={"path": "counts", **asked})
    assert answer.status_code == status
    assert len(answer.json()["message"]) > 20


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"selection": "::-1"}, "a step has to be 1 or more"),
        ({"path": "one", "reduce": "sum", "axes": "0"}, "axes=0: what is selected has 0 dimensions"),
        ({"reduce": "sum", "axes": "0,0"}, "axes=0,0: what is selected has 3 dimensions, counted from 0"),
        ({"axes": "0"}, "name that with reduce"),
        ({"selection": "\u0967"}, "expected numbers and slices"),
        ({"selection": "\u0967:"}, "expected numbers and slices"),
        ({"reduce": "sum", "axes": "\u0967"}, "whole numbers with commas"),
        ({"decimate": "\u0967"}, "a whole number"),
        ({"format": "png", "low": "\u0967"}, "a number"),
    ],
)
def test_what_is_refused_says_what_is_expected(client: TestClient, asked: dict[str, str], words: str) -> None:
    answer = client.get("/api/data/stack.h5", params={"path": "counts", **asked})
    assert answer.status_code == 422
    assert words in answer.json()["message"]


@pytest.mark.parametrize(
    "address", ["/api/data/scan.h5?path={}", "/api/meta/scan.h5?path={}", "/h5grove/meta?file=scan.h5&path={}"]
)
def test_what_is_there_and_can_not_be_read_is_explained(tmp_path: Path, address: str) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["type"] = np.dtype("f8")
        (tmp_path / "other.h5").write_text("no file of HDF5")
        source = h5py.VirtualSource("other.h5", "x", (4,), maxshape=(None,))
        layout = h5py.VirtualLayout((4,), "f8", maxshape=(None,))
        layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
        file.create_virtual_dataset("virtual", layout)
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        for path, words in {"virtual": "shape is that of other.h5:x", "type/x": "named datatype"}.items():
            answer = client.get(address.format(path))
            assert answer.status_code == 422
            assert words in answer.json()["message"]


def test_what_is_as_long_as_others_is_served(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_dataset("x", data=[1.0, 2.0, 3.0], maxshape=(None,), chunks=(1,))
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        source = h5py.VirtualSource("other.h5", "x", (1,), maxshape=(None,))
        layout = h5py.VirtualLayout((1,), "f8", maxshape=(None,))
        layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
        file.create_virtual_dataset("virtual", layout)
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        assert data(client, "scan.h5", "virtual", format="json").json() == [1.0, 2.0, 3.0]


def test_what_is_given_twice_is_refused_and_not_half_taken(client: TestClient) -> None:
    twice = client.get("/api/data/stack.h5", params={"path": "counts", "reduce": "sum", "axes": ["0", "2"]})
    assert twice.status_code == 422
    assert "axes is given more than once" in twice.json()["message"]
    assert "with commas between them" in twice.json()["message"]
    assert (
        data(client, "stack.h5", "counts", reduce="sum", axes="0,2", format="json").json()
        == COUNTS.sum((0, 2)).tolist()
    )


def test_where_a_group_is_no_array_is_missed(client: TestClient) -> None:
    for params in ({}, {"path": "/"}):
        assert "/ is a group" in client.get("/api/data/stack.h5", params=params).json()["message"]


# --- blocks: what is sent in parts is what would be sent at once ------------------------------------------------------


def parts_of(job: ReadData | ReadValues, context: Context) -> Iterator[Answer]:
    first = job.answer(context)
    yield first
    for number in range(1, first.parts):
        yield replace(job, part=number, tag=first.tag).answer(context)


def parts_or_refusal(job: ReadData | ReadValues, context: Context) -> list[Answer] | Failure:
    try:
        return list(parts_of(job, context))
    except Failure as failure:
        return failure


@pytest.fixture(scope="module")
def small_blocks(folder: Path) -> Iterator[Context]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", 64)
        patch.setattr(blocks, "MOST_BLOCK_BYTES", 256)
        yield Context(Settings(folders_of(folder), None))


PARTS = st.one_of(
    st.integers(-8, 8).map(str),
    st.tuples(*(st.integers(-8, 8) | st.just(""),) * 2, st.sampled_from(("", 1, 2, 5))).map(
        lambda s: ":".join(map(str, s))
    ),
)
SELECTIONS = st.lists(PARTS, max_size=3).map(",".join)


@given(SELECTIONS, st.sampled_from(["bin", "json", "npy", "csv", "arrow"]), st.sampled_from(["counts", "big"]))
def test_parts_make_the_whole(small_blocks: Context, selection: str, form: str, dataset: str) -> None:
    job = ReadData("stack.h5", path=dataset, selection=selection, form=form)
    values = COUNTS.astype({"counts": "<u2", "big": ">f4"}[dataset])
    answers = parts_or_refusal(job, small_blocks)
    if isinstance(answers, Failure):
        assert answers.status == 422
        return
    expected = values[numpy_key(selection)]
    body = b"".join(bytes(answer.body) for answer in answers)
    assert {answer.length for answer in answers} in ({None}, {len(body)})
    if form == "bin":
        assert body == expected.astype(expected.dtype.newbyteorder("<")).tobytes()
    elif form == "json":
        assert json.loads(body) == expected.tolist()
    elif form == "npy":
        assert np.array_equal(np.load(io.BytesIO(body)), expected)
    elif form == "csv":
        lines = body.decode().splitlines()
        assert [[float(cell) for cell in line.split(",") if cell] for line in lines] == np.atleast_2d(
            expected if expected.ndim > 1 else expected.reshape(-1, 1)
        ).tolist()
    else:
        cells = pa.ipc.open_stream(body).read_all()[dataset].combine_chunks()
        found = cells.to_numpy_ndarray() if expected.ndim > 1 else cells.to_numpy()
        assert np.array_equal(found, expected)


@given(SELECTIONS)
def test_blocks_hold_each_position_once_in_order(selection: str) -> None:
    try:
        parsed = parse_selection(selection, COUNTS.shape)
    except Failure:
        return
    cut = blocks.blocks_of(parsed, (2, 4, 7), 2)
    seen = np.arange(math.prod(parsed.shape)).reshape(parsed.shape)
    found = [seen[tuple(slice(at.start, at.stop) for at in cut.block(number).within)] for number in range(cut.count)]
    assert np.concatenate([part.reshape(-1) for part in found]).tolist() == seen.reshape(-1).tolist()


@pytest.mark.parametrize(
    ("shape", "chunks", "shared", "times"),
    [((256,), (256,), 1, 4), ((16, 64), (16, 16), 4, 16), ((6, 128), (3, 128), 1, 6), ((2, 300), (1, 300), 1, 5)],
)
@pytest.mark.parametrize("form", ["bin", "h5grove"])
@pytest.mark.parametrize("short", [0, 1])
def test_chunks_larger_than_blocks_are_decoded_once_where_they_can_be_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: Any,
    chunks: Any,
    shared: int,
    times: int,
    form: str,
    short: int,
) -> None:
    values = np.arange(math.prod(shape), dtype="<f4").reshape(shape)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("values", data=values, chunks=chunks, compression="gzip")
    count = math.prod(shape) // math.prod(chunks)
    decoded = max(1, count) * math.prod(chunks) * 4
    kept = shared * math.prod(chunks) * 4 - short
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64)
    monkeypatch.setattr(blocks, "MOST_BLOCK_BYTES", 256)
    decoding = mock.patch.object(Pipeline, "decode", autospec=True, side_effect=Pipeline.decode)

    def answers(decoded: int) -> list[Answer] | Failure:
        limits = Limits(worker_memory=2 * kept, decoded=decoded)
        context = Context(Settings(folders_of(tmp_path), None, limits=limits))
        return parts_or_refusal(JOBS_OF_PARTS[form], context)

    with decoding as decode, moved({"runtime.memory.MOST_KEPT": 0, "reading.engine.few_chunks._RECENT_BYTES": 0}):
        parts = answers(decoded * times if short else decoded)
    assert not isinstance(parts, Failure)
    assert b"".join(bytes(part.body) for part in parts) == values.tobytes()
    assert (decode.call_count > count) == bool(short)
    refused = answers((decoded * times if short else decoded) - 1)
    assert isinstance(refused, Failure)
    assert refused.status == 413


@pytest.mark.parametrize(("rows", "are_kept"), [(64, False), (256, True)])
def test_chunks_of_which_a_part_is_decoded_alone_are_not_kept_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, are_kept: bool
) -> None:
    values = np.arange(4 * 256 * 1024, dtype="<u4").reshape(4, 256, 1024)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("values", data=values, chunks=(1, 256, 1024), **hdf5plugin.Blosc(cname="lz4"))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(blocks, "MOST_BLOCK_BYTES", 1 << 20)
    context = Context(Settings(folders_of(tmp_path), None))
    job = ReadData("scan.h5", path="values", selection=f":,:{rows},:1020")
    first = job.answer(context)
    assert first.parts == 4
    assert bytes(first.body) == values[0, :rows, :1020].tobytes()
    assert bool(context._chunks._arrays) == are_kept


@dataclass(frozen=True)
class Needy:
    """A request for which there is too little memory where chunks are kept."""

    def answer(self, context: Context) -> Answer:
        if context._chunks._arrays:
            raise MemoryError
        return Answer(b"made")


def test_decoded_chunks_are_kept_until_the_last_part_and_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "MOST_BLOCK_BYTES", 256)
    for name in ("scan.h5", "other.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("values", data=np.arange(256), chunks=(256,), compression="gzip")
    context = Context(Settings(folders_of(tmp_path), None))
    job = ReadData("scan.h5", path="values")
    first, *_, last = (replace(job, part=number) for number in range(job.answer(context).parts))
    for others, are_kept in (
        ([], True),
        ([ReadMeta("scan.h5")], True),
        ([last], False),
        ([ReadMeta("other.h5")], False),
        ([Needy()], False),
    ):
        bodies = [bytes(worker._answer(each, context).body) for each in (first, *others)]
        assert context.has_chunks == are_kept
        assert all(bodies)
    assert bodies[-1] == b"made"
    monkeypatch.setattr(worker, "_PART_SECONDS", 0.0)
    monkeypatch.setattr(worker, "receive", lambda _: b"more")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for comes_soon in (False, True):
            worker._answer(first, context)
            ours.sendall(b"more" * comes_soon)
            assert worker._next(theirs, context) == b"more"
            assert context.has_chunks == comes_soon


JOBS_OF_PARTS: dict[str, ReadData | ReadValues] = {
    "bin": ReadData("scan.h5", path="values"),
    "h5grove": ReadValues("scan.h5", path="values", form="bin"),
}


def test_an_element_larger_than_a_block_is_a_block() -> None:
    for itemsize, count in ((blocks.MOST_BLOCK_BYTES, 6), (blocks.MOST_BLOCK_BYTES + 1, 6)):
        cut = blocks.blocks_of(parse_selection("", (2, 3)), (1, 3), itemsize)
        assert cut.count == count
        assert [cut.block(number).shape for number in range(count)] == [(1, 1)] * count


def test_large_elements_are_sent(tmp_path: Path) -> None:
    length = blocks.MOST_BLOCK_BYTES + 8
    expected = np.array([np.void(b"a" * length), np.void(b"b" * length)])
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = expected
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        assert data(client, "f.h5", "x").content == expected.tobytes()
        assert data(client, "f.h5", "x", format="json").json() == ["a" * length, "b" * length]


@pytest.mark.parametrize("count", range(1, 70, 4))
def test_names_of_any_letters_are_in_files_of_numpy(tmp_path: Path, count: int) -> None:
    dtype = np.dtype([("\N{GREEK SMALL LETTER SIGMA}" * count, "f8"), ("plain", "i2")])
    values = np.arange(6, dtype="f8").astype(dtype).reshape(2, 3)
    shown = Shown("x", values.shape, dtype)
    form = FORMATS["npy"]
    content = bytes(form.encode(shown, ValuePart(values, (range(2), range(3)), 0)))
    assert len(content) == form.length(shown)
    loaded = np.load(io.BytesIO(content))
    assert loaded.dtype == dtype
    assert (loaded == values).all()
    assert (len(content) - values.nbytes) % 64 == 0


_SWAPPED = np.dtype({"names": ["x", "y"], "formats": ["<i2", "<f8"], "offsets": [8, 0], "itemsize": 24})


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (_SWAPPED, 10),
        ({"names": ["x", "y"], "formats": ["<i2", "<f8"], "offsets": [0, 8], "itemsize": 24}, 24),
        ([("inner", _SWAPPED, (2,)), ("last", "u1")], 21),
        ({"names": ["inner", "last"], "formats": [(_SWAPPED, (2,)), "u1"], "offsets": [8, 0], "itemsize": 64}, 21),
    ],
)
def test_members_that_lie_in_another_order_are_in_files_of_numpy(tmp_path: Path, dtype: Any, size: int) -> None:
    values = np.zeros(3, dtype)
    values[1] = tuple(np.ones((), values.dtype[name]) for name in values.dtype.names)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["values"] = values
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        for answer in (
            data(client, "scan.h5", "values", format="npy"),
            client.get("/h5grove/data?file=scan.h5&path=/values&format=npy"),
        ):
            assert answer.status_code == 200
            loaded = np.load(io.BytesIO(answer.content))
            assert (loaded.dtype.names, loaded.dtype.itemsize) == (values.dtype.names, size)
            assert to_json(loaded.tolist()) == to_json(values.tolist())


@pytest.mark.parametrize(
    ("dtype", "version"),
    [
        ("u2", 1),
        ([("x", "f8"), ("y", "S3")], 1),
        ([("x" * 65_000, "f8")], 1),
        ([("x" * 65_536, "f8")], 2),
        ([("\N{GREEK SMALL LETTER SIGMA}", "f8")], 3),
    ],
)
def test_files_of_numpy_are_of_the_oldest_version_that_has_such_values(dtype: Any, version: int) -> None:
    values = np.zeros((2, 3), dtype)
    shown = Shown("x", values.shape, values.dtype)
    content = bytes(FORMATS["npy"].encode(shown, ValuePart(values, (range(2), range(3)), 0)))
    assert np.lib.format.read_magic(io.BytesIO(content)) == (version, 0)
    assert len(content) == FORMATS["npy"].length(shown)
    assert (np.load(io.BytesIO(content), max_header_size=1 << 20) == values).all()


@given(st.integers(0, 20), st.integers(1, 30), st.integers(1, 9), st.integers(1, 7))
def test_chunks_are_counted_as_they_are_touched(start: int, length: int, step: int, chunk: int) -> None:
    positions = range(start, start + length, step)
    assert chunks_touched(Selection((positions,)), (chunk,)) == len({at // chunk for at in positions})


@given(
    st.sampled_from(REDUCTIONS),
    st.sets(st.integers(0, 2)).map(lambda axes: tuple(sorted(axes))),
    st.sampled_from(["counts", "big"]),
    st.sampled_from(["", "1:4", ":,::2,1:6"]),
)
def test_reductions_are_those_of_numpy(
    small_blocks: Context, operation: str, axes: tuple[int, ...], dataset: str, selection: str
) -> None:
    job = ReadData("stack.h5", path=dataset, selection=selection, form="npy", reduce=operation, axes=axes)
    found = np.load(io.BytesIO(bytes(job.answer(small_blocks).body)))
    values = COUNTS.astype({"counts": "<u2", "big": "<f4"}[dataset])[numpy_key(selection)]
    expected = getattr(np, operation)(values, axis=axes or None)
    assert found.shape == np.shape(expected)
    if dataset == "counts":
        assert found.dtype == np.asarray(expected).dtype
        assert np.array_equal(found, expected)
    else:
        assert np.allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_changes_while_it_is_sent_is_not_mixed(folder: Path, small_blocks: Context, form: str) -> None:
    job = ReadData("stack.h5", path="counts", selection="1", form=form, part=1, tag="another")
    with pytest.raises(Failure, match="changed") as caught:
        job.answer(small_blocks)
    assert caught.value.status == 409


# --- chunks, files, Zarr ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [
        ReadData("large.h5", path="x", selection="1"),
        ReadData("large.h5", path="x"),
        ReadValues("large.h5", path="x", selection="0", form="bin"),
        ReadChunk("large.h5", path="x", chunk=(1, 0)),
        ReadKey("large.h5/x/c/1/0"),
    ],
)
def test_large_values_are_made_where_they_are_sent_from(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 2 << 20)
    monkeypatch.setattr(blocks, "MOST_BLOCK_BYTES", 32 << 20)
    values = np.random.default_rng(2).integers(0, 2**16, (2, 1 << 18), dtype="<u2")
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=(1, 1 << 18), **hdf5plugin.Bitshuffle())
    elsewhere, there = Context(Settings(folders_of(tmp_path), None)), Context(Settings(folders_of(tmp_path), None))
    room = np.zeros(2 << 20, np.uint8)
    there.room = room.data
    answer = job.answer(there)
    assert np.shares_memory(np.frombuffer(answer.body, np.uint8), room)
    assert bytes(answer.body) == bytes(job.answer(elsewhere).body)


def test_chunks_are_sent_as_they_are_stored(client: TestClient, folder: Path) -> None:
    answer = client.get("/api/chunk/stack.h5?path=counts&chunk=1,0,0")
    with h5py.File(folder / "stack.h5") as file:
        _, stored = file["counts"].id.read_direct_chunk((2, 0, 0))
    assert answer.content == stored
    filters = json.loads(answer.headers["X-Filters"])
    assert [(each["id"], each["applied"]) for each in filters] == [(2, True), (1, True)]
    assert answer.headers["X-Shape"] == "2,4,7"
    assert client.get("/api/chunk/stack.h5?path=counts&chunk=9,0,0").status_code == 422


@pytest.mark.parametrize("name", ["none", "Zstandard", "gzip"])
def test_large_chunks_are_sent_part_by_part(tmp_path: Path, name: str, asked: list[Job]) -> None:
    values = np.random.default_rng(2).integers(0, 256, 9 << 20, dtype="u1")
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=values.shape, **SENT_AGAIN[name])
        _, stored = file["x"].id.read_direct_chunk((0,))
    view = ZarrView(File(tmp_path / "large.h5"))
    value = bytes(view.value("x/c/0") or b"")
    with client_of(tmp_path, limits=Limits(workers=1, whole=1 << 20)) as client:
        assert client.get("/api/chunk/large.h5?path=x&chunk=0").content == stored
        assert [getattr(job, "part", None) for job in asked] == [0, 1, 2]
        asked.clear()
        answer = client.get("/zarr/large.h5/x/c/0")
        assert answer.content == value
        assert answer.headers["Content-Length"] == str(len(value))
        # what is put into a frame of Blosc is made as a whole
        assert [getattr(job, "part", None) for job in asked] == ([0] if name == "gzip" else [0, 1, 2])
        for begin, end in ((5, 9), (100, 5 << 20), ((4 << 20) - 1, (4 << 20) + 1)):
            part = client.get("/zarr/large.h5/x/c/0", headers={"Range": f"bytes={begin}-{end - 1}"})
            assert (part.status_code, part.content) == (206, value[begin:end])
            assert part.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(value)}"
    with client_of(tmp_path, limits=Limits(workers=1, sent=1 << 20)) as client:
        assert client.get("/api/chunk/large.h5?path=x&chunk=0").status_code == 413


@pytest.mark.parametrize("job", [ReadKey("large.h5/x/c/0"), ReadChunk("large.h5", path="x", chunk=(0,))])
def test_parts_of_a_chunk_are_of_one_state(tmp_path: Path, job: ReadKey | ReadChunk) -> None:
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("x", data=np.zeros(9 << 20, "u1"), chunks=(9 << 20,))
    context = Context(Settings(folders_of(tmp_path), None))
    first = job.answer(context)
    assert (first.parts, len(first.body), first.length) == (3, 4 << 20, 9 << 20)
    second = replace(job, part=2, tag=first.tag)
    assert len(second.answer(context).body) == 1 << 20
    with h5py.File(tmp_path / "large.h5", "a") as file:
        file["y"] = 1
    with pytest.raises(Failure, match="changed while it was sent") as caught:
        second.answer(context)
    assert caught.value.status == 409


def test_a_chunk_that_was_never_written_is_not_there(client: TestClient, folder: Path) -> None:
    with h5py.File(folder / "sparse.h5", "w") as file:
        file.create_dataset("x", (4, 4), "i4", chunks=(2, 2))[0, 0] = 1
    assert client.get("/api/chunk/sparse.h5?path=x&chunk=0,0").status_code == 200
    assert client.get("/api/chunk/sparse.h5?path=x&chunk=1,1").status_code == 404
    (folder / "sparse.h5").unlink()


def test_files_are_sent_whole_and_in_ranges(client: TestClient, folder: Path) -> None:
    stored = (folder / "stack.h5").read_bytes()
    whole = client.get("/file/stack.h5")
    assert whole.content == stored
    assert whole.headers["Accept-Ranges"] == "bytes"
    for asked, part in (("0-9", stored[:10]), ("100-", stored[100:]), ("-7", stored[-7:])):
        answer = client.get("/file/stack.h5", headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.content) == (206, part)
    begin = len(stored) - len(part)
    assert answer.headers["Content-Range"] == f"bytes {begin}-{len(stored) - 1}/{len(stored)}"
    assert client.get("/file/stack.h5", headers={"Range": f"bytes={len(stored)}-"}).status_code == 416
    head = client.head("/file/stack.h5")
    assert (head.content, head.headers["Content-Length"]) == (b"", str(len(stored)))


def test_ranges_of_another_state_are_not_sent(client: TestClient) -> None:
    asked = {"Range": "bytes=0-9", "If-Range": '"another"'}
    assert client.get("/file/stack.h5", headers=asked).status_code == 200
    tag = client.get("/file/stack.h5").headers["ETag"]
    assert client.get("/file/stack.h5", headers={**asked, "If-Range": tag}).status_code == 206
    for unlike in (tag.strip('"'), f"W/{tag}"):
        assert client.get("/file/stack.h5", headers={**asked, "If-Range": unlike}).status_code == 200


def test_ranges_of_a_date_are_sent_where_that_tells_states_apart(tmp_path: Path) -> None:
    write_old(tmp_path / "old.h5")
    write_tree(tmp_path / "new.h5", scan_file())
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        for name, status in (("old.h5", 206), ("new.h5", 200)):
            os.utime(tmp_path / name, None if status == 200 else (1e9, 1e9))
            date = formatdate(int((tmp_path / name).stat().st_mtime), usegmt=True)
            answer = client.get(f"/file/{name}", headers={"Range": "bytes=0-9", "If-Range": date})
            assert answer.status_code == status
        other = "Sat, 01 Jan 2000 00:00:00 GMT"
        assert client.get("/file/old.h5", headers={"Range": "bytes=0-9", "If-Range": other}).status_code == 200


@pytest.mark.parametrize("address", ["/file/stack.h5", "/zarr/stack.h5/counts/c/0/0/0"])
def test_ranges_are_those_of_http(client: TestClient, address: str) -> None:
    whole = client.get(address)
    size, tag = len(whole.content), whole.headers["ETag"]

    def asked(asked: str, **headers: str) -> Any:
        return client.get(address, headers={"Range": f"bytes={asked}", **headers})

    beyond = asked(f"{size}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert beyond.json()["message"]
    assert asked(f"{size}-", **{"If-None-Match": tag}).status_code == 304
    assert asked("-0").status_code == 416
    for invalid in ("5-3", "-", "a-b"):
        assert (asked(invalid).status_code, asked(invalid).content) == (200, whole.content)
    assert asked("2-5", **{"If-Range": tag}).content == whole.content[2:6]
    assert asked("2-5", **{"If-Range": '"another"'}).content == whole.content
    head = client.head(address, headers={"Range": "bytes=2-5"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(size))


@pytest.mark.parametrize(
    "address", ["/file/stack.h5", "/api/meta/stack.h5", "/api/data/stack.h5?path=counts", "/zarr/stack.h5/zarr.json"]
)
def test_what_a_client_has_is_not_sent_again(client: TestClient, address: str) -> None:
    first = client.get(address)
    again = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(address, headers={"If-None-Match": '"another"'}).content == first.content


@pytest.mark.parametrize("address", ["/", "/viewer.js", "/file/stack.h5", "/api/meta/stack.h5"])
def test_conditions_are_those_of_http(client: TestClient, address: str) -> None:
    tag = client.get(address).headers["ETag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        assert client.get(address, headers={"If-None-Match": known}).status_code == 304
    for wanted, status in ((tag, 200), ("*", 200), ('"x"', 412), (f"W/{tag}", 412)):
        assert client.get(address, headers={"If-Match": wanted}).status_code == status
    assert client.get(address, headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize("address", ["/api/files", "/api/files?details=true"])
def test_what_has_no_state_is_in_none_that_is_asked_for(client: TestClient, address: str) -> None:
    assert client.get(address, headers={"If-Match": '"x"'}).status_code == 412
    assert client.get(address, headers={"If-None-Match": '"x"'}).status_code == 200


def test_what_is_asked_of_another_state_is_not_sent(tmp_path: Path) -> None:
    write_old(tmp_path / "old.h5")
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        check_conditions(client, "/file/old.h5")


def check_conditions(client: TestClient, address: str) -> None:
    tag, modified = (client.get(address).headers[name] for name in ("ETag", "Last-Modified"))
    before, after = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"

    def status(**headers: str) -> int:
        answer = client.get(address, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return int(answer.status_code)

    assert status(If_Match=tag) == status(If_Match=f'"other", {tag}') == status(If_Match="*") == 200
    assert status(If_Match='"other"') == status(If_Match=f"W/{tag}") == 412
    assert status(If_Match='"other"', Range="bytes=0-3") == 412
    assert status(If_Match=tag, Range="bytes=0-3") == 206
    assert status(If_Unmodified_Since=modified) == status(If_Unmodified_Since=after) == 200
    assert status(If_Unmodified_Since=before) == 412
    assert status(If_Unmodified_Since="yesterday") == status(If_Modified_Since="yesterday") == 200
    assert status(If_Modified_Since=modified) == 304
    assert status(If_Modified_Since=before) == 200
    assert status(If_None_Match='"other"', If_Modified_Since=modified) == 200


def test_dates_tell_states_that_no_other_has_since(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    write_old(path)
    with client_of(tmp_path, limits=Limits(workers=1)) as client:

        def ask(date: str = "") -> Any:
            return client.get("/file/scan.h5", headers={"If-Modified-Since": date} if date else {})

        date, now = ask().headers["Last-Modified"], time.time_ns()
        later = formatdate(now // 10**9, usegmt=True)
        assert (ask(date).status_code, ask(later).status_code) == (304, 200)
        write_tree(tmp_path / "other.h5", {"x": 1.0})
        os.utime(tmp_path / "other.h5", (5e8, 5e8))
        os.replace(tmp_path / "other.h5", path)
        assert ask(date).content == path.read_bytes()
        for past, is_told in ((10**9, False), (10**10, True)):
            os.utime(path, ns=(now - past, now - past))
            with mock.patch("nexus_xr.server.jobs.served_files.time.time_ns", return_value=now):
                answer = ReadFile("scan.h5").answer(Context(settings_of(tmp_path, False, (), (), None)))
            assert ("Last-Modified" in answer.headers) == is_told


def test_a_file_whose_time_was_set_back_is_another(client: TestClient, folder: Path) -> None:
    path = folder / "back.h5"
    with h5py.File(path, "w") as file:
        file["x"] = [1]
        file["x"].attrs["number"] = 1
    before, first = path.stat(), client.get("/zarr/back.h5/x/zarr.json")
    with h5py.File(path, "r+") as file:
        file["x"].attrs.modify("number", 2)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = client.get("/zarr/back.h5/x/zarr.json", headers={"If-None-Match": first.headers["ETag"]})
    assert again.json()["attributes"]["number"] == 2
    path.unlink()


def test_large_answers_come_in_parts(client: TestClient, folder: Path) -> None:
    values = np.random.default_rng(1).integers(0, 9, (11, 1 << 20), dtype="u1")
    with h5py.File(folder / "large.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=(1, 1 << 20))
    assert data(client, "large.h5", "x").content == values.tobytes()
    assert client.get("/file/large.h5").content == (folder / "large.h5").read_bytes()
    (folder / "large.h5").unlink()


@pytest.mark.parametrize("form", ["bin", "json", "csv", "npy"])
def test_heads_say_how_long_a_body_is_if_that_is_known(tmp_path: Path, form: str) -> None:
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("x", data=np.arange(1 << 20), chunks=(1 << 18,))
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        address = f"/api/data/large.h5?path=x&format={form}"
        whole = client.get(address)
        head = client.head(address)
        assert head.content == b""
        assert head.headers.get("Content-Length") == whole.headers.get("Content-Length")
        assert int(head.headers.get("Content-Length", len(whole.content))) == len(whole.content)


def test_keys_of_zarr_are_those_of_the_view(client: TestClient, folder: Path) -> None:
    view = ZarrView(File(folder / "stack.h5"))
    for key in ("zarr.json", "counts/zarr.json", "counts/c/1/0/0", "big/c/0/0/0"):
        assert client.get(f"/zarr/stack.h5/{key}").content == bytes(view.value(key) or b"")
    part = client.get("/zarr/stack.h5/counts/c/1/0/0", headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, bytes(view.value("counts/c/1/0/0") or b"")[2:6])
    assert client.get("/zarr/stack.h5/counts/c/9/0/0").status_code == 404
    assert client.get("/zarr/gone.h5/zarr.json").status_code == 404
    for key in ("zarr.json", "counts/zarr.json", "counts/c/1/0/0"):  # of clients whose address of the file ends in one
        assert client.get(f"/zarr/stack.h5//{key}").content == bytes(view.value(key) or b"")


def test_what_is_no_chunk_is_not_taken_for_fill_values(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "names.h5", "w") as file:
        for name in ("scan #1", "a%20b", "tab\t#2"):
            file.create_dataset(f"{name}/x", (4,), "i4", chunks=(2,))[0] = 1
        file.create_dataset("raw", (4,), "i4", external=[("gone.raw", 0, 16)])
    with client_of(tmp_path, limits=Limits(workers=1)) as client:

        def statuses(*keys: str) -> set[int]:
            return {client.get(f"/zarr/{key}").status_code for key in keys}

        assert statuses("names.h5/scan %231/x/c/0") == {200}
        assert statuses(
            "names.h5/scan ", "names.h5/tab", "names.h5/a b/x/c/0", "names.h5/a b/x/c", "gone.h5/x/c/0"
        ) == {422}
        assert statuses("names.h5/raw/c/0") == {500}
        assert statuses("names.h5/scan %231/x/c/1") == {404}  # nobody has written it
        assert statuses(*(f"names.h5/a b/{name}" for name in ("zarr.json", ".zgroup", ".zarray", ".zattrs"))) == {404}


def test_a_file_that_grows_shows_its_present_length(client: TestClient, folder: Path) -> None:
    path = folder / "growing.h5"
    with h5py.File(path, "w", libver="latest") as file:
        dataset = file.create_dataset("x", (2, 3), "i4", chunks=(1, 3), maxshape=(None, 3))
        dataset[:] = 1
        file.swmr_mode = True
        assert client.get("/api/meta/growing.h5?path=x").json()["shape"] == [2, 3]
        dataset.resize(4, axis=0)
        dataset[2:] = 7
        file.flush()
        assert client.get("/api/meta/growing.h5?path=x").json()["shape"] == [4, 3]
        assert data(client, "growing.h5", "x", selection="3", format="json").json() == [7, 7, 7]
    path.unlink()


def test_a_file_that_is_replaced_is_another(client: TestClient, folder: Path) -> None:
    for value in (1, 2):
        with h5py.File(folder / "new.h5", "w") as file:
            file["x"] = [value]
        (folder / "new.h5").rename(folder / "replaced.h5")
        assert data(client, "replaced.h5", "x", format="json").json() == [value]
    (folder / "replaced.h5").unlink()


ADDRESSES_OF_OLD = (
    "/api/meta/old.h5?path=/entry/data",
    "/h5grove/meta?file=old.h5&path=/entry/data",
    "/h5grove/attr?file=old.h5&path=/entry/data",
    "/zarr/old.h5/entry/data/zarr.json",
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What workers are asked."""
    jobs: list[Job] = []
    run = Pool.run

    async def noted(pool: Pool, job: Job, client: str = "", size: int = 0) -> Reply:
        jobs.append(job)
        return await run(pool, job, client, size)

    monkeypatch.setattr(Pool, "run", noted)
    return jobs


def write_old(path: Path) -> None:
    """A file that was written long ago."""
    write_tree(path, scan_file())
    make_old(path)


def make_old(path: Path) -> None:
    os.utime(path, (1e9, 1e9))


@pytest.mark.parametrize("address", ADDRESSES_OF_OLD)
def test_what_lasts_is_sent_again_without_a_worker(tmp_path: Path, address: str, asked: list[Job]) -> None:
    path = tmp_path / "old.h5"
    write_old(path)
    if f"{path.stat().st_dev:x}" not in remembered.local_devices():
        pytest.skip("the system doesn't say that the files of tests are on this machine")
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        first = client.get(address)
        assert len(asked) == 1
        again = client.get(address)
        assert (again.content, again.headers["ETag"]) == (first.content, first.headers["ETag"])
        assert client.get(address, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
        assert client.head(address).headers["Content-Length"] == str(len(first.content))
        assert len(asked) == 1
        with h5py.File(path, "a") as file:
            file["entry/data"].attrs["more"] = "there is"
        assert client.get(address).content != first.content
        assert len(asked) == 2
        path.unlink()
        assert client.get(address).status_code == 404


def test_parts_of_what_lasts_are_not_taken_for_the_whole(tmp_path: Path) -> None:
    write_old(tmp_path / "old.h5")
    address = "/zarr/old.h5/entry/data/zarr.json"
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        whole = client.get(address).content
        for asked, expected in (("bytes=2-5", whole[2:6]), ("bytes=-4", whole[-4:]), ("bytes=-4", whole[-4:])):
            assert client.get(address, headers={"Range": asked}).content == expected
            assert client.get(address, headers={"Range": asked, "If-Range": '"other"'}).content == whole
            assert client.head(address, headers={"Range": asked}).headers["Content-Length"] == str(len(whole))
            assert client.get(address).content == whole


def test_what_is_elsewhere_or_just_written_is_asked_anew(
    tmp_path: Path, asked: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / "new.h5", scan_file())
    write_old(tmp_path / "old.h5")
    monkeypatch.setattr(remembered, "local_devices", lambda: iter(()))
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        for name in ("new.h5", "old.h5") * 2:
            assert client.get(f"/api/meta/{name}").status_code == 200
    assert len(asked) == 4


SENT_AGAIN: dict[str, Mapping[str, Any]] = {
    "none": {},
    "gzip": {"compression": "gzip"},
    "gzip+shuffle": {"compression": "gzip", "shuffle": True},
    "gzip+checksum": {"compression": "gzip", "fletcher32": True},
    "Blosc": hdf5plugin.Blosc(),
    "LZ4": hdf5plugin.LZ4(nbytes=8192),
    "Zstandard": hdf5plugin.Zstd(),
    "bitshuffle+LZ4": hdf5plugin.Bitshuffle(),
    "bitshuffle+Zstandard": hdf5plugin.Bitshuffle(cname="zstd"),
}
FRAMES = np.random.default_rng(1).poisson(10, (3, 303, 512)).astype("u2")


def write_frames(path: Path, width: int = 512, **options: Any) -> None:
    """Frames that were written long ago; of most widths their elements are no multiple of 8."""
    with h5py.File(path, "w") as file:
        file.create_dataset("counts", data=FRAMES[..., :width], chunks=(1, 303, width), **options)
    make_old(path)


@pytest.fixture
def is_read_at_once(tmp_path: Path) -> None:
    """Leave a test out where the system doesn't say what it has of a file in memory, or which files are its own."""
    path = tmp_path / "tried"
    path.write_bytes(b"tried")
    is_local = f"{path.stat().st_dev:x}" in remembered.local_devices()
    with path.open("rb") as file:
        try:
            found = os.preadv(file.fileno(), [bytearray(5)], 0, os.RWF_NOWAIT)
        except (AttributeError, OSError):
            found = 0
    path.unlink()
    if not is_local or found < 5:
        pytest.skip("the system doesn't read what it has in memory alone")


@pytest.mark.usefixtures("is_read_at_once")
@pytest.mark.parametrize("width", [512, 502])
@pytest.mark.parametrize("name", SENT_AGAIN)
def test_chunks_are_sent_again_without_a_worker(tmp_path: Path, name: str, width: int, asked: list[Job]) -> None:
    path = tmp_path / "old.h5"
    write_frames(path, width, **SENT_AGAIN[name])
    addresses = ("/api/chunk/old.h5?path=counts&chunk=1,0,0", "/zarr/old.h5/counts/c/1/0/0")
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        for address in addresses:
            first = client.get(address)
            count = len(asked)
            again = client.get(address)
            assert (again.content, again.headers) == (first.content, first.headers)
            assert client.head(address).headers["Content-Length"] == str(len(first.content))
            assert len(asked) == count
        with h5py.File(path, "a") as file:
            file["counts"][1] = 7
        for address in addresses:
            assert client.get(address).content != first.content


def test_values_that_are_elsewhere_are_sent_again_as_they_are(tmp_path: Path) -> None:
    values = np.arange(6, dtype="u2")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.create_dataset("raw", data=values, external=[("values.raw", 0, values.nbytes)])
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space, name = h5py.h5s.create_simple(values.shape), b"compact"
        h5py.h5d.create(file.id, name, h5py.h5t.STD_U16LE, space, compact).write(space, space, values)
    (tmp_path / "values.raw").write_bytes(values.tobytes())
    make_old(tmp_path / "old.h5")
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        for address in ("/api/chunk/old.h5?path=raw&chunk=0", "/api/chunk/old.h5?path=compact&chunk=0") * 2:
            assert client.get(address).content == values.tobytes()


@pytest.mark.usefixtures("is_read_at_once")
def test_what_the_system_has_not_in_memory_is_asked_of_a_worker(
    tmp_path: Path, asked: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: Any) -> int:
        raise BlockingIOError

    write_frames(tmp_path / "old.h5", **hdf5plugin.Bitshuffle())
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        first = client.get("/zarr/old.h5/counts/c/1/0/0")
        monkeypatch.setattr(os, "preadv", wait)
        assert client.get("/zarr/old.h5/counts/c/1/0/0").content == first.content
    assert len(asked) == 2


@pytest.mark.usefixtures("is_read_at_once")
def test_what_was_moved_out_of_the_folders_is_not_sent_again(tmp_path: Path) -> None:
    served, elsewhere = tmp_path / "served", tmp_path / "elsewhere"
    for folder in (served / "below", elsewhere):
        folder.mkdir(parents=True)
    write_frames(served / "below" / "old.h5", **hdf5plugin.Bitshuffle())
    with client_of(served, limits=Limits(workers=1)) as client:
        address = "/zarr/below/old.h5/counts/c/1/0/0"
        assert client.get(address).status_code == 200
        (served / "below").rename(elsewhere / "below")
        (served / "below").symlink_to(elsewhere / "below")
        assert client.get(address).status_code == 422


@pytest.mark.parametrize(
    "said",
    [
        {"offset": -1, "head": 0, "words": [], "tail": 0},
        {"offset": 1, "head": 0, "words": [], "tail": 0},
        {"offset": 0, "head": -1, "words": [], "tail": 0},
        {"offset": 0, "head": 101, "words": [], "tail": 0},
        {"offset": 0, "head": 4, "words": [0], "tail": 0},
        {"offset": 0, "head": 4, "words": [97], "tail": 0},
        {"offset": 0, "head": 4, "words": [95], "tail": 2},
        {"offset": 0, "head": 4, "words": [], "tail": 97},
        {"offset": 0, "head": 4, "words": [], "tail": -1},
    ],
)
def test_a_worker_is_not_trusted_with_where_a_body_lies(said: dict[str, Any]) -> None:
    reply = Reply(200, "", {}, 1, 100, "", False, "", None, (bytes(100),))
    assert StoredReply.of(reply, said, "old.h5", (1, 2, 100, 3, 3)) is None


def test_what_other_files_have_a_part_in_is_asked_anew(tmp_path: Path) -> None:
    for name in ("other.h5", "old.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["x"] = 1
            if name == "old.h5":
                file["there"] = h5py.ExternalLink("other.h5", "x")
        make_old(tmp_path / name)
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        assert client.get("/api/meta/old.h5?path=there").json()["value"] == 1
        with h5py.File(tmp_path / "other.h5", "a") as file:
            file["x"][()] = 2
        assert client.get("/api/meta/old.h5?path=there").json()["value"] == 2


@pytest.mark.parametrize(
    "address",
    [
        "/api/data/old.h5?path={}",
        "/api/meta/old.h5?path={}",
        "/api/chunk/old.h5?path={}&chunk=0",
        "/h5grove/data?file=old.h5&path={}",
        "/zarr/old.h5/{}/c/0",
    ],
)
def test_a_state_is_told_of_what_one_file_has_alone(tmp_path: Path, address: str) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1, 2]
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["entry/there"] = h5py.ExternalLink("other.h5", "x")
        layout = h5py.VirtualLayout((2,), "i8")
        layout[:1] = h5py.VirtualSource("other.h5", "x", (2,))[:1]
        layout[1:] = h5py.VirtualSource("other.h5", "x", (2,))[1:]
        file.create_virtual_dataset("entry/virtual", layout)
        file.create_dataset("entry/raw", (2,), "i8", external=[("values.raw", 0, 16)])
    with h5py.File(tmp_path / "alone.h5", "w") as file:
        file["entry/there"] = [1, 2]
    (tmp_path / "values.raw").write_bytes(bytes(16))
    names = ("there", "virtual", "raw")
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        alone = client.get(address.format("entry/there").replace("old", "alone"))
        assert alone.headers["ETag"]
        answers = [client.get(address.format(f"entry/{name}"), headers={"If-None-Match": "*"}) for name in names]
        assert 200 in {answer.status_code for answer in answers}
        for answer in answers:
            assert answer.status_code in (200, 422)  # a chunk of what is elsewhere
            assert "ETag" not in answer.headers


def test_zarr_has_files_of_raw_data_as_they_are_by_now(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.create_dataset("entry/x", (2,), "i8", external=[(str(tmp_path / "x.raw"), 0, 16)])
    make_old(tmp_path / "old.h5")
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        for values in ([1, 2], [3, 4], [5, 6, 7], [8, 9]):
            (tmp_path / "x.raw").write_bytes(np.array(values, "i8").tobytes())
            answer = client.get("/zarr/old.h5/entry/x/c/0")
            assert (answer.status_code, np.frombuffer(answer.content, "i8").tolist()) == (200, values[:2])
        (tmp_path / "x.raw").unlink()
        assert client.get("/zarr/old.h5/entry/x/c/0").status_code == 500


def test_zarr_has_linked_files_as_they_are_by_now(tmp_path: Path) -> None:
    def write(name: str, values: Any) -> None:
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("x", data=values, chunks=(2,))

    def values(client: TestClient, path: str) -> Any:
        shape = client.get(f"/zarr/old.h5/{path}/zarr.json").json()["shape"]
        chunks = [client.get(f"/zarr/old.h5/{path}/c/{at}") for at in range(shape[0] // 2)]
        assert all(chunk.status_code == 200 for chunk in chunks)
        return [value for chunk in chunks for value in np.frombuffer(chunk.content, "i8")]

    write("other.h5", [1, 2])
    write("same.h5", [1, 2])
    make_old(tmp_path / "same.h5")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["entry/there"] = h5py.ExternalLink("other.h5", "x")
        file["entry/later"] = h5py.ExternalLink("later.h5", "x")
        layout = h5py.VirtualLayout((2,), "i8")
        layout[:] = h5py.VirtualSource("same.h5", "x", (2,))
        file.create_virtual_dataset("entry/virtual", layout)
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        assert values(client, "entry/there") == [1, 2]
        before = client.get("/zarr/old.h5/entry/virtual/c/0").content
        assert client.get("/zarr/old.h5/entry/later/zarr.json").status_code == 404
        write("other.h5", [3, 4, 5, 6])
        write("same.h5", [3, 4])
        after = client.get("/zarr/old.h5/entry/virtual/c/0")
        assert after.status_code == 200
        assert after.content != before
        assert values(client, "entry/there") == [3, 4, 5, 6]
        write("other.h5", [7, 8, 9, 10, 11, 12])
        assert np.frombuffer(client.get("/zarr/old.h5/entry/there/c/2").content, "i8").tolist() == [11, 12]
        write("later.h5", [1, 2])
        assert client.get("/zarr/old.h5/entry/later/c/0").status_code == 200
        assert values(client, "entry/later") == [1, 2]


def test_a_state_is_not_told_where_another_file_may_come(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["later"] = h5py.ExternalLink("later.h5", "x")
    make_old(tmp_path / "old.h5")
    with client_of(tmp_path, limits=Limits(workers=1)) as client:
        for address in ("/zarr/old.h5/zarr.json", "/api/meta/old.h5", "/h5grove/meta?file=old.h5"):
            assert "ETag" not in client.get(address).headers


# --- what the service says of itself ---------------------------------------------------------------------------------


def test_openapi_describes_each_endpoint_and_parameter(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) >= {"/api/files", "/api/meta/{file}", "/zarr/{file}", "/h5grove/meta"}
    parameters = described["paths"]["/api/data/{file}"]["get"]["parameters"]
    assert {each["name"] for each in parameters} >= {"file", "path", "selection", "format", "reduce", "axes"}
    required = {
        path: {each["name"] for each in methods["get"].get("parameters", ()) if each["required"]}
        for path, methods in described["paths"].items()
    }
    assert required["/api/data/{file}"] == required["/h5grove/meta"] == required["/h5grove/paths"] == {"file"}
    assert required["/api/files"] == required["/healthz"] == set()


def test_openapi_describes_headers_that_answers_have(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path, address in (
        ("/api/data/{file}", "/api/data/stack.h5?path=counts"),
        ("/api/chunk/{file}", "/api/chunk/stack.h5?path=counts&chunk=0,0,0"),
    ):
        told = paths[path]["get"]["responses"]["200"]["headers"]
        sent = {name.title() for name in client.get(address).headers if name.startswith("x-")}
        sent.remove("X-Content-Type-Options")  # which all answers have
        assert set(told) == sent


def test_requests_are_counted(client: TestClient) -> None:
    client.get("/api/files/gone")
    lines = client.get("/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("nexus_xr_requests_total")]
    assert any('endpoint="/api/files/{folder:path}",status="404"' in line for line in counted)
    assert any(line.startswith("nexus_xr_workers_started") for line in lines)


def test_addresses_behind_a_proxy_begin_as_it_says(folder: Path) -> None:
    from nexus_xr.server import app

    application = app(folder, token=False, limits=Limits(workers=1))
    with TestClient(application, "http://localhost", root_path="/data") as client:
        assert client.get("/data/openapi.json").json()["servers"] == [{"url": "/data"}]
        assert client.get("/data/api/files").status_code == 200
