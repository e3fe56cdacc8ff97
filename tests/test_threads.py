"""Reads use the CPUs that there are and leave nothing behind, whoever else reads at the time."""

from __future__ import annotations

import _thread
import concurrent.futures
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import nexus_xr
from nexus_xr import NexusError
from nexus_xr.hdf5.filters.codecs import deflate, zstd
from nexus_xr.hdf5.filters.codecs.deflate import DEFLATE
from nexus_xr.hdf5.filters.encoder import Encoder
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.policy import ReadingPolicy
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.runtime import cpus, threads
from nexus_xr.hdf5.runtime.libraries import Allocated

from .arrays import assert_same_bits, lazy, take
from .calls import recorded
from .processes import readers, run
from .stacks import LOSSY, counts, smooth
from .waiting import PATIENCE_SECONDS, wait_until

SHAPE, CHUNKS = (64, 40, 50), (1, 40, 50)


def write(path: Path, values: NDArray[Any] | None = None, **options: Any) -> NDArray[Any]:
    values = counts(SHAPE) if values is None else values
    options = {"chunks": (1, *values.shape[1:]), "compression": "gzip", **options}
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=values, **options)
    return values


def array_of(path: Path, values: NDArray[Any], num_threads: int | None = None) -> LazyArray:
    return LazyArray(File(path, policy=ReadingPolicy(num_threads)), "/data", values.shape, values.dtype)


class Gathering:
    """Tasks that wait until so many threads do them at once, and count these."""

    def __init__(self, awaited: int) -> None:
        self.awaited = awaited
        self.most = 0
        self.names: set[str] = set()
        self._present = 0
        self._changed = threading.Condition()

    def task(self) -> None:
        with self._changed:
            self._present += 1
            self.most = max(self.most, self._present)
            self.names.add(threading.current_thread().name)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self.awaited, PATIENCE_SECONDS)
            self._present -= 1

    def tasks(self, count: int) -> list[threads.Task]:
        return [self.task] * count


# --- how many --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_values_do_not_depend_on_the_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    values = write(tmp_path / "f.h5")
    monkeypatch.setattr("nexus_xr.hdf5.reading.engine.many_chunks.BATCH_BYTES", 10_000)
    for key in ((slice(None),), (slice(None, None, -3), slice(3, 9)), ([5, 5, 60, 0],)):
        assert_same_bits(array_of(tmp_path / "f.h5", values, count)[key], values[key])
        monkeypatch.setenv("NEXUS_XR_NUM_THREADS", str(count))
        assert_same_bits(array_of(tmp_path / "f.h5", values)[key], values[key])
        monkeypatch.delenv("NEXUS_XR_NUM_THREADS")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_as_many_threads_work_as_are_asked_for(count: int) -> None:
    gathering = Gathering(count)
    threads.run(gathering.tasks(20), count)
    assert gathering.most == count


def test_the_variable_tells_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_XR_NUM_THREADS", " 3 ")
    gathering = Gathering(3)
    threads.run(gathering.tasks(20))
    assert gathering.most == 3


def test_a_file_may_ask_for_fewer_threads_than_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = write(tmp_path / "f.h5")
    monkeypatch.setenv("NEXUS_XR_NUM_THREADS", "4")
    calls = recorded(monkeypatch, threads, "run")
    assert_same_bits(array_of(tmp_path / "f.h5", values, 1)[...], values)
    assert [most for _, most in calls] == [1]


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "²"])
def test_a_number_of_threads_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    values = write(tmp_path / "f.h5")
    monkeypatch.setenv("NEXUS_XR_NUM_THREADS", text)
    with pytest.raises(NexusError, match=f"NEXUS_XR_NUM_THREADS='{text}': expected a whole number"):
        array_of(tmp_path / "f.h5", values)[...]
    small = xr.DataArray([1, 2], dims="x", name="counts")
    with pytest.raises(NexusError, match="NEXUS_XR_NUM_THREADS="):
        nexus_xr.to_nexus(small, tmp_path / "f.nxs")
    nexus_xr.to_nexus(small, tmp_path / "f.nxs", num_threads=1)
    with pytest.raises(NexusError, match="NEXUS_XR_NUM_THREADS="):
        xr.open_dataset(tmp_path / "f.nxs", engine="nexus", chunks={})


def test_no_more_threads_work_than_there_are_tasks() -> None:
    gathering = Gathering(3)
    threads.run(gathering.tasks(3), 8)
    assert gathering.most == 3


