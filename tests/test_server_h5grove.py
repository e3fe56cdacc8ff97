"""The protocol of h5grove, answered as h5grove answers it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5grove.content import DatasetContent, ResolvedEntityContent, get_content_from_file, get_list_of_paths
from h5grove.encoders import encode
from h5py import h5a, h5d, h5s, h5t
from starlette.testclient import TestClient

from .corpus import CORPUS, corpus_files
from .services import client_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with client_of(folder) as client:
        yield client


def fail(status: int, message: str) -> Exception:
    return LookupError(status, message)


def oracle(file: Path, path: str, what: str, **options: Any) -> Any:
    """What h5grove answers with."""
    with get_content_from_file(file, path, fail, options.pop("links", "only_valid")) as content:
        if what == "meta":
            return json.loads(encode(content.metadata()).content)
        assert isinstance(content, ResolvedEntityContent)
        if what == "attr":
            return json.loads(encode(content.attributes()).content)
        assert isinstance(content, DatasetContent)
        form = options.pop("format", "json")
        return encode(content.data(**options), form).content


def in_order(described: dict[str, Any]) -> dict[str, Any]:
    """Members by their names: h5grove lists them as h5py does, which knows other orders than the names' as well."""
    if "children" in described:
        described["children"] = sorted(described["children"], key=lambda child: child["name"])
    return described


KINDS: dict[str, Any] = {
    "integers": np.arange(6, dtype="<i4").reshape(2, 3),
    "big-endian": np.arange(6, dtype=">u2").reshape(2, 3),
    "bytes": np.arange(3, dtype="u1"),
    "half": np.linspace(0, 1, 5, dtype="<f2"),
    "double": np.array([0.1, np.nan, np.inf]),
    "long": np.linspace(0, 1, 3, dtype=np.longdouble),
    "complex": np.array([1 + 2j, 3 - 4j]),
    "boolean": np.array([True, False]),
    "scalar": 4.5,
    "text": "a text µ",
    "texts": np.array(["a", "bc"], dtype=h5py.string_dtype()),
    "fixed": np.array([b"ab", b"c"]),
    "one": np.array(["only"], dtype=h5py.string_dtype()),
    "one number": np.array([[7]]),
    "compound": np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "<i4"), ("b", ">f8")]),
    "nested": np.array([(1, [1, 2])], dtype=[("a", "<i4"), ("b", "<u2", (2,))]),
    "opaque": np.array([b"abc", b"def"], dtype="V3"),
    "one opaque": np.void(b"abc"),
    "enumeration": np.array([0, 1], dtype=h5py.enum_dtype({"off": 0, "on": 1}, basetype="u2")),
    "empty": h5py.Empty("f4"),
    "no elements": np.zeros((0, 3)),
}


# h5grove has no JSON for what isn't in the byte order of the machine.
ONLY_HERE = ("big-endian", "compound", "nested")


@pytest.fixture(scope="module")
def kinds(folder: Path) -> Path:
    path = folder / "kinds.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/values")
        for name, value in KINDS.items():
            group[name] = value
            if name not in ONLY_HERE:
                group.attrs[name] = value
        group["vlen"] = h5py.Empty("i4")
        del group["vlen"]
        varying = group.create_dataset("vlen", 2, h5py.vlen_dtype("i4"))
        varying[0], varying[1] = [1, 2], [3]
        group.create_dataset("one vlen", (1, 1), h5py.vlen_dtype("f8"))[0, 0] = [0.5]
        group["reference"] = np.array([group.ref, file.ref], dtype=h5py.ref_dtype)
        group.attrs["reference"] = group.ref
        group["null"] = np.array([file.ref, h5py.Reference()], dtype=h5py.ref_dtype)
        group.create_dataset("chunked", data=np.arange(20.0).reshape(4, 5), chunks=(2, 5), compression="gzip")
        file["entry/soft"] = h5py.SoftLink("/entry/values/integers")
        file["entry/nowhere"] = h5py.SoftLink("/entry/gone")
        file["entry/elsewhere"] = h5py.ExternalLink("gone.h5", "/x")
    return path


