"""Real files of a dozen facilities: every one opens, and the values are h5py's."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from xarray.backends.plugins import guess_engine

import nexus_xr
from nexus_xr import NexusPathError, NexusWarning
from nexus_xr.opening.guess import is_nexus

from .corpus import each_file

pytestmark = pytest.mark.usefixtures("corpus")


def nexus_warnings(caught: list[warnings.WarningMessage]) -> list[str]:
    assert all(issubclass(warning.category, NexusWarning) for warning in caught), [str(w.message) for w in caught]
    return [str(warning.message) for warning in caught]


@each_file
def test_opens_as_a_tree_with_values_as_h5py_reads_them(path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree = xr.open_datatree(path, engine="nexus")
    assert len(nexus_warnings(caught)) <= 1
    assert len(repr(tree).splitlines()) < 5000
    with h5py.File(path) as file:
        for node in tree.subtree:
            for variable in node.dataset.variables.values():
                if "bounds" not in variable.attrs and "nexus_path" in variable.encoding:
                    check_values(variable, file)


def check_values(variable: xr.Variable, file: h5py.File) -> None:
    stored = file[variable.encoding["nexus_path"]]
    if variable.nbytes > 2**28 or variable.shape != stored.shape or "scale_factor" in variable.encoding:
        return
    if h5py.check_string_dtype(stored.dtype) is not None:
        assert all(isinstance(text, str) for text in variable.values.flat)
    else:
        assert variable.dtype == stored.dtype
        np.testing.assert_array_equal(variable.values, stored[()])


@each_file
@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_opens_as_a_dataset_or_lists_the_candidates(path: Path) -> None:
    groups, datasets = nexus_xr.list_datasets(path)
    in_groups = {dataset.rpartition("/")[0] for dataset in datasets}
    if not groups and len(in_groups) != 1:
        with pytest.raises(NexusPathError, match=r"in no NXdata group|holds no NXdata group"):
            xr.open_dataset(path, engine="nexus")
        return
    dataset = xr.open_dataset(path, engine="nexus", chunks={})
    assert len(repr(dataset)) < 10_000
    for variable in dataset.variables.values():
        check_chunks(variable)


def check_chunks(variable: xr.Variable) -> None:
    stored = variable.encoding.get("chunksizes")
    for sizes, chunk in zip(variable.chunks or (), stored or (), strict=False):
        assert all(size % chunk == 0 for size in sizes[:-1])


@each_file
@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_opens_without_naming_the_engine_where_it_has_classes(path: Path) -> None:
    with h5py.File(path) as file:
        groups = [file, *(group for group in file.values() if isinstance(group, h5py.Group))]
        has_class = any("NX_class" in group.attrs for group in groups[:2])
    assert is_nexus(path) == (has_class or path.suffix in (".nxs", ".nx5"))
    if is_nexus(path):
        assert guess_engine(path) == "nexus"


@each_file
@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_every_signal_opens(path: Path) -> None:
    groups, datasets = nexus_xr.list_datasets(path)
    signals = nexus_xr.open_signals(path, chunks={})
    assert len(signals) <= len(groups) + len(datasets)
    assert {signal.encoding["nexus_path"] for signal in signals} >= set(datasets) - {
        path for group in groups for path in datasets if path.startswith(group)
    }


DLS = "rosettasciio/rsciio/tests/data/nexus/nexus_dls_example.nxs"


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"nxdata_only": True}, 2),
        ({"nxdata_only": True, "hardlinks_only": True}, 1),
        ({"hardlinks_only": True}, 11),
        ({}, 14),
    ],
)
def test_as_many_signals_as_hyperspy_users_know(options: dict[str, Any], count: int, corpus: Path) -> None:
    assert len(nexus_xr.open_signals(corpus / DLS, **options)) == count


@pytest.mark.parametrize(("key", "count"), [("testdata", 3), ("nexustest", 6)])
def test_as_many_datasets_as_hyperspy_users_know(key: str, count: int, corpus: Path) -> None:
    assert len(nexus_xr.list_datasets(corpus / DLS, dataset_key=key)[1]) == count


def test_value_and_attributes_of_a_motor(corpus: Path) -> None:
    dataset = xr.open_dataset(corpus / DLS, engine="nexus", dataset_path="/entry1/testdata/nexustest")
    motor = dataset.attrs["instrument"]["beamline"]["M1"]["m1_y"]
    assert motor["value"] == -4.0
    assert motor["attrs"]["units"] == "mm"


def test_metadata_by_key_without_arrays(corpus: Path) -> None:
    tree = nexus_xr.read_metadata(corpus / DLS, metadata_key="stage1_x")
    assert set(tree["entry1"]["instrument"]["stage1_x"]) == {"attrs", "name", "value", "value_set"}
    tree = nexus_xr.read_metadata(corpus / DLS, metadata_key="stage1_x", skip_array_metadata=True)
    assert set(tree["entry1"]["instrument"]["stage1_x"]) == {"attrs", "name"}


def test_a_virtual_stack_without_its_sources_opens_and_shows(corpus: Path) -> None:
    with pytest.warns(NexusWarning, match="data_000001"):
        dataset = xr.open_dataset(corpus / "exampledata/DLS/i03_i04_NXmx/hdf5/Therm_6_2.nxs", engine="nexus", chunks={})
    assert dataset.data.shape == (488, 4362, 4148)
    assert dataset.data.chunks[1:] == ((4362,), (4148,))
    assert "71GB" in repr(dataset)
