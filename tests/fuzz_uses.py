"""What is done with whole files, damaged in thousands of ways: it is done, or an error says what is wrong and where.

Run as ``python -m tests.fuzz_uses FOLDER FIRST LAST`` it tries the damages of these numbers of `tests.fuzz_files`. Each
use of a file is tried in another process, in a folder of its own: the file stays as it was unless all went well, and
nothing is left beside it that isn't whole.
"""

from __future__ import annotations

import collections
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from .child import Child, EndedError, answer_all
from .fuzz_files import write_damaged

_PATIENCE_SECONDS = 60
_MOST_MEMORY = 6 << 30
_SMALL_BYTES = 1 << 20
# Some files say that there are arrays of many GiB in them, of which they have nothing.
_MOST_BYTES = 64 << 20
NAME, MADE = "damaged.nxs", "made.nxs"


# --- uses --------------------------------------------------------------------------------------------------------


def _read_signals(path: Path) -> None:
    import nexus_xr
    from nexus_xr.errors import NexusError

    for signal in nexus_xr.open_signals(path):
        if signal.nbytes <= _SMALL_BYTES:
            with suppress(NexusError):
                signal.compute()


def _open_and_write(path: Path) -> None:
    import xarray as xr

    import nexus_xr

    with xr.open_datatree(path, engine="nexus") as tree:
        nexus_xr.to_nexus(tree, path.with_name(MADE))


def _check(path: Path) -> None:
    import nexus_xr

    nexus_xr.check(path, processes=1)


def _repack(path: Path) -> None:
    import nexus_xr

    nexus_xr.repack(path, path.with_name(MADE), compression="gzip")


def _consolidate(path: Path) -> None:
    import nexus_xr

    nexus_xr.consolidate(path)


def _append(path: Path) -> None:
    import xarray as xr

    import nexus_xr

    nexus_xr.to_nexus(xr.DataArray([1, 2, 3], name="added"), path, mode="a")


def _plotted(path: Path) -> Iterator[tuple[Any, Any, str]]:
    """What is plotted, as a Dataset and as the variable in it, and its first dimension; where there is one."""
    import xarray as xr

    with xr.open_dataset(path, engine="nexus") as dataset:
        arrays = [each for each in dataset.data_vars.values() if each.ndim and each.nbytes <= _SMALL_BYTES]
    return ((dataset, each, str(each.dims[0])) for each in arrays[:1])


def _write_region(path: Path) -> None:
    import nexus_xr

    for _, array, dim in _plotted(path):
        frame = array.isel({dim: slice(0, 1)}).reset_coords(drop=True).compute()
        nexus_xr.to_nexus(frame.drop_vars(frame.coords), path, region={dim: slice(0, 1)})


def _append_frame(path: Path) -> None:
    import nexus_xr

    for dataset, _, dim in _plotted(path):
        without = [name for name, each in dataset.variables.items() if dim not in each.dims]
        frame = dataset.drop_vars(without).isel({dim: slice(-1, None)}).compute()
        nexus_xr.to_nexus(frame, path, append_dim=dim)


def _write_in_place(path: Path) -> None:
    import nexus_xr

    for dataset, array, _ in _plotted(path):
        changed = array.copy(data=array.values[::-1]).assign_attrs(units="a unit")
        nexus_xr.to_nexus(dataset.assign({array.name: changed}), path, layout="inplace")


def _write_frames(path: Path) -> None:
    import nexus_xr

    for _, array, dim in _plotted(path):
        frame = array.isel({dim: slice(0, 1)}).reset_coords(drop=True).compute()
        with nexus_xr.NexusWriter(path.with_name(MADE), frame) as writer:
            writer.append(frame)


def _convert(format_: str, path: Path) -> None:
    import nexus_xr

    nexus_xr.convert(path, path.with_name(f"made.{format_}"))


def _copy_to_zarr(path: Path) -> None:
    import nexus_xr

    nexus_xr.to_zarr(path, path.with_name("made.zarr"), shards=_SMALL_BYTES)


def _read_as_zarr(path: Path) -> None:
    import zarr

    import nexus_xr

    root = zarr.open_group(nexus_xr.zarr_store(path, verify=True), mode="r")
    for _, member in root.members(max_depth=None):
        if isinstance(member, zarr.Array) and member.nbytes <= _SMALL_BYTES:
            member[...]


def _reduce(path: Path) -> None:
    import nexus_xr
    from nexus_xr.errors import NexusError

    for signal in nexus_xr.open_signals(path):
        if signal.nbytes <= _SMALL_BYTES:
            for operation in ("sum", "max", "std", len):
                with suppress(NexusError):
                    nexus_xr.reduce(signal, operation)


def _plot(path: Path) -> None:
    import nexus_xr

    nexus_xr.plot(path, path.with_name("made.png"))
    nexus_xr.text_plot(path)