PATHS = ("/", "/entry", "/entry/values", "/entry/soft", *(f"/entry/values/{name}" for name in KINDS))


@pytest.mark.parametrize("path", PATHS)
def test_objects_are_described_as_h5grove_describes_them(client: TestClient, kinds: Path, path: str) -> None:
    answer = client.get("/h5grove/meta", params={"file": kinds.name, "path": path})
    assert in_order(answer.json()) == in_order(oracle(kinds, path, "meta"))


def stored_types() -> dict[str, h5t.TypeID]:
    """Datatypes, each alone and within others."""
    within = {
        "integer": h5t.STD_I16LE,
        "text": h5t.py_create(h5py.string_dtype(), logical=True),
        "object": h5t.STD_REF_OBJ,
        "region": h5t.STD_REF_DSETREG,
        "enumeration": h5t.py_create(h5py.enum_dtype({"off": 0, "on": 1}, basetype="u2"), logical=True),
        "complex": h5t.py_create(np.dtype("c8"), logical=True),
        "bits": h5t.STD_B16LE,
    }
    types: dict[str, h5t.TypeID] = {}
    for name, inner in within.items():
        compound = h5t.create(h5t.COMPOUND, 64)
        compound.insert(b"number", 4, h5t.STD_I32BE)
        compound.insert(b"inner", 24, inner)
        types |= {name: inner, f"array of {name}": h5t.array_create(inner, (2, 3)), f"{name} in compound": compound}
        if name != "region":  # which libhdf5 can't read
            of_varying_number = h5t.vlen_create(inner)
            compound.insert(b"varying", 40, of_varying_number)
            types |= {
                f"varying {name}": of_varying_number,
                f"array of varying {name}": h5t.array_create(of_varying_number, (2,)),
            }
    return types


@pytest.mark.parametrize("shape", [None, (1, 1), (2,)])
def test_types_within_others_are_described_as_h5grove_describes_them(
    client: TestClient, folder: Path, shape: tuple[int, ...] | None
) -> None:
    path = folder / f"types of {shape}.h5"
    space = h5s.create(h5s.SCALAR) if shape is None else h5s.create_simple(shape)
    with h5py.File(path, "w") as file:
        for name, type_id in stored_types().items():
            h5a.create(h5d.create(file.id, name.encode(), type_id, space), b"of its type", type_id, space)
    described = client.get("/h5grove/meta", params={"file": path.name})
    assert described.status_code == 200, described.json()
    assert in_order(described.json()) == in_order(oracle(path, "/", "meta"))
    for name in stored_types():
        answer = client.get("/h5grove/attr", params={"file": path.name, "path": f"/{name}"})
        assert answer.status_code == 200, answer.json()
        assert answer.json() == oracle(path, f"/{name}", "attr")


def test_dimension_scales_are_told_as_h5grove_tells_them(client: TestClient, folder: Path) -> None:
    path = folder / "scales.h5"
    with h5py.File(path, "w") as file:
        file["x"], file["v"] = np.arange(3), np.arange(3.0)
        file["x"].make_scale("x")
        file["v"].dims[0].attach_scale(file["x"])
    for name in ("/", "/x", "/v"):
        asked = {"file": path.name, "path": name}
        assert in_order(client.get("/h5grove/meta", params=asked).json()) == in_order(oracle(path, name, "meta"))
        assert client.get("/h5grove/attr", params=asked).json() == oracle(path, name, "attr")


def test_attributes_have_the_values_that_h5grove_gives(client: TestClient, kinds: Path) -> None:
    answer = client.get("/h5grove/attr", params={"file": kinds.name, "path": "/entry/values"})
    assert answer.json() == oracle(kinds, "/entry/values", "attr")
    some = client.get(
        "/h5grove/attr", params={"file": kinds.name, "path": "/entry/values", "attr_keys": ["text", "one"]}
    )
    assert some.json() == {"text": "a text µ", "one": ["only"]}


