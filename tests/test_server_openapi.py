"""Whatever the description allows is answered: with what was asked for, or with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from .files import scan_file, write_tree
from .services import client_of

schemathesis = pytest.importorskip("schemathesis")

FILES = ("scan.nxs", "stack.h5")
PATHS = ("/", "/entry/data", "/entry/data/counts", "/counts", "counts", "/text")
IN_PATHS = {"file": (*FILES, "stack.h5/zarr.json", "stack.h5/counts/c/0/0/0"), "folder": ("", "scan.nxs")}
IN_QUERIES = {"file": FILES, "path": PATHS, "chunk": ("0,0,0", "0,0", "9,9,9")}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder: Path = tmp_path_factory.mktemp("served")
    write_tree(folder / "scan.nxs", scan_file())
    with h5py.File(folder / "stack.h5", "w") as file:
        file.create_dataset("counts", data=np.arange(60.0).reshape(3, 4, 5), chunks=(1, 4, 5), compression="gzip")
        file["text"] = np.array(["a", "b"], dtype=h5py.string_dtype())
    with client_of(folder) as client:
        yield client


def test_parts_are_promised_where_they_may_be_asked_for(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    in_parts = {path for path, methods in paths.items() if "206" in methods["get"]["responses"]}
    assert in_parts == {"/file/{file}", "/zarr/{file}"}
    assert all("content" not in methods["get"]["responses"].get("304", {}) for methods in paths.values())


def test_nothing_that_may_be_asked_is_a_fault_of_the_service(client: TestClient) -> None:
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    answered = set()

    @given(st.data())
    @settings(max_examples=200)
    def ask(drawn: st.DataObject) -> None:
        operation = drawn.draw(st.sampled_from(operations))
        case = drawn.draw(operation.as_strategy())
        _aim(case, drawn)
        answer = client.request(case.method, case.formatted_path, params=case.query, headers=_headers(case))
        assert answer.status_code < 500, answer.content
        assert str(answer.status_code) in operation.definition.raw["responses"]
        if answer.status_code >= 400:
            assert answer.json()["message"]
        else:
            answered.add(operation.path)

    ask()
    assert len(answered) >= len(operations) // 2


def _headers(case: Any) -> dict[str, str]:
    """Those of a request that can be sent, with the token that is right."""
    given = {name: value for name, value in (case.headers or {}).items() if name != "Authorization"}
    return {name: value for name, value in given.items() if value.isascii() and value.isprintable()}


def _aim(case: Any, drawn: st.DataObject) -> None:
    """Have most requests be for what is there, and say little else."""
    case.query = {name: value for name, value in (case.query or {}).items() if not drawn.draw(st.integers(0, 2))}
    parameters = case.path_parameters or {}
    parameters.update(_there({name: IN_PATHS[name] for name in IN_PATHS if name in parameters}, drawn))
    case.query.update(_there(IN_QUERIES, drawn))
    known = {each.name for each in case.operation.query}
    case.query = {name: value for name, value in case.query.items() if name in known}


def _there(choices: dict[str, tuple[str, ...]], drawn: st.DataObject) -> dict[str, str]:
    """One of the choices for most of the names."""
    return {
        name: drawn.draw(st.sampled_from(those)) for name, those in choices.items() if drawn.draw(st.integers(0, 5))
    }
