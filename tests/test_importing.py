"""What importing the package takes, and when xarray's objects have the accessor."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import nexus_xr
from nexus_xr import registration

from .files import scan_file, write_tree
from .processes import run

# Each takes longer to import than a file takes to describe.
HEAVY = "('xarray', 'pandas', 'dask', 'h5py', 'hdf5plugin', 'zarr', 'matplotlib', 'click', 'rich')"
HAS_ACCESSOR = """
assert not [finder for finder in sys.meta_path if type(finder).__module__ == "nexus_xr.registration"]
for each in (xr.DataArray([1]), xr.Dataset(), xr.DataTree()):
    assert type(each.nexus).__module__ == "nexus_xr.accessor", each.nexus
assert xr.DataArray.nexus.to_nexus.__name__ == "to_nexus" and not hasattr(xr.Dataset.nexus, "nothing")
"""


def test_describing_a_file_takes_no_xarray(tmp_path: Path) -> None:
    write_tree(tmp_path / "scan.nxs", scan_file())
    said = run(
        "import sys, nexus_xr\n"
        "print(nexus_xr.list_datasets(sys.argv[1])[0], nexus_xr.read_metadata(sys.argv[1])['entry'].keys() != [])\n"
        f"print([name for name in {HEAVY} if name in sys.modules])",
        tmp_path / "scan.nxs",
    )
    assert said == "['/entry/data'] True\n[]\n"


def test_serving_files_takes_no_xarray() -> None:
    said = run(
        "import sys, nexus_xr.server, nexus_xr.server.speaking, nexus_xr.server.workers.worker\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert said == "['click']\n"  # which uvicorn imports


def imported(statements: Iterable[ast.stmt]) -> dict[str, str]:
    """The modules from which names are imported, by these names."""
    return {
        alias.asname or alias.name: str(statement.module)
        for statement in statements
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def test_public_names_are_the_same_to_whoever_imports_them() -> None:
    module = ast.parse(inspect.getsource(nexus_xr))
    (for_types,) = (each for each in module.body if isinstance(each, ast.If))
    later = imported(for_types.body)
    assert later.pop("accessor") == "None"  # a module, which is no public name
    assert later == nexus_xr._LATER
    here = {name for name, where in imported(module.body).items() if where in ("diagnostics", "errors")}
    assert nexus_xr.__all__ == sorted({*later, *here})


@pytest.mark.parametrize(
    "imports",
    [
        "import nexus_xr\nimport xarray as xr",
        "import xarray as xr\nimport nexus_xr",
        "import nexus_xr\nfrom xarray.core import indexing\nimport xarray as xr",
        "import nexus_xr\nassert importlib.util.find_spec('xarray').name == 'xarray'\nimport xarray as xr",
        "import nexus_xr.accessor\nimport xarray as xr",
        "import xarray as xr\nxr.backends.list_engines()",
    ],
)
def test_the_accessor_is_there_in_whatever_order_modules_are_imported(imports: str) -> None:
    run(f"import importlib.util, sys\n{imports}\n{HAS_ACCESSOR}")


def test_xarray_is_imported_as_it_is_otherwise() -> None:
    run(
        "import importlib, sys\n"
        "import nexus_xr, xarray\n"
        "spec = xarray.__spec__\n"
        "assert type(spec.loader).__name__ == 'SourceFileLoader' and xarray.__loader__ is spec.loader\n"
        "assert importlib.reload(xarray).Dataset().nexus"
    )


def test_threads_that_import_what_needs_xarray_do_not_wait_for_each_other() -> None:
    run(
        "import importlib, sys, threading\n"
        "sys.setswitchinterval(1e-6)\n"
        "import nexus_xr\n"
        "failed = []\n"
        "def imports(name):\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except BaseException as error:\n"
        "        failed.append(error)\n"
        "names = ['xarray', 'nexus_xr.accessor', 'nexus_xr.opening.arrays', 'nexus_xr.writing.to_nexus']\n"
        "threads = [threading.Thread(target=imports, args=[name]) for name in names]\n"
        "for each in threads: each.start()\n"
        "for each in threads: each.join()\n"
        "assert not failed, failed\n"
        "import xarray\n"
        "assert xarray.Dataset().nexus"
    )


def test_where_there_is_no_xarray_it_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    awaiting = registration._Awaiting()
    monkeypatch.setattr(sys, "meta_path", [awaiting])
    monkeypatch.delitem(sys.modules, "xarray")
    assert importlib.util.find_spec("xarray") is None
    assert importlib.util.find_spec("numbers_of_xarray") is None