@pytest.mark.parametrize(
    "name", [name for name in [*KINDS, "vlen", "one vlen", "reference", "null", "chunked"] if name not in ONLY_HERE]
)
@pytest.mark.parametrize("flatten", [False, True])
def test_values_of_any_kind_are_those_of_h5grove(client: TestClient, kinds: Path, name: str, flatten: bool) -> None:
    path = f"/entry/values/{name}"
    answer = client.get("/h5grove/data", params={"file": kinds.name, "path": path, "flatten": flatten})
    assert answer.json() == json.loads(oracle(kinds, path, "data", flatten=flatten))


@pytest.mark.parametrize("name", ONLY_HERE)
def test_values_of_any_byte_order_are_told(client: TestClient, kinds: Path, name: str) -> None:
    answer = client.get("/h5grove/data", params={"file": kinds.name, "path": f"/entry/values/{name}"})
    assert answer.json() == json.loads(json.dumps(KINDS[name].tolist(), default=np.ndarray.tolist))


NUMBERS = ("integers", "big-endian", "bytes", "half", "double", "long", "complex", "boolean", "chunked", "no elements")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("dtype", ["origin", "safe"])
@pytest.mark.parametrize("form", ["bin", "npy"])
def test_bytes_of_numbers_are_those_of_h5grove(
    client: TestClient, kinds: Path, name: str, dtype: str, form: str
) -> None:
    path = f"/entry/values/{name}"
    answer = client.get("/h5grove/data", params={"file": kinds.name, "path": path, "format": form, "dtype": dtype})
    expected = oracle(kinds, path, "data", dtype=dtype, format=form)
    if form == "npy":
        assert np.array_equal(loaded(answer.content), loaded(expected), equal_nan=True)
        assert loaded(answer.content).dtype == loaded(expected).dtype
    else:
        assert answer.content == expected


def loaded(content: bytes) -> Any:
    import io

    return np.load(io.BytesIO(content))


@pytest.mark.parametrize("selection", ["0", "1:", ":,2", "1,::2", "-1,0:2", "0,0"])
def test_selections_are_those_of_h5grove(client: TestClient, kinds: Path, selection: str) -> None:
    path = "/entry/values/chunked"
    asked = {"file": kinds.name, "path": path, "selection": selection, "format": "bin", "dtype": "safe"}
    expected = oracle(kinds, path, "data", selection=selection, dtype="safe", format="bin")
    assert client.get("/h5grove/data", params=asked).content == expected


@pytest.mark.parametrize(("name", "selection"), [("vlen", "1"), ("vlen", "0:1"), ("vlen", "5:"), ("one vlen", ":,0")])
@pytest.mark.parametrize("flatten", [False, True])
def test_selections_of_lists_are_those_of_h5grove(
    client: TestClient, kinds: Path, name: str, selection: str, flatten: bool
) -> None:
    path = f"/entry/values/{name}"
    asked = {"file": kinds.name, "path": path, "selection": selection, "flatten": flatten}
    expected = json.loads(oracle(kinds, path, "data", selection=selection, flatten=flatten))
    assert client.get("/h5grove/data", params=asked).json() == expected


def test_there_is_no_list_behind_the_last(client: TestClient, kinds: Path) -> None:
    asked = {"file": kinds.name, "path": "/entry/values/vlen", "selection": "9"}
    answer = client.get("/h5grove/data", params=asked)
    assert answer.status_code == 422
    assert "there is no 9 in a dimension of length 2" in answer.json()["message"]


def test_images_are_those_of_h5grove(client: TestClient, kinds: Path) -> None:
    import io

    import tifffile

    for name in ("integers", "big-endian", "chunked"):
        path = f"/entry/values/{name}"
        answer = client.get("/h5grove/data", params={"file": kinds.name, "path": path, "format": "tiff"})
        expected = tifffile.imread(io.BytesIO(oracle(kinds, path, "data", format="tiff")))
        assert np.array_equal(tifffile.imread(io.BytesIO(answer.content)), expected)