USES: dict[str, Callable[[Path], None]] = {
    "signals": _read_signals,
    "tree": _open_and_write,
    "check": _check,
    "repack": _repack,
    "consolidate": _consolidate,
    "append": _append,
    "region": _write_region,
    "append_dim": _append_frame,
    "inplace": _write_in_place,
    "writer": _write_frames,
    **{f"convert to {format_}": partial(_convert, format_) for format_ in ("zarr", "nc", "csv", "json")},
    "to_zarr": _copy_to_zarr,
    "zarr_store": _read_as_zarr,
    "reduce": _reduce,
    "plot": _plot,
}


def _has_much(path: Path) -> bool:
    """Whether copying a file takes long, or needs much memory."""
    from nexus_xr.diagnostics import Diagnostics
    from nexus_xr.errors import NexusError
    from nexus_xr.hdf5.io.file import File
    from nexus_xr.hdf5.library.described import described
    from nexus_xr.hdf5.objects.dataset import Dataset
    from nexus_xr.hdf5.objects.group import Group

    found, total = set(), 0
    with suppress(NexusError), described(File(path), Diagnostics()) as root:
        waiting: list[Any] = [root]
        while waiting and total <= _MOST_BYTES:
            node = waiting.pop()
            if node.address not in found:
                found.add(node.address)
                total += node.nbytes if isinstance(node, Dataset) else 0
                waiting += [member for _, member, _ in node.members()] if isinstance(node, Group) else []
                waiting = [each for each in waiting if isinstance(each, Dataset | Group)]
    return total > _MOST_BYTES


# What changes a file where it is, and may have begun with that.
CHANGING = ("region",)


def _answer(use: str, path: str) -> dict[str, Any]:
    """What is wrong with how a use ended, and whether it was refused."""
    import warnings

    import h5py

    from nexus_xr.errors import NexusError

    warnings.simplefilter("ignore")
    file = Path(path)
    before = file.read_bytes()
    if _has_much(file):
        return {"wrong": "", "is_refused": False}
    try:
        USES[use](file)
        if file.with_name(MADE).exists():
            h5py.File(file.with_name(MADE)).close()
        error = None
    except BaseException as caught:
        error = caught
    left = sorted(
        each.name
        for each in file.parent.iterdir()
        if each.name != NAME and (error or not each.name.startswith("made."))
    )
    wrong = [f"leaves {', '.join(left)}"] if left else []
    if error is not None:
        if not isinstance(error, NexusError):
            wrong.append(f"another error: {type(error).__name__}: {error}")
        elif NAME not in str(error) and MADE not in str(error):
            wrong.append(f"without the file: {error}")
        if file.read_bytes() != before and use not in CHANGING:
            wrong.append("changes the file")
    return {"wrong": "; ".join(wrong), "is_refused": error is not None}


# --- another process -----------------------------------------------------------------------------------------------


def child_for(use: str) -> Child:
    """A process that uses files in one way."""
    return Child("tests.fuzz_uses", "--use", use, patience=_PATIENCE_SECONDS)


def try_use(use: str, original: Path, child: Child) -> tuple[str, str]:
    """How a use of a file ended, and what is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="nexus_xr-fuzz-") as folder:
        path = Path(shutil.copyfile(original, Path(folder) / NAME))
        try:
            found = child.ask(str(path))
        except EndedError as error:
            return "ended", str(error)
    return ("refused" if found["is_refused"] else "done"), found["wrong"]


def main(folder: str, first: str, last: str, *uses: str) -> int:
    """Try the damages of these numbers, print what must not be, and count all else."""
    counts: collections.Counter[str] = collections.Counter()
    kept = Path(tempfile.mkdtemp(prefix="nexus_xr-uses-"))
    children = {use: child_for(use) for use in uses or USES}
    try:
        for number in range(int(first), int(last)):
            path = kept / f"{number}.h5"
            original = write_damaged(folder, number, path)
            wrongs = list(_wrongs(path, children, counts))
            for wrong in wrongs:
                print(f"{path} (of {original}): {wrong}", flush=True)
            if not wrongs:
                path.unlink()
    finally:
        for child in children.values():
            child.end()
    print(*(f"{count:7} {what}" for what, count in sorted(counts.items())), sep="\n")
    return min(1, sum(counts[what] for what in counts if what.endswith("wrong")))


def _wrongs(path: Path, children: dict[str, Child], counts: collections.Counter[str]) -> Iterator[str]:
    for use, child in children.items():
        how, wrong = try_use(use, path, child)
        counts[f"{use}: {how}{', wrong' if wrong else ''}"] += 1
        if wrong:
            yield f"{use}: {wrong}"


if __name__ == "__main__":
    if sys.argv[1] == "--use":
        answer_all(lambda path: _answer(sys.argv[2], path), _MOST_MEMORY)
    else:
        sys.exit(main(*sys.argv[1:]))
