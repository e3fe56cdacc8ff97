"""What tests ask for by name: files, real or written from dictionaries, and what mustn't happen meanwhile."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import settings

from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset
from nexus_xr.hdf5.writing.mapped_regions import chunk_form, mapped_regions_of
from nexus_xr.writing.copies import consolidate as consolidation

from .corpus import CORPUS
from .files import write_tree

# Opening the first file of a process takes longer than any deadline; what CI finds it finds again.
settings.register_profile("nexus_xr", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("nexus_xr")


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """Undo what other libraries do to the whole process once they are imported.

    nexusformat has NumPy print little of an array; netCDF4 names the folder of its filters in the environment, to all
    processes that are started from this one.
    """
    with mock.patch.dict(os.environ), np.printoptions():
        yield


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The corpus; tests of it are skipped where it isn't there, unless it is required."""
    if not CORPUS.is_dir():
        message = f"the corpus of real files is not at {CORPUS}; NEXUS_XR_CORPUS names another place"
        if os.environ.get("NEXUS_XR_REQUIRE_CORPUS"):
            pytest.fail(message)
        pytest.skip(message)
    return CORPUS


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a tree of dictionaries as an HDF5 file and return its path."""

    def write_file(tree: dict[str, Any], name: str = "scan.nxs", **options: Any) -> Path:
        path = tmp_path / name
        write_tree(path, tree, **options)
        return path

    return write_file


@pytest.fixture
def only_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where values are not read by the engine itself."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("libhdf5 was asked for values")

    monkeypatch.setattr(LazyArray, "_read_with_hdf5", refuse)
    monkeypatch.setattr(LazyArray, "_read_in_processes", refuse)


@pytest.fixture
def only_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where consolidating decodes values and doesn't copy their chunks, and say in what forms these are."""

    def refuse(target: WrittenDataset, values: LazyArray) -> None:
        with values.file.opened() as file:
            pieces = mapped_regions_of(file[values.path]) or []
        sources = "\n".join(f"{consolidation._form_of([piece])} of {piece}" for piece in pieces)
        pytest.fail(f"values are decoded, for {chunk_form(target._dataset)}, from\n{sources}")

    monkeypatch.setattr(consolidation, "fill", refuse)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Have nothing of a cycle freed meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def without_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have other processes draw into files alone."""
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def hyperspy() -> Any:
    """HyperSpy's interface, without what it says of its own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("hyperspy.api")


@pytest.fixture(scope="session")
def corpus_client(corpus: Path) -> Iterator[Any]:
    """A client of a service of the corpus."""
    from .services import client_of

    with client_of(corpus) as client:
        yield client