@pytest.mark.parametrize("path", ["/", "/entry/values"])
def test_the_paths_below_a_group_are_those_of_h5grove(client: TestClient, kinds: Path, path: str) -> None:
    answer = client.get("/h5grove/paths", params={"file": kinds.name, "path": path})
    with get_list_of_paths(kinds, path, fail) as expected:
        assert sorted(answer.json()) == sorted(expected)


def test_paths_are_listed_however_deep_groups_lie(tmp_path: Path) -> None:
    depth = 1500
    with h5py.File(tmp_path / "deep.h5", "w") as file:
        group = file
        for _ in range(depth):
            group = group.create_group("g")
        file["behind"] = 1
    with client_of(tmp_path) as client:
        paths = client.get("/h5grove/paths", params={"file": "deep.h5"}).json()
    assert paths == ["/", "/behind", *("/g" * level for level in range(1, depth + 1))]


@pytest.mark.parametrize("how", ["only_valid", "none", "all"])
@pytest.mark.parametrize("name", ["soft", "nowhere", "elsewhere"])
def test_links_are_followed_as_h5grove_follows_them(client: TestClient, kinds: Path, how: str, name: str) -> None:
    asked = {"file": kinds.name, "path": f"/entry/{name}", "resolve_links": how}
    answer = client.get("/h5grove/meta", params=asked)
    if how == "all" and name != "soft":
        with pytest.raises(LookupError, match="Cannot resolve"):
            oracle(kinds, asked["path"], "meta", links=how)
        assert answer.status_code == 404
        assert "Cannot resolve" in answer.json()["message"]
    else:
        assert answer.json() == oracle(kinds, asked["path"], "meta", links=how)


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({}, 422, "file is missing: expected the file, by its path below the folder"),
        ({"file": ""}, 404, "File not found"),
        ({"file": "gone.h5"}, 404, "File not found"),
        ({"file": "kinds.h5", "path": "/gone"}, 404, "not a valid path"),
        ({"file": "kinds.h5", "resolve_links": "perhaps"}, 422, "only_valid"),
    ],
)
def test_failures_have_the_words_that_the_viewer_looks_for(
    client: TestClient, kinds: Path, asked: dict[str, str], status: int, words: str
) -> None:
    answer = client.get("/h5grove/meta", params=asked)
    assert answer.status_code == status
    assert words in answer.json()["message"]


@pytest.mark.parametrize("endpoint", ["meta", "attr", "paths"])
def test_endpoints_may_end_in_a_slash_as_those_of_older_versions_of_h5grove(
    client: TestClient, kinds: Path, endpoint: str
) -> None:
    asked = {"file": kinds.name}
    answer = client.get(f"/h5grove/{endpoint}/", params=asked)
    assert answer.status_code == 200
    assert answer.json() == client.get(f"/h5grove/{endpoint}", params=asked).json()
    assert client.get(f"/h5grove/{endpoint}//", params=asked).status_code == 404


@pytest.mark.parametrize("file", corpus_files(), ids=lambda file: file.name)
def test_real_files_are_described_as_h5grove_describes_them(corpus_client: TestClient, file: Path) -> None:
    address = str(file.relative_to(CORPUS))
    paths = corpus_client.get("/h5grove/paths", params={"file": address}).json()
    with get_list_of_paths(file, "/", fail) as expected:
        assert sorted(paths) == sorted(expected)
    for path in paths[:60]:
        with get_content_from_file(file, path, fail) as content:
            described = json.loads(encode(content.metadata()).content)
            attributes = content.attributes() if isinstance(content, ResolvedEntityContent) else None
            answer = corpus_client.get("/h5grove/meta", params={"file": address, "path": path})
            assert in_order(answer.json()) == in_order(described)
            if attributes is not None:
                answer = corpus_client.get("/h5grove/attr", params={"file": address, "path": path})
                assert answer.json() == json.loads(encode(attributes).content)