AFFINITY = """
import os
from nexus_xr.hdf5.runtime import cpus
before = cpus.available_cpus()
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
print(before >= 1, cpus.available_cpus(), cpus.thread_count())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system can't bind a process to CPUs")
def test_no_more_cpus_are_used_than_the_process_may_run_on() -> None:
    assert run(AFFINITY, environment={"NEXUS_XR_NUM_THREADS": ""}) == "True 1 1\n"


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n"}, 4),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "100000 100000\n", "a/cpu.max": "300000 100000\n"}, 1),
        ("0::/a\n", {"a/cpu.max": "800000 100000\n", "other/cpu.max": "100000 100000\n"}, 8),
        ("0::/../elsewhere\n", {"cpu.max": "200000 100000\n"}, 2),
        ("4:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ("4:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        (
            "5:memory:/m\n4:cpuacct,cpu:/a/b\n0::/\n",
            {
                "cpu/a/b/cpu.cfs_quota_us": "-1\n",
                "cpu/a/b/cpu.cfs_period_us": "100000\n",
                "cpu/a/cpu.cfs_quota_us": "300000\n",
                "cpu/a/cpu.cfs_period_us": "100000\n",
                "m/cpu.max": "100000 100000\n",
            },
            3,
        ),
        # In a container the path is one of the host, which isn't there.
        (
            "4:cpu:/docker/0123\n",
            {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            2,
        ),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        (None, {"cpu.max": "100000 50000\n"}, 2),
    ],
)
def test_quotas_of_control_groups_are_known(
    tmp_path: Path, membership: str | None, limits: dict[str, str], expected: float | None
) -> None:
    if membership is not None:
        (tmp_path / "own").write_text(membership)
    (tmp_path / "root").mkdir()
    for name, content in limits.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(content)
    assert cpus._cgroup_quota(tmp_path / "root", tmp_path / "own") == expected


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (0.2, 1), (1.0, 1), (2.6, 3), (64.0, 8)])
def test_a_quota_limits_the_cpus(monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int) -> None:
    monkeypatch.setattr(cpus, "_own_cgroup_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cpus.available_cpus() == expected


# --- together --------------------------------------------------------------------------------------------------


def in_threads(*work: Callable[[], None]) -> None:
    """Do several things at once, each in a thread of its own that no pool has."""
    failures: list[BaseException] = []

    def attempt(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            failures.append(error)

    started = [threading.Thread(target=attempt, args=(one,)) for one in work]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    for failure in failures:
        raise failure


def test_a_second_reader_takes_the_cpu_of_a_helper() -> None:
    everyone = Gathering(4)
    done = threading.Event()
    workers: set[int] = set()

    def first() -> None:
        threads.run([*everyone.tasks(4), *[lambda: None if done.is_set() else time.sleep(0.001)] * 1_000_000], 4)

    def second() -> None:
        wait_until(lambda: everyone.most == 4)
        threads.run([lambda: workers.add(threading.get_ident()), wait_for_a_helper_to_leave], 4)
        workers.discard(threading.get_ident())
        done.set()

    def wait_for_a_helper_to_leave() -> None:
        wait_until(lambda: threads._crew.busy == 4)

    in_threads(first, second)
    assert not workers
    assert threads._crew.busy == 0


def test_as_many_readers_as_cpus_have_no_helpers() -> None:
    gathering = Gathering(3)
    all_read = threading.Barrier(3)

    def wait_for_all() -> None:
        all_read.wait()

    def read() -> None:
        threads.run([wait_for_all, *gathering.tasks(10)], 3)

    in_threads(read, read, read)
    assert gathering.most <= 3
    assert threads._crew.busy == 0


def test_a_thread_that_reads_within_a_task_stays_at_work() -> None:
    """So that others know of the CPU that it uses; a read within fails or not."""
    found: list[int] = []

    def fail() -> None:
        raise ZeroDivisionError

    def read() -> None:
        threads.run([lambda: found.append(threads._crew.busy)] * 2, 1)
        found.append(threads._crew.busy)
        with pytest.raises(ZeroDivisionError):
            threads.run([fail], 1)
        found.append(threads._crew.busy)

    threads.run([read], 2)
    assert found == [1, 1, 1, 1]
    assert threads._crew.busy == 0


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that wanted helpers, of which a small read is worth some."""
    monkeypatch.setattr("nexus_xr.hdf5.reading.engine.many_chunks.BATCH_BYTES", 10_000)
    found: list[int] = []
    start = threads._Crew.start

    def noted(crew: threads._Crew, work: threads.Task, helpers: int) -> None:
        found.append(threading.get_ident())
        start(crew, work, helpers)

    monkeypatch.setattr(threads._Crew, "start", noted)
    return found


