"""Reading and writing with the processes of a cluster of dask.distributed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from nexus_xr import NexusFileError, NexusFileNotFoundError

from .files import Field, nxdata, nxentry, write_tree

distributed = pytest.importorskip("distributed")
# A frame a block makes more tasks than the groups of frames that xarray takes for the stored chunks.
pytestmark = pytest.mark.filterwarnings("ignore:The specified chunks separate the stored chunks")

FRAMES = np.random.default_rng(1).poisson(30, (24, 40, 50)).astype("u2")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes of two threads each."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


def write_stack(path: Path | str = "scan.nxs", frames: Any = FRAMES, **options: Any) -> None:
    options = {"chunks": (1, *frames.shape[1:]), "compression": "gzip", "shuffle": True, **options}
    data = nxdata({"counts": Field(frames, **options)}, signal="counts")
    write_tree(Path(path), {"entry": nxentry({"data": data})})


def opened(path: Path | str = "scan.nxs", **chunks: int) -> xr.Dataset:
    return xr.open_dataset(path, engine="nexus", chunks=chunks)


# --- reading ---------------------------------------------------------------------------------------------------


def test_workers_find_a_file_that_was_opened_by_a_relative_path(client: Any) -> None:
    write_stack()
    assert os.getcwd() not in client.run(os.getcwd).values()
    dataset = opened("scan.nxs", dim_0=2)
    np.testing.assert_array_equal(dataset.counts, FRAMES)
    assert dataset.counts.encoding["source"] == "scan.nxs"


def test_a_graph_carries_names_however_many_chunks_there_are() -> None:
    write_stack(frames=np.zeros((100_000, 2, 2), "u2"), compression=None, shuffle=False)
    dataset = opened()
    assert dataset.counts[0].sum() == 0  # the index is built, and stays here
    pickled = distributed.protocol.pickle.dumps
    assert len(pickled(dataset.counts.sum().__dask_graph__())) < 10_000
    with pytest.warns(UserWarning, match="separate the stored chunks"):
        blocks = opened(dim_0=1).counts
    assert blocks.data.npartitions == 100_000
    assert len(pickled(blocks.__dask_graph__())) < 10_000_000


def count_placing() -> None:
    """Count in a worker how often it finds out where the values of a dataset are."""
    from nexus_xr.hdf5 import array

    find = array.place
    counted: list[int] = []

    def place(*arguments: Any) -> Any:
        counted.append(1)
        time.sleep(0.05)  # for other threads to come
        return find(*arguments)

    place.counted, place.find = counted, find  # type: ignore[attr-defined]
    array.place = place  # type: ignore[assignment]


def counted_placing() -> int:
    from nexus_xr.hdf5 import array

    place: Any = array.place
    array.place = place.find
    return len(place.counted)


def test_a_worker_finds_out_once_where_the_chunks_are(client: Any) -> None:
    write_stack()
    client.run(count_placing)
    first, second = opened(dim_0=1).counts, opened(dim_0=2).counts
    assert int((first + second).sum()) == 2 * int(FRAMES.sum())
    assert int(first.max()) == FRAMES.max()
    assert list(client.run(counted_placing).values()) == [1, 1]


def slowly(values: Any) -> Any:
    time.sleep(0.1)
    return values


def kill_a_worker(client: Any) -> None:
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)


def test_a_worker_that_is_killed_loses_nothing(client: Any) -> None:
    write_stack()
    lazy = opened(dim_0=1).counts.data.map_blocks(slowly, dtype="u2", meta=np.empty((0, 0, 0), "u2"))
    future = client.compute(lazy)
    time.sleep(0.4)
    kill_a_worker(client)
    np.testing.assert_array_equal(future.result(timeout=60), FRAMES)


def test_a_file_that_a_worker_has_not_is_an_error_that_names_both(client: Any) -> None:
    write_stack()
    lazy = opened(dim_0=1).counts
    os.unlink("scan.nxs")
    with pytest.raises(NexusFileNotFoundError, match="no such file on the worker tcp:") as caught:
        lazy.compute()
    assert str(caught.value).startswith(os.path.abspath("scan.nxs"))
    assert "host" in str(caught.value)


def test_a_file_that_a_worker_may_not_open_is_such_an_error_too(client: Any) -> None:
    write_stack()
    lazy = opened(dim_0=1).counts
    os.unlink("scan.nxs")
    os.symlink("scan.nxs", "scan.nxs")
    with pytest.raises(NexusFileError, match=r"scan.nxs: can't be opened .* on the worker tcp://127.0.0.1:"):
        lazy.compute()


def test_a_path_stays_that_of_the_folder_it_was_opened_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stack()
    lazy = opened().counts
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with h5py.File("scan.nxs", "w"):
        np.testing.assert_array_equal(lazy, FRAMES)
