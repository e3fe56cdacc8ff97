"""What a file says and can't be honoured: by code, in a warning, and in an error."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import Diagnostic, NexusFileError, NexusWarning, read_metadata
from nexus_xr.diagnostics import Code, Diagnostics

from .files import Field, Write, nxdata, nxentry

X4, Y3 = np.arange(4.0), np.arange(3.0)
NOWHERE = h5py.SoftLink("/nowhere")

GROUPS: dict[str, Mapping[str, Any]] = {
    "signal-missing": nxdata({"n": X4}, signal="counts"),
    "signal-is-group": nxdata({"n": X4, "counts": {}}, signal="counts"),
    "signal-several": nxdata({"a": Field(X4, {"signal": 1}), "b": Field(X4, {"signal": 1})}),
    "signal-not-first": nxdata({"a": Field(X4, {"signal": 2}), "b": Field(X4, {"signal": 3})}),
    "signal-undeclared": nxdata({"data": X4}),
    "signal-unreadable": nxdata({"data": NOWHERE}),
    "signal-ambiguous": nxdata({"a": X4, "b": X4}),
    "signal-absent": nxdata({}),
    "auxiliary-signal-missing": nxdata({"n": X4}, signal="n", auxiliary_signals="gone"),
    "segments-left-out": nxdata({f"n_00{at}": np.zeros((2, 3, 3)) for at in (1, 2, 4)}, signal="n_001"),
    "axes-reversed": nxdata({"n": np.zeros((3, 4)), "x": X4, "y": Y3}, signal="n", axes=["x", "y"]),
    "axis-indices-differ": nxdata(
        {"n": np.zeros((3, 3)), "a": Y3, "b": Y3}, signal="n", axes=["a", "b"], a_indices=1, b_indices=0
    ),
    "axis-is-signal": nxdata({"n": X4}, signal="n", axes="n"),
    "axis-missing": nxdata({"n": X4}, signal="n", axes="x"),
    "axis-number-wrong": nxdata({"n": X4, "x": Field(X4, {"axis": 7})}, signal="n"),
    "axis-undeclared": nxdata({"n": np.zeros((3, 4)), "x": X4}, signal="n"),
    "axis-wrong-length": nxdata({"n": X4, "x": np.arange(7.0)}, signal="n", axes="x"),
    "errors-missing": nxdata({"n": Field(X4, {"uncertainties": "gone"})}, signal="n"),
    "errors-wrong-shape": nxdata({"n": X4, "n_errors": Y3}, signal="n"),
    "scaling-no-number": nxdata({"n": X4, "n_offset": Y3}, signal="n"),
    "default-missing": {**nxdata({"n": X4}, signal="n"), "@default": "gone"},
    "link-target-missing": nxdata({"n": X4, "gone": NOWHERE}, signal="n"),
}


def diagnostics_of(warning: warnings.WarningMessage) -> tuple[Diagnostic, ...]:
    assert isinstance(warning.message, NexusWarning)
    return warning.message.diagnostics


@pytest.mark.parametrize("code", GROUPS)
def test_what_is_met_has_its_code_path_and_rule(code: str, write: Write) -> None:
    path = write({"@default": "entry", "entry": nxentry({"data": GROUPS[code]}, default="data")})
    with pytest.warns(NexusWarning) as caught:
        xr.open_dataset(path, engine="nexus")
    [warning] = caught
    at = "/entry/data/gone" if code == "link-target-missing" else "/entry/data"
    told = {(each.path, each.rule) for each in diagnostics_of(warning) if each.code == code}
    [rule] = [each.rule for each in Code if each == code]
    assert told == {(at, rule)}
    assert [f"  - {each}" for each in diagnostics_of(warning)] == str(warning.message).splitlines()[1:]


@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
@pytest.mark.parametrize("default", ["n", "/entry/data/n"])
@pytest.mark.parametrize("most", [0, 1024])
def test_a_default_that_names_the_signal_is_no_fault(
    default: str, most: int, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nexus_xr.hdf5.objects.group._MOST_REMEMBERED", most)
    data = {**nxdata({"n": X4}, signal="n"), "@default": default}
    path = write({"@default": "entry", "entry": nxentry({"data": data}, default="data")})
    assert xr.open_dataset(path, engine="nexus").n.size == 4


def test_codes_are_short_and_each_is_the_name_of_its_constant() -> None:
    assert [code.name.lower().replace("_", "-") for code in Code] == list(Code)
    assert max(map(len, Code)) <= 30


def test_each_code_is_raised_somewhere() -> None:
    package = Path(nexus_xr.__path__[0])
    sources = (path for path in package.rglob("*.py") if path.name != "diagnostics.py")
    told = {name for path in sources for name in re.findall(r"\bCode\.([A-Z_]+)\b", path.read_text())}
    unused = {code.name for code in Code} - told
    assert not unused, f"nothing adds these codes of nexus_xr/diagnostics.py: {sorted(unused)}"


def test_a_warning_keeps_what_was_met_when_it_is_pickled_and_raised(write: Write) -> None:
    path = write({"data": GROUPS["axis-missing"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error", NexusWarning)
        with pytest.raises(NexusWarning) as raised:
            xr.open_dataset(path, engine="nexus")
    expected = (Diagnostic(Code.AXIS_MISSING, "/data", "NXdata: @axes", "@axes names 'x', which is not there"),)
    for warning in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert warning.diagnostics == expected
        assert str(warning) == str(raised.value)
        assert str(expected[0]) in str(warning)


@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_only_what_is_missing_is_an_error_where_that_is_asked_for(write: Write) -> None:
    path = write({"data": {**GROUPS["axis-missing"], "gone": NOWHERE}})
    with pytest.raises(
        NexusFileError, match=r"missing:\n  - /data/gone: links to /nowhere, which is not there\n"
    ) as raised:
        xr.open_dataset(path, engine="nexus", missing="raise")
    assert "axes" not in str(raised.value)


def test_a_source_that_is_missing_has_a_code_when_it_is_read(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("gone.h5", "n", (3,))
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file.create_virtual_dataset("entry/n", layout)
    with pytest.warns(NexusWarning) as caught:
        read_metadata(tmp_path / "f.nxs")
    [diagnostic] = {each for warning in caught for each in diagnostics_of(warning)}
    assert (diagnostic.code, diagnostic.path) == ("source-missing", "/entry/n")


def test_the_same_is_kept_once_and_in_order() -> None:
    diagnostics = Diagnostics()
    for path in ("/b", "/a", "/b"):
        diagnostics.add(Code.TOO_DEEP, path, "lies deep")
    assert list(map(str, diagnostics)) == ["/b: lies deep", "/a: lies deep"]
    assert diagnostics.having({Code.BEING_WRITTEN}) == ()