def test_threads_of_a_pool_have_no_helpers(tmp_path: Path, helped: list[int]) -> None:
    values = write(tmp_path / "f.h5")
    array = array_of(tmp_path / "f.h5", values, 8)
    with concurrent.futures.ThreadPoolExecutor(1, "mine") as pool:
        assert_same_bits(pool.submit(lambda: array[...]).result(), values)
    assert not helped
    assert_same_bits(array[...], values)
    assert set(helped) == {threading.get_ident()}


def read_in_task(array: LazyArray) -> Any:
    return array[...]


def test_a_task_of_a_distributed_worker_uses_its_own_thread(tmp_path: Path, helped: list[int]) -> None:
    distributed = pytest.importorskip("distributed")
    values = write(tmp_path / "f.h5")
    array = array_of(tmp_path / "f.h5", values, 8)

    with (
        distributed.LocalCluster(1, 1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert_same_bits(client.submit(read_in_task, array).result(), values)
    assert not helped


@pytest.mark.parametrize("raising", ["this thread", "a helper"])
def test_an_error_reaches_the_caller_and_ends_the_work(raising: str) -> None:
    gathering = Gathering(2)
    caller = threading.current_thread()
    done: list[int] = []

    def task() -> None:
        gathering.task()
        if (threading.current_thread() is caller) == (raising == "this thread"):
            raise ZeroDivisionError(raising)
        time.sleep(0.001)  # so that the other thread gets the interpreter, and ends the work before all of it is done
        done.append(1)

    with pytest.raises(ZeroDivisionError, match=raising):
        threads.run([task] * 10_000, 2)
    assert len(done) < 9_999
    assert threads._crew.busy == 0
    threads.run(Gathering(2).tasks(4), 2)


def is_interrupted(work: Callable[[], None], at_call: int, events: Collection[str] = ("call",)) -> bool:
    """Do something that is interrupted, as Ctrl-C does it, at a call of a function; whether there are so many calls.

    With ``c_return`` among the events, it is also where a function of the system's has returned, and what is lost.
    """
    calls = itertools.count(1)

    def watch(_: Any, event: str, __: Any) -> None:
        if event in events and next(calls) == at_call:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.setprofile(watch)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGINT, before)
    return False


def test_no_helper_is_at_work_after_an_interrupt_wherever_it_comes() -> None:
    caller = threading.get_ident()

    def work(working: dict[int, bool]) -> None:
        own = threading.get_ident()
        working[own] = True
        while own == caller and len(working) < 3:
            time.sleep(0.001)
        time.sleep(0 if own == caller else 0.02)
        working[own] = False

    def interrupted_at(call: int) -> bool:
        working: dict[int, bool] = {}
        found = is_interrupted(lambda: threads.run([lambda: work(working)] * 3, 3), call)
        working.pop(caller, None)
        assert not any(working.values())
        assert threads._crew.busy == 0
        return found

    assert sum(itertools.takewhile(bool, map(interrupted_at, itertools.count(1)))) > 10


def test_many_threads_read_what_h5py_reads(tmp_path: Path) -> None:
    values = write(tmp_path / "f.h5", counts((40, 60, 70)), chunks=(2, 16, 70), shuffle=True)
    array = array_of(tmp_path / "f.h5", values, 4)

    def read(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(60):
            begin, end = np.sort(random.integers(0, 41, 2))
            rows = slice(*np.sort(random.integers(0, 61, 2)))
            key: tuple[Any, ...] = (slice(begin, end), rows, random.integers(0, 70, 3))
            if random.random() < 0.3:
                key = (int(random.integers(40)), *key[1:])
            elif random.random() < 0.3:
                key = (slice(None), slice(None), slice(None, None, int(random.choice([-1, 1, 7]))))
            assert_same_bits(array[key], take(values, key))

    in_threads(*[partial(read, seed) for seed in range(8)])
    assert threads._crew.busy == 0


def test_many_threads_ask_for_one_new_dataset_at_once(tmp_path: Path) -> None:
    values = write(tmp_path / "f.h5")
    array = array_of(tmp_path / "f.h5", values)
    together = threading.Barrier(8)

    def read() -> None:
        together.wait()
        assert_same_bits(array[...], values)

    in_threads(*[read] * 8)


# --- processes -------------------------------------------------------------------------------------------------

SCRIPT_BEGIN = """
import os, signal, sys, threading
import numpy as np
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.policy import ReadingPolicy

signal.alarm(60)
path, shape, dtype = sys.argv[1], eval(sys.argv[2]), np.dtype(sys.argv[3])
array = LazyArray(File(path, policy=ReadingPolicy(num_threads=3)), "/data", shape, dtype)
expected = np.load(sys.argv[4])
"""

# As Python says of each fork beside threads, from 3.12 on.
UNWARNED = 'import warnings; warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)'
FORKING = (
    f"{UNWARNED}\n"
    + """
array[...]  # what is imported meanwhile would stay locked in a child, as Python has it
ending = threading.Event()
def read():
    while not ending.is_set():
        assert np.array_equal(array[...], expected)
readers = [threading.Thread(target=read) for _ in range(3)]
for reader in readers:
    reader.start()
failed = 0
for number in range(12):
    child = os.fork()
    if not child:
        signal.alarm(60)
        good = np.array_equal(array[...], expected) and np.array_equal(array[5:9, 3], expected[5:9, 3])
        os._exit(not good)
    failed += os.waitpid(child, 0)[1] != 0
ending.set()
for reader in readers:
    reader.join()
assert np.array_equal(array[...], expected)
print("children that failed:", failed)
"""
)

FORKING_ONCE_READ = (
    f"{UNWARNED}\n"
    + """
expected_here = array[...]
child = os.fork()
if not child:
    os._exit(not np.array_equal(array[...], expected))
assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(array[...], expected)
print("fine")
"""
)

# Reader processes that wait for more to do, and such as are in use.
LEFT_TO_THEIR_PARENT = (
    f"{UNWARNED}\n"
    + """
import gc
from nexus_xr.hdf5.reading import processes
warnings.simplefilter("error", ResourceWarning)
sys.unraisablehook = lambda raised: os._exit(1)
part = ("/data", [(0, size) for size in shape])
array[...]
with processes._processes.one(new=True) as used:
    used.read(path, part, 1 << 20)
    child = os.fork()
    if not child:
        gc.collect()
        is_closed = used._child._to.closed and used._child._from.closed
        used.end()
        os._exit(not (is_closed and np.array_equal(array[...], expected)))
    assert os.waitpid(child, 0)[1] == 0
    used.read(path, part, 1 << 20)
assert np.array_equal(array[...], expected)
print("fine")
"""
)

EXITING = """
import atexit
def read_at_exit():
    good = np.array_equal(array[...], expected) and np.array_equal(array[3], expected[3])
    print("right" if good else "wrong", flush=True)
if sys.argv[5] != "never before":
    array[...]
atexit.register(read_at_exit)
"""

# The thread is at work when the interpreter begins to end, and reads on meanwhile.
EXITING_WITH_A_READER = """
begun = threading.Event()
def read():
    for _ in range(30):
        assert np.array_equal(array[...], expected)
        begun.set()
    print("read")
threading.Thread(target=read).start()
begun.wait()
"""

EXITING_WITH_A_DAEMON = """
begun = threading.Event()
def read():
    while True:
        assert np.array_equal(array[...], expected)
        begun.set()
threading.Thread(target=read, daemon=True).start()
begun.wait()
print("read")
"""

# The interpreter clears what is the threads' own while a decoder, which has the address, is still at work.
EXITING_IN_A_DECODER = """
from nexus_xr.hdf5.filters.pipeline import Pipeline
class Watched:
    def __del__(self, write=os.write):
        write(1, b"freed")
begun = threading.Event()
def decode(self, space, *rest):
    space.watched = Watched()
    begun.set()
    threading.Event().wait()
Pipeline.decode = decode
threading.Thread(target=array.__getitem__, args=(0,), daemon=True).start()
begun.wait()
"""


def run_reading(tmp_path: Path, code: str, *arguments: Any, name: str = "gzip") -> str:
    values = counts((32, 100, 128)) if name == "gzip" else smooth((4, 16, 16))
    options = {"compression": "gzip"} if name == "gzip" else dict(LOSSY[name])
    write(tmp_path / "f.h5", values, **options)
    with h5py.File(tmp_path / "f.h5") as file:
        np.save(tmp_path / "expected.npy", file["data"][...])
    shape, dtype = values.shape, values.dtype.str
    return run(SCRIPT_BEGIN + code, tmp_path / "f.h5", shape, dtype, tmp_path / "expected.npy", *arguments)


def test_a_process_forked_in_the_middle_of_reads_reads(tmp_path: Path) -> None:
    assert run_reading(tmp_path, FORKING) == "children that failed: 0\n"


@pytest.mark.parametrize("name", ["gzip", "sz"])
def test_a_process_forked_after_reads_reads(tmp_path: Path, name: str) -> None:
    assert run_reading(tmp_path, FORKING_ONCE_READ, name=name) == "fine\n"


def test_a_forked_process_closes_what_is_its_parents_and_leaves_it_running(tmp_path: Path) -> None:
    assert run_reading(tmp_path, LEFT_TO_THEIR_PARENT, name="sz") == "fine\n"


def test_a_spawned_process_reads(tmp_path: Path) -> None:
    values = write(tmp_path / "f.h5")
    array = lazy(tmp_path / "f.h5")
    assert_same_bits(array[...], values)
    import multiprocessing

    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert_same_bits(pool.submit(np.asarray, array).result(), values)


@pytest.mark.parametrize("name", ["gzip", "sz"])
@pytest.mark.parametrize("before", ["before too", "never before"])
def test_values_are_right_while_the_interpreter_ends(tmp_path: Path, name: str, before: str) -> None:
    assert run_reading(tmp_path, EXITING, before, name=name) == "right\n"


@pytest.mark.parametrize("code", [EXITING_WITH_A_READER, EXITING_WITH_A_DAEMON], ids=["a thread", "a daemon"])
def test_readers_in_other_threads_may_outlive_the_main_thread(tmp_path: Path, code: str) -> None:
    assert run_reading(tmp_path, code) == "read\n"


def test_memory_that_a_decoder_writes_to_outlives_the_interpreter(tmp_path: Path) -> None:
    assert run_reading(tmp_path, EXITING_IN_A_DECODER) == ""


# --- what is left ----------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Neither threads nor descriptors nor processes are more than before, but for a crew of helpers."""
    threads.run(Gathering(4).tasks(4), 4)
    before = threading.active_count(), len(os.listdir("/proc/self/fd")), len(readers())
    yield
    after = threading.active_count(), len(os.listdir("/proc/self/fd")), len(readers())
    assert all(now <= then for now, then in zip(after, before, strict=True)), (before, after)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
@pytest.mark.usefixtures("nothing_left")
def test_reads_leave_nothing_behind(tmp_path: Path) -> None:
    values = write(tmp_path / "f.h5")
    for number in range(50):
        assert_same_bits(array_of(tmp_path / "f.h5", values, number % 4 + 1)[...], values)


def test_what_libraries_keep_for_a_thread_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, freed = [], []

    class Counted(Allocated):
        def __init__(self, address: int | None, free: Any) -> None:
            super().__init__(address, lambda address: freed.append(free(address)))
            made.append(address)

    def work() -> None:
        assert_same_bits(array_of(tmp_path / "gzip.h5", values, 1)[...], values)
        assert_same_bits(array_of(tmp_path / "zstd.h5", values, 1)[...], values)
        encoder.encode(values.reshape(-1).view(np.uint8))

    values = write(tmp_path / "gzip.h5", counts((8, 512, 512)))
    write(tmp_path / "zstd.h5", values, compression=hdf5plugin.Zstd())
    encoder = Encoder([Filter(DEFLATE.number, "deflate", (4,))], values.nbytes)
    for module in (deflate, zstd):
        monkeypatch.setattr(module, "Allocated", Counted)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(made) == len(freed) == 3


def test_a_library_without_memory_is_an_error() -> None:
    with pytest.raises(MemoryError):
        Allocated(None, pytest.fail)


def test_an_idle_crew_is_no_larger_than_the_largest_read(tmp_path: Path) -> None:
    threads.run(Gathering(5).tasks(20), 5)
    before = _thread._count()  # helpers are in no register of Python's
    for count in (2, 5, 3, 5, *[5] * 100):
        threads.run([lambda: None] * count, count)
    assert _thread._count() <= before


def test_as_many_processes_as_threads_are_kept_at_most(tmp_path: Path) -> None:
    values = smooth((6, 16, 16))
    write(tmp_path / "f.h5", values, **LOSSY["sperr"])
    before = len(readers())
    for _ in range(3):
        array_of(tmp_path / "f.h5", values, 2)[...]
    assert len(readers()) <= max(before, 2)
