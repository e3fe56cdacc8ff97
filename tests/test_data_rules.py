"""Each data rule of the NeXus manual, on a group that uses it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import nexus_xr
from nexus_xr import NexusWarning
from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.library.group import LibraryGroup
from nexus_xr.nexus.output.version3 import as_version_3
from nexus_xr.nexus.rules.content import Field as Member
from nexus_xr.nexus.rules.content import GroupContent, read_content
from nexus_xr.nexus.rules.detector_segments import join_segments
from nexus_xr.nexus.rules.nxdata import NXdata, apply_rules
from nexus_xr.nexus.rules.reserved import recorded_dtype
from nexus_xr.nexus.rules.scaling import Scaling
from nexus_xr.nexus.rules.variables import Role

from .files import Field, Write, nxdata, nxentry


def described(write: Write, group: Mapping[str, Any], signal: str | None = None) -> NXdata:
    with h5py.File(write({"entry": {"data": group}})) as file:
        diagnostics = Diagnostics()
        content = read_content(LibraryGroup(file["entry/data"].id, "/entry/data", diagnostics))
        data = apply_rules(join_segments(content, diagnostics) if signal is None else content, signal)
        diagnostics.extend(data.diagnostics)
        return replace(data, diagnostics=tuple(diagnostics))


def dims_of(data: NXdata) -> dict[str, tuple[str, ...]]:
    return {variable.name: variable.dims for variable in data.variables}


def roles_of(data: NXdata) -> dict[str, Role]:
    return {variable.name: variable.role for variable in data.variables}


@dataclass
class Rule:
    """A rule of the manual, a group that uses it, and what becomes of the group's fields."""

    source: str
    group: Mapping[str, Any]
    signal: str | None
    dims: Mapping[str, tuple[str, ...]]
    words: tuple[str, ...] = field(default=())


D2 = np.zeros((3, 4))
X4, Y3 = np.arange(4.0), np.arange(3.0)
XY = {"data": D2, "x": X4, "y": Y3}

RULES = {
    "signal, axes and indices": Rule(
        "Find plottable data, version 3; NXdata@signal, @axes, @AXISNAME_indices",
        nxdata(XY, signal="data", axes=["y", "x"], y_indices=0, x_indices=1),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "axes without indices": Rule(
        "Associating plottable data: 'file readers are encouraged to make their best efforts'",
        nxdata(XY, signal="data", axes=["y", "x"]),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "attributes as fixed-length bytes": Rule(
        "Attributes of the NeXus API are fixed-length strings",
        nxdata(XY, signal=np.bytes_("data"), axes=np.array([b"y", b"x"])),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "attributes as arrays of one string": Rule(
        "@signal written as an array",
        nxdata(XY, signal=np.array([b"data"]), axes=np.array(["y", "x"], dtype=h5py.string_dtype())),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "axes in one string": Rule(
        "Note on array attributes: parsing of strings is avoided by writing arrays; older files have one string",
        nxdata(XY, signal="data", axes="y,x"),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "no axis for a dimension": Rule(
        "NXdata@axes: '.' where no default axis is available",
        nxdata(XY, signal="data", axes=[".", "x"], x_indices=1),
        "data",
        {"data": ("dim_0", "x"), "x": ("x",)},
    ),
    "alternative axis of a dimension": Rule(
        "NXdata@AXISNAME_indices: temperature as a substitute for pressure",
        nxdata(
            {"data": D2, "time": Y3, "pressure": X4, "temperature": X4},
            signal="data",
            axes=["time", "pressure"],
            time_indices=0,
            pressure_indices=1,
            temperature_indices=1,
        ),
        "data",
        {
            "data": ("time", "pressure"),
            "time": ("time",),
            "pressure": ("pressure",),
            "temperature": ("pressure",),
        },
    ),
    "axes of several dimensions": Rule(
        "NXdata@AXISNAME_indices as an array: the axis depends on several dimensions",
        nxdata({"data": D2, "qx": D2, "y": Y3}, signal="data", axes=["y", "."], y_indices=0, qx_indices=[0, 1]),
        "data",
        {"data": ("y", "dim_1"), "y": ("y",), "qx": ("y", "dim_1")},
    ),
    "a listed axis of all dimensions": Rule(
        "NXdata@axes with an axis of the signal's rank",
        nxdata({"data": D2, "q": D2}, signal="data", axes=["q", "."]),
        "data",
        {"data": ("dim_0", "dim_1"), "q": ("dim_0", "dim_1")},
    ),
    "indices in the other order": Rule(
        "NXdata@AXISNAME_indices: dimensions of the axis in the order of the indices",
        nxdata({"data": D2, "q": D2.T}, signal="data", q_indices=[1, 0]),
        "data",
        {"data": ("dim_0", "dim_1"), "q": ("dim_1", "dim_0")},
    ),
    "fewer axes than dimensions": Rule(
        "NXdata@axes shorter than the rank",
        nxdata(XY, signal="data", axes=["y"], y_indices=0),
        "data",
        {"data": ("y", "dim_1"), "y": ("y",)},
        ("of length 4, has no axis; no attribute of NeXus declares what has that length to be one: x",),
    ),
    "a dimension without an axis beside what may be its edges": Rule(
        "Version 2; what is as long comes before what is longer by one, and text is neither",
        nxdata(
            {
                "data": Field(np.zeros((3, 5)), {"signal": 1, "axes": "[row,bin]"}),
                "row": Y3,
                "raw_time": np.zeros(6),
                "unit": np.full(6, b"s"),
                "number": np.zeros(7),
            }
        ),
        "data",
        {"data": ("row", "dim_1"), "row": ("row",)},
        (
            "@axes of 'data' names 'bin', which is not there",
            "of length 5, has no axis; no attribute of NeXus declares what has one value more to be one: raw_time",
        ),
    ),
    "bin edges": Rule(
        "NXdata: a dimension scale of size n+1 contains the bin boundaries",
        nxdata({"data": D2, "y": np.arange(4.0), "x": X4}, signal="data", axes=["y", "x"]),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "text axis": Rule(
        "NXdata@axes with labels",
        nxdata({"data": X4, "label": np.array([b"a", b"b", b"c", b"d"])}, signal="data", axes=["label"]),
        "data",
        {"data": ("label",), "label": ("label",)},
    ),
    "auxiliary signals": Rule(
        "NXdata@auxiliary_signals",
        nxdata({"data": X4, "a": X4, "b": X4}, signal="data", auxiliary_signals=["b", "a"]),
        "data",
        {"data": ("dim_0",), "b": ("dim_0",), "a": ("dim_0",)},
    ),
    "other fields of the signal's shape": Rule(
        "NXdata may hold other fields",
        nxdata({"data": D2, "weights": D2, "n": Y3}, signal="data"),
        "data",
        {"data": ("dim_0", "dim_1"), "weights": ("dim_0", "dim_1")},
        ("of length 3, has no axis; no attribute of NeXus declares what has that length to be one: n",),
    ),
    "signal and axes on the field, colons": Rule(
        "Find plottable data, version 2; associating axes by name",
        nxdata({"data": Field(D2, {"signal": 1, "axes": "y:x"}), "x": X4, "y": Y3}),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "signal and axes on the field, commas and brackets": Rule(
        "Find plottable data, version 2; associating axes by name",
        nxdata({"counts": Field(D2, {"signal": "1", "axes": np.bytes_("[y, x]")}), "x": X4, "y": Y3}),
        "counts",
        {"counts": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "numbered axes, from the fastest dimension": Rule(
        "Find plottable data, version 1; axis: the number of the dimension in order of the fastest varying",
        nxdata({"data": Field(D2, {"signal": 1}), "x": Field(X4, {"axis": 1}), "y": Field(Y3, {"axis": 2})}),
        "data",
        {"data": ("y", "x"), "x": ("x",), "y": ("y",)},
    ),
    "numbered edges, of the fastest dimension": Rule(
        "Version 1: @axis=1 is of the dimension that varies fastest, as the time of flight in ISIS's raw files",
        nxdata({"data": Field(np.zeros((6, 3)), {"signal": 1}), "tof": Field(X4, {"axis": 1})}),
        "data",
        {"data": ("dim_0", "tof"), "tof": ("tof",)},
    ),
    "numbered axes, from the slowest dimension": Rule(
        "Version 1 as many writers had it",
        nxdata({"data": Field(D2, {"signal": 1}), "x": Field(X4, {"axis": "2"}), "y": Field(Y3, {"axis": "1"})}),
        "data",
        {"data": ("y", "x"), "x": ("x",), "y": ("y",)},
    ),
    "primary axis": Rule(
        "Version 1: primary=1 is the first choice among axes of the same number",
        nxdata(
            {
                "data": Field(X4, {"signal": 1}),
                "a": Field(X4, {"axis": 1}),
                "h": Field(X4, {"axis": 1, "primary": 2}),
                "k": Field(X4, {"axis": 1, "primary": 1}),
            }
        ),
        "data",
        {"data": ("k",), "k": ("k",), "h": ("k",), "a": ("k",)},
    ),
    "axis of two dimensions by number": Rule(
        "Version 1 with a list of numbers",
        nxdata({"data": Field(D2, {"signal": 1}), "q": Field(D2, {"axis": "1,2"})}),
        "data",
        {"data": ("dim_0", "dim_1"), "q": ("dim_0", "dim_1")},
    ),
    "NXcanSAS": Rule(
        "NXcanSAS: I_axes, Q_indices, uncertainties",
        nxdata({"I": Field(X4, {"uncertainties": "Idev"}), "Idev": X4, "Q": X4}, signal="I", I_axes="Q", Q_indices="0"),
        "I",
        {"I": ("Q",), "I_errors": ("Q",), "Q": ("Q",)},
    ),
    "NXcanSAS in two dimensions": Rule(
        "NXcanSAS: several I_axes in one string",
        nxdata({"I": D2, "Qx": D2, "Qy": D2}, signal="I", I_axes="Qx,Qy", Q_indices=[0, 1]),
        "I",
        {"I": ("dim_0", "dim_1"), "Qx": ("dim_0", "dim_1"), "Qy": ("dim_0", "dim_1")},
    ),
    "scalar signal": Rule(
        "A signal of rank 0",
        nxdata({"data": 1.0, "angle": Field(2.0, {"axis": 1})}, signal="data"),
        "data",
        {"data": (), "angle": ()},
    ),
    "dimensions of length zero": Rule(
        "A scan that was aborted before its first point",
        nxdata({"data": np.zeros((0, 4)), "y": np.zeros(0), "x": X4}, signal="data", axes=["y", "x"]),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "undeclared signal called data": Rule(
        "No @signal anywhere",
        nxdata({"data": X4, "other": X4, "x": X4}),
        "data",
        {"data": ("dim_0",), "other": ("dim_0",), "x": ("dim_0",)},
        ("no signal is declared; took the field 'data'",),
    ),
    "undeclared signal, one candidate": Rule(
        "No @signal anywhere",
        nxdata({"counts": X4, "x": X4, "counts_errors": X4}, axes=["x"]),
        "counts",
        {"counts": ("x",), "counts_errors": ("x",), "x": ("x",)},
        ("no signal is declared; took the only candidate 'counts'",),
    ),
    "undeclared signal, several candidates": Rule(
        "No @signal anywhere",
        nxdata({"a": X4, "b": Y3, "n": 1}),
        None,
        {"a": ("a_dim_0",), "b": ("b_dim_0",)},
        ("could be any of a, b, n",),
    ),
    "undeclared signal whose only other candidate links nowhere": Rule(
        "No @signal anywhere, and the field 'data' can't be read",
        nxdata({"data": h5py.ExternalLink("gone.h5", "/data"), "I0": X4, "x": Field(X4, {"axis": 1})}),
        None,
        {"I0": ("x",), "x": ("x",)},
        ("no signal is declared, and it may be 'data', which is a link to gone.h5:/data, which is not there",),
    ),
    "undeclared signal beside an axis, under another name and behind a link": Rule(
        "No @signal anywhere, and what is no axis can't be read",
        nxdata({"counts": h5py.SoftLink("/gone"), "x": Field(X4, {"axis": 1})}),
        None,
        {"x": ("x",)},
        ("it may be 'counts', which is a link to /gone, which is not there",),
    ),
    "undeclared signal beside a link that leads nowhere": Rule(
        "No @signal anywhere, one field that is no axis, and one that can't be read",
        nxdata({"counts": X4, "other": h5py.SoftLink("/gone"), "x": Field(X4, {"axis": 1})}),
        "counts",
        {"counts": ("x",), "x": ("x",)},
        ("took the only candidate 'counts', beside 'other', which is a link to /gone",),
    ),
    "undeclared signal beside a group": Rule(
        "No @signal anywhere; a group can't be the signal",
        nxdata({"x": Field(X4, {"axis": 1}), "settings": {"gain": 1}}),
        "x",
        {"x": ("dim_0",)},
        ("took the only candidate 'x'",),
    ),
    "the only field with a number": Rule(
        "Versions 2 and 1: @signal of a field, whatever its number, where no other field has one",
        nxdata({"data_x_y": Field(D2, {"signal": 2, "axes": "y,x"}), "total": [7], "x": X4, "y": Y3}),
        "data_x_y",
        {"data_x_y": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "fields with numbers, none of them one": Rule(
        "Versions 2 and 1: @signal of a field is its priority",
        nxdata({"c": Field(X4, {"signal": 3}), "b": Field(X4, {"signal": 2}), "a": Field(X4, {"signal": 0})}),
        "b",
        {"b": ("dim_0",), "c": ("dim_0",), "a": ("dim_0",)},
        ("no field has @signal=1; took 'b' with @signal=2",),
    ),
    "auxiliary signals of the older versions with axes of their own": Rule(
        "Version 2: @axes of each field with @signal; what is alike is shared",
        nxdata(
            {
                "t_sum": Field(X4, {"signal": 1, "axes": "t"}),
                "y_sum": Field(Y3, {"signal": 2, "axes": "y"}),
                "y_t": Field(D2, {"signal": 2, "axes": "y:t"}),
                "t": X4,
                "y": Y3,
                "y_errors": Y3,
            }
        ),
        "t_sum",
        {
            "t_sum": ("t",),
            "y_sum": ("y",),
            "y_t": ("y", "t"),
            "t": ("t",),
            "y": ("y",),
            "y_errors": ("y",),
        },
    ),
    "an auxiliary signal of the same shape with another axis": Rule(
        "Version 2: @axes of each field with @signal",
        nxdata(
            {
                "a": Field(X4, {"signal": 1, "axes": "x"}),
                "b": Field(X4, {"signal": 2, "axes": "k"}),
                "x": X4,
                "k": X4,
            }
        ),
        "a",
        {"a": ("x",), "b": ("k",), "x": ("x",), "k": ("k",)},
    ),
    "an auxiliary signal along an axis that is not the first choice": Rule(
        "Version 2: @axes of each field with @signal; version 1: an alternative axis",
        nxdata(
            {
                "a": Field(X4, {"signal": 1, "axes": "x"}),
                "b": Field(D2, {"signal": 2, "axes": "y:h"}),
                "x": X4,
                "h": Field(X4, {"axis": 1}),
                "y": Y3,
            }
        ),
        "a",
        {"a": ("x",), "b": ("y", "x"), "x": ("x",), "h": ("x",), "y": ("y",)},
    ),
    "an auxiliary signal whose axis has the signal's edges": Rule(
        "Version 2: @axes of each field with @signal; one name can't stand for two lengths",
        nxdata(
            {
                "a": Field(X4, {"signal": 1, "axes": "t"}),
                "b": Field(np.arange(5.0), {"signal": 2, "axes": "t"}),
                "t": np.arange(5.0),
            }
        ),
        "a",
        {"a": ("t",), "b": ("b_dim_0",), "t": ("t",)},
    ),
    "an auxiliary signal with a signal for its axis": Rule(
        "Version 2: @axes of each field with @signal; what is data is no axis",
        nxdata(
            {
                "a": Field(X4, {"signal": 1}),
                "b": Field(D2, {"signal": 2, "axes": "c:a"}),
                "c": Field(Y3, {"signal": 3}),
            }
        ),
        "a",
        {"a": ("dim_0",), "b": ("b_dim_0", "b_dim_1"), "c": ("c_dim_0",)},
    ),
    "auxiliary signals of the shape that the group gives axes for": Rule(
        "NXdata@axes: those of the signal as well as of any auxiliary signals",
        nxdata(
            {"a": X4, "b": Field(X4, {"axes": "k"}), "x": X4, "k": np.arange(4.0)},
            signal="a",
            auxiliary_signals=["b"],
            axes=["x"],
        ),
        "a",
        {"a": ("x",), "b": ("x",), "x": ("x",), "k": ("x",)},
    ),
    "signal that is missing": Rule(
        "NXdata@signal: the field must exist",
        nxdata({"a": X4}, signal="data"),
        None,
        {"a": ("a_dim_0",)},
        ("@signal names 'data', which is not there",),
    ),
    "signal that is a group": Rule(
        "NXdata@signal: the field must exist",
        nxdata({"data": {"x": X4}}, signal="data"),
        None,
        {},
        ("@signal names 'data', which is a group",),
    ),
    "signal that links nowhere": Rule(
        "NXdata@signal: the field must exist",
        nxdata({"data": h5py.ExternalLink("gone.h5", "/data"), "a": X4}, signal="data"),
        None,
        {"a": ("a_dim_0",)},
        ("link to gone.h5:/data, which is not there",),
    ),
    "signal that is missing, with axes": Rule(
        "NXdata@axes and @AXISNAME_indices hold as if the signal were there",
        nxdata(
            {
                "data": h5py.ExternalLink("gone.h5", "/data"),
                "y": Y3,
                "x": X4,
                "x_read": D2,
                "i0": D2,
                "spectra": np.zeros((3, 4, 5)),
                "dark": np.zeros((2, 5)),
            },
            signal="data",
            axes=["y", "x", "."],
            y_indices=0,
            x_indices=1,
            x_read_indices=[0, 1],
        ),
        None,
        {
            "i0": ("y", "x"),
            "spectra": ("y", "x", "spectra_dim_2"),
            "dark": ("dark_dim_0", "dark_dim_1"),
            "y": ("y",),
            "x": ("x",),
            "x_read": ("y", "x"),
        },
        ("link to gone.h5:/data, which is not there",),
    ),
    "signal that is missing, with edges of bins": Rule(
        "One length more than others give the dimension",
        nxdata({"x": np.zeros(5), "centre": X4, "i0": X4}, signal="data", axes="x", centre_indices=0),
        None,
        {"i0": ("x",), "x": ("x",), "centre": ("x",)},
        ("@signal names 'data'",),
    ),
    "signal that is missing, with axes of the last dimensions": Rule(
        "A dimension without a default axis has no length that is known",
        nxdata({"x": X4, "i0": Y3, "like_x": X4}, signal="data", axes=[".", "x"], x_indices=1),
        None,
        {"x": ("x",), "i0": ("i0_dim_0",), "like_x": ("like_x_dim_0",)},
        ("@signal names 'data'",),
    ),
    "signal that is missing, with axes that are nonsense": Rule(
        "@AXISNAME_indices that are no dimensions",
        nxdata({"x": X4, "y": Y3}, signal="data", axes=["gone"], x_indices=2**40, y_indices=-1),
        None,
        {"x": ("x_dim_0",), "y": ("y_dim_0",)},
        ("@signal names 'data'",),
    ),
    "signal that is missing, with a numbered axis": Rule(
        "Version 1: @axis=1 where all else is of one length",
        nxdata({"energy": Field(X4, {"axis": 1, "primary": 1}), "i0": X4, "it": X4}),
        None,
        {"energy": ("energy",), "i0": ("energy",), "it": ("energy",)},
        ("could be any of i0, it",),
    ),
    "columns of a table": Rule(
        "No rule of the manual: lists of one length in a group without a signal",
        {"x": X4, "i0": X4, "names": ["a", "b", "c", "d"], "mode": "step"},
        None,
        {"x": ("dim_0",), "i0": ("dim_0",), "names": ("dim_0",)},
    ),
    "columns of two tables": Rule(
        "No rule of the manual: NXevent_data has events, and pulses",
        {"event_id": X4, "event_time_offset": X4, "event_index": Y3, "event_time_zero": Y3, "total": np.zeros(7)},
        None,
        {
            "event_id": ("dim_0",),
            "event_time_offset": ("dim_0",),
            "event_index": ("dim_1",),
            "event_time_zero": ("dim_1",),
            "total": ("total_dim_0",),
        },
    ),
    "columns of images": Rule(
        "No rule of the manual: a stack of images beside lists of its length",
        {"x": X4, "image": np.zeros((4, 5, 5)), "other": np.zeros((5, 2))},
        None,
        {"x": ("dim_0",), "image": ("dim_0", "image_dim_1", "image_dim_2"), "other": ("other_dim_0", "other_dim_1")},
    ),
    "no columns beside a square": Rule(
        "No rule of the manual: a length that is one of an image's rows and columns tells nothing",
        {"x": X4, "y": X4, "image": np.zeros((4, 4))},
        None,
        {"x": ("x_dim_0",), "y": ("y_dim_0",), "image": ("image_dim_0", "image_dim_1")},
    ),
    "no columns of one element": Rule(
        "No rule of the manual: many writers store a single value as a list",
        {"x": [1.0], "i0": [2.0]},
        None,
        {"x": ("x_dim_0",), "i0": ("i0_dim_0",)},
    ),
    "columns that record their dimensions": Rule(
        "Names of dimensions as this package records them",
        {"x": Field(X4, {"_ARRAY_DIMENSIONS": ["t"]}), "y": X4, "dim_0": X4},
        None,
        {"x": ("t",), "y": ("dim_0_",), "dim_0": ("dim_0_",)},
    ),
    "columns that record one dimension of two lengths": Rule(
        "Names of dimensions that this package would record can be there by other hands",
        {"x": Field(X4, {"_ARRAY_DIMENSIONS": ["t"]}), "y": Field(Y3, {"_ARRAY_DIMENSIONS": ["t"]})},
        None,
        {"x": ("t",), "y": ("y_dim_0",)},
    ),
    "images of one shape": Rule(
        "No rule of the manual: without a list there is no table",
        {"a": D2, "b": D2},
        None,
        {"a": ("a_dim_0", "a_dim_1"), "b": ("b_dim_0", "b_dim_1")},
    ),
    "a number for a signal": Rule(
        "@signal=1 on the group instead of the field",
        nxdata({"data": X4}, signal=1),
        "data",
        {"data": ("dim_0",)},
        ("took the field 'data'",),
    ),
    "axis that is missing": Rule(
        "NXdata@axes: the fields must exist",
        nxdata({"data": X4}, signal="data", axes=["x"]),
        "data",
        {"data": ("dim_0",)},
        ("@axes names 'x', which is not there",),
    ),
    "axis of the wrong length": Rule(
        "NXdata: an axis has the size n or n+1",
        nxdata({"data": D2, "y": np.zeros(7), "x": X4}, signal="data", axes=["y", "x"]),
        "data",
        {"data": ("dim_0", "x"), "x": ("x",)},
        ("axis 'y' of shape (7,) doesn't fit",),
    ),
    "axis said to be of another dimension": Rule(
        "@AXISNAME_indices that contradict the lengths, and one dimension of that length is left",
        nxdata({"data": np.zeros((2, 4)), "q": X4}, signal="data", axes=["q"], q_indices=0),
        "data",
        {"data": ("dim_0", "q"), "q": ("q",)},
        ("took it for dimension 1",),
    ),
    "signal named as its own axis": Rule(
        "NXdata@axes names the signal",
        nxdata({"data": X4}, signal="data", axes=["data"]),
        "data",
        {"data": ("dim_0",)},
        ("names the signal 'data' itself",),
    ),
    "a member called dim_0": Rule(
        "Dimension names are unique",
        nxdata({"data": X4, "dim_0": np.zeros((2, 2))}, signal="data"),
        "data",
        {"data": ("dim_0_",)},
    ),
    "scatter: several axes of one dimension": Rule(
        "NXdata@axes of a signal of rank one with more names than dimensions",
        nxdata({"v": X4, "x": X4, "y": X4}, signal="v", axes=["x", "y"]),
        "v",
        {"v": ("x",), "x": ("x",), "y": ("x",)},
    ),
    "scatter of one point": Rule(
        "NXdata@axes of a signal of rank one with more names than dimensions",
        nxdata({"v": [1.0], "x": [1.0], "y": [1.0]}, signal="v", axes=["x", "y"]),
        "v",
        {"v": ("x",), "x": ("x",), "y": ("x",)},
    ),
    "axes of the last dimensions by interpretation": Rule(
        "@interpretation: the last dimensions are an image; axes are given for these alone",
        nxdata({"data": np.zeros((4, 3, 4)), "y": Y3, "x": X4}, signal="data", axes=["y", "x"], interpretation="image"),
        "data",
        {"data": ("dim_0", "y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "axes of a square stack by interpretation": Rule(
        "@interpretation: the last dimensions are an image; axes are given for these alone",
        nxdata({"data": np.zeros((4, 4, 4)), "y": X4, "x": X4}, signal="data", axes=["y", "x"], interpretation="image"),
        "data",
        {"data": ("dim_0", "y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "axes of the first dimensions in spite of the interpretation": Rule(
        "@interpretation of a scan of images; the lengths say that the axes are the scan's",
        nxdata(
            {"data": np.zeros((3, 4, 5, 6)), "y": Y3, "x": X4}, signal="data", axes=["y", "x"], interpretation="image"
        ),
        "data",
        {"data": ("y", "x", "dim_2", "dim_3"), "y": ("y",), "x": ("x",)},
    ),
    "edges along the last of several dimensions": Rule(
        "NXdata: size n+1, for each spectrum its own",
        nxdata({"data": D2, "t": np.zeros((3, 5)), "y": Y3}, signal="data", axes=["y", "."], t_indices=[0, 1]),
        "data",
        {"data": ("y", "dim_1"), "y": ("y",), "t": ("y", "dim_1")},
    ),
    "edges along other dimensions than the last": Rule(
        "NXdata: for each of its dimensions an axis has the size n or n+1",
        nxdata(
            {"data": D2, "y": np.zeros((4, 4)), "x": np.zeros((4, 5)), "y_errors": np.zeros((4, 4))},
            signal="data",
            axes=["y", "x"],
            y_indices=[0, 1],
            x_indices=[0, 1],
        ),
        "data",
        {
            "data": ("dim_0", "dim_1"),
            "y": ("dim_0_edges", "dim_1"),
            "x": ("dim_0_edges", "dim_1_edges"),
            "y_errors": ("dim_0_edges", "dim_1"),
        },
    ),
    "corners of bins between their edges": Rule(
        "NXdata: for each of its dimensions an axis has the size n or n+1; names of dimensions are unique",
        nxdata(
            {"data": D2, "y": Y3, "q": np.zeros((4, 5)), "y_edges": 1.0}, signal="data", axes="y:.", q_indices=[0, 1]
        ),
        "data",
        {"data": ("y", "dim_1"), "y": ("y",), "q": ("y_edges_", "dim_1_edges")},
    ),
    "an axis with two values more along a dimension": Rule(
        "NXdata: for each of its dimensions an axis has the size n or n+1",
        nxdata({"data": D2, "q": np.zeros((5, 5))}, signal="data", q_indices=[0, 1]),
        "data",
        {"data": ("dim_0", "dim_1")},
        ("axis 'q' of shape (5, 5) doesn't fit",),
    ),
    "text is never corners": Rule(
        "NXdata: bin boundaries are numbers",
        nxdata({"data": D2, "q": np.full((4, 5), b"a")}, signal="data", q_indices=[0, 1]),
        "data",
        {"data": ("dim_0", "dim_1")},
        ("axis 'q' of shape (4, 5) doesn't fit",),
    ),
    "text is never bin edges": Rule(
        "NXdata: bin boundaries are numbers",
        nxdata({"data": Y3, "label": np.array([b"a", b"b", b"c", b"d"])}, signal="data", axes=["label"]),
        "data",
        {"data": ("dim_0",)},
        ("doesn't fit",),
    ),
    "numbered axes counted from zero": Rule(
        "Version 1 as some writers had it",
        nxdata({"data": Field(D2, {"signal": 1}), "x": Field(X4, {"axis": 1}), "y": Field(Y3, {"axis": 0})}),
        "data",
        {"data": ("y", "x"), "x": ("x",), "y": ("y",)},
    ),
    "numbered alternative to a named axis": Rule(
        "Versions 2 and 1 together: alternative dimension scales",
        nxdata({"data": Field(X4, {"signal": 1, "axes": "x"}), "x": X4, "h": Field(X4, {"axis": 1, "primary": 2})}),
        "data",
        {"data": ("x",), "x": ("x",), "h": ("x",)},
    ),
    "axes with brackets in their names": Rule(
        "Brackets belong to a name unless they are around the list",
        nxdata({"data": D2, "y(mm)": Y3, "x(mm)": X4}, signal="data", axes="y(mm):x(mm)"),
        "data",
        {"data": ("y(mm)", "x(mm)"), "y(mm)": ("y(mm)",), "x(mm)": ("x(mm)",)},
    ),
    "axes with spaces and quotes that belong to their names": Rule(
        "A name that is there is taken as it is",
        nxdata({"data": D2, "'y'": Y3, " x": X4, "x": X4}, signal="data", axes=["'y'", " x"]),
        "data",
        {"data": ("'y'", " x"), "'y'": ("'y'",), " x": (" x",)},
    ),
    "one axis with a space that belongs to its name": Rule(
        "A name that is there is taken as it is",
        nxdata({"data": X4, "x ": X4}, signal="data", axes="x "),
        "data",
        {"data": ("x ",), "x ": ("x ",)},
    ),
    "axes with spaces between": Rule(
        "Separators that some writers had",
        nxdata(XY, signal="data", axes="y x"),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "an empty name for no axis": Rule(
        "Separators that some writers had",
        nxdata(XY, signal="data", axes=["", "x"]),
        "data",
        {"data": ("dim_0", "x"), "x": ("x",)},
    ),
    "scalar signal with an axis of one element": Rule(
        "A signal of rank 0 has no dimension that an axis could span",
        nxdata({"data": 1.0, "x": [1.0]}, signal="data", axes=["x"]),
        "data",
        {"data": ()},
        ("doesn't fit",),
    ),
    "indices that claim one dimension for two listed axes": Rule(
        "NXdata@axes: one entry for every dimension; indices that contradict it and each other",
        nxdata({"data": np.zeros((4, 4)), "y": X4, "x": X4}, signal="data", axes=["y", "x"], y_indices=0, x_indices=0),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
        ("@x_indices says dimension 0, @axes dimension 1; went by @axes",),
    ),
    "axes of the signal listed from the fastest dimension": Rule(
        "Version 2 as some writers had it: the fastest dimension first, here with the edges of its bins",
        nxdata({"data": Field(D2, {"signal": 1, "axes": "x,y"}), "x": np.arange(5.0), "y": Y3}),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "axes of the last dimensions listed from the fastest": Rule(
        "Version 2 as some writers had it, with fewer axes than dimensions",
        nxdata({"data": Field(np.zeros((2, 3, 4)), {"signal": 1, "axes": "x:y"}), "x": np.arange(5.0), "y": Y3}),
        "data",
        {"data": ("dim_0", "y", "x"), "y": ("y",), "x": ("x",)},
    ),
    "axes of the group listed from the fastest dimension": Rule(
        "NXdata@axes: in the order of the dimensions; it is said where only the opposite order fits",
        nxdata({"data": D2, "x": np.arange(5.0), "y": Y3}, signal="data", axes=["x", "y"]),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
        ("@axes lists the axes of 'data' last dimension first",),
    ),
    "axes that fit in the order of the dimensions, if one of them is edges": Rule(
        "Version 2: the order of the list comes before what else would fit",
        nxdata({"data": Field(np.zeros((4, 3)), {"signal": 1, "axes": "a:b"}), "a": X4, "b": np.arange(4.0)}),
        "data",
        {"data": ("a", "b"), "a": ("a",), "b": ("b",)},
    ),
    "axes of which one fits neither order": Rule(
        "Version 2: the opposite order is meant only if it fits all",
        nxdata({"data": Field(D2, {"signal": 1, "axes": "x:y"}), "x": np.arange(5.0), "y": np.zeros(7)}),
        "data",
        {"data": ("dim_0", "dim_1")},
        ("axis 'x' of shape (5,) doesn't fit where @axes of 'data' puts it (dimension 0)", "axis 'y' of shape (7,)"),
    ),
    "more axes than dimensions": Rule(
        "NXdata@axes: one entry for every dimension",
        nxdata({"data": X4, "x": X4, "t": D2}, signal="data", axes=["x", "t"]),
        "data",
        {"data": ("x",), "x": ("x",)},
        ("axis 't' of shape (3, 4) doesn't fit where @axes puts it (beyond the last dimension)",),
    ),
    "more axes than dimensions, of which one has a single value": Rule(
        "NXdata@axes: one entry for every dimension, here also for one that the signal has lost",
        nxdata(
            {"data": D2, "e": [7.0], "y": Y3, "x": X4},
            signal="data",
            axes=["e", "y", "x"],
            e_indices=0,
            y_indices=1,
            x_indices=2,
        ),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",), "e": ("e_dim_0",)},
        ("@axes lists more axes of 'data' than its shape (3, 4) has dimensions; 'e' of one element has none of these",),
    ),
    "more axes than dimensions, of which some have a single value, by the signal": Rule(
        "Version 2: one name for every dimension, here also for two that the signal has lost",
        nxdata(
            {"data": Field(np.zeros((1, 4)), {"signal": 1, "axes": "y:e:x:f"}), "e": 7.0, "y": [1], "x": X4, "f": [[1]]}
        ),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",), "e": (), "f": ("f_dim_0", "f_dim_1")},
        ("@axes of 'data' lists more axes of 'data' than its shape (1, 4) has dimensions; 'e', 'f' of one element",),
    ),
    "more axes than dimensions, of which one with a single value is one too few": Rule(
        "NXdata@axes: one entry for every dimension",
        nxdata({"data": X4, "e": [7.0], "y": Y3, "x": X4}, signal="data", axes=["e", "y", "x"]),
        "data",
        {"data": ("dim_0",), "x": ("dim_0",)},
        ("axis 'e' of shape (1,) doesn't fit", "axis 'y' of shape (3,) doesn't fit"),
    ),
    "numbered axis beyond the rank": Rule(
        "Version 1: a number that is no dimension's; the length tells, of the first choice and of the other",
        nxdata(
            {
                "data": Field(np.zeros((1, 4)), {"signal": 1}),
                "i": Field([0.0], {"axis": 1}),
                "q": Field(X4, {"axis": 3, "primary": 2}),
                "e": Field(X4, {"axis": 3, "primary": 1}),
            }
        ),
        "data",
        {"data": ("i", "e"), "i": ("i",), "e": ("e",), "q": ("e",)},
        ("axis 'e' of shape (4,) has @axis=3, which is no dimension", "took it for dimension 1 by its length"),
    ),
    "numbered edges beyond the rank": Rule(
        "Version 1: a number that is no dimension's",
        nxdata({"data": Field(D2, {"signal": 1}), "e": Field(np.arange(5.0), {"axis": 3})}),
        "data",
        {"data": ("dim_0", "e"), "e": ("e",)},
        ("took it for dimension 1 by its length",),
    ),
    "numbered axis beyond the rank that could be either dimension's": Rule(
        "Version 1: a number that is no dimension's",
        nxdata({"data": Field(np.zeros((4, 4)), {"signal": 1}), "e": Field(X4, {"axis": 3})}),
        "data",
        {"data": ("dim_0", "dim_1")},
        ("axis 'e' of shape (4,) has @axis=3, which is no dimension of a signal of shape (4, 4)", "left it out"),
    ),
    "numbered axis beyond the rank where one of two dimensions has none": Rule(
        "Version 1: a number that is no dimension's",
        nxdata(
            {"data": Field(np.zeros((4, 4)), {"signal": 1}), "x": Field(X4, {"axis": 1}), "e": Field(X4, {"axis": 3})}
        ),
        "data",
        {"data": ("e", "x"), "x": ("x",), "e": ("e",)},
        ("took it for dimension 0",),
    ),
    "axes of all dimensions by one number": Rule(
        "Version 1: axes of a map whose points are not on a grid",
        nxdata({"data": Field(D2, {"signal": 1}), "x": Field(D2, {"axis": 1}), "y": Field(D2, {"axis": 1})}),
        "data",
        {"data": ("dim_0", "dim_1"), "x": ("dim_0", "dim_1"), "y": ("dim_0", "dim_1")},
    ),
    "axis of two of three dimensions by one number": Rule(
        "Version 1: the number is that of one of its dimensions",
        nxdata(
            {
                "data": Field(np.zeros((2, 3, 4)), {"signal": 1}),
                "q": Field(D2, {"axis": 1}),
                "t": Field([1, 2], {"axis": 3}),
            }
        ),
        "data",
        {"data": ("t", "dim_1", "dim_2"), "t": ("t",), "q": ("dim_1", "dim_2")},
    ),
    "two axes of the same two dimensions": Rule(
        "NXcanSAS: a vector Q in two fields, each listed, and with one index",
        nxdata(
            {"I": np.zeros((2, 3, 4)), "t": [1.0, 2.0], "Qx": D2, "Qy": D2},
            signal="I",
            axes=["t", "Qx", "Qy"],
            t_indices=0,
            Qx_indices=1,
            Qy_indices=2,
        ),
        "I",
        {"I": ("t", "dim_1", "dim_2"), "t": ("t",), "Qx": ("dim_1", "dim_2"), "Qy": ("dim_1", "dim_2")},
    ),
    "an axis listed for each of its dimensions": Rule(
        "NXdata@AXISNAME_indices: where they are missing, the positions in @axes",
        nxdata({"data": np.zeros((3, 2, 4)), "q": D2, "t": [1, 2]}, signal="data", axes=["q", "t", "q"]),
        "data",
        {"data": ("dim_0", "t", "dim_2"), "t": ("t",), "q": ("dim_0", "dim_2")},
    ),
    "an axis of one dimension listed for two": Rule(
        "NXdata@axes: one entry for every dimension; a matrix with the same axis along both",
        nxdata({"data": np.zeros((4, 4)), "w": X4}, signal="data", axes=["w", "w"]),
        "data",
        {"data": ("w", "dim_1"), "w": ("w",)},
        ("axis 'w' of shape (4,) is said to be one of dimensions 0, 1; it is one of 0 alone, and not of 1",),
    ),
    "an axis of one dimension listed for two, by the signal and with edges": Rule(
        "Version 2; a matrix with the same axis along both",
        nxdata({"data": Field(np.zeros((4, 4)), {"signal": 1, "axes": "w:w"}), "w": np.arange(5.0)}),
        "data",
        {"data": ("w", "dim_1"), "w": ("w",)},
        ("axis 'w' of shape (5,) is said to be one of dimensions 0, 1",),
    ),
    "an axis listed twice for the only dimension": Rule(
        "NXdata@axes: one entry for every dimension",
        nxdata({"data": X4, "w": X4}, signal="data", axes=["w", "w"]),
        "data",
        {"data": ("w",), "w": ("w",)},
    ),
    "an axis of one dimension with two indices": Rule(
        "NXdata@AXISNAME_indices: as many as the axis has dimensions",
        nxdata({"data": np.zeros((4, 4)), "w": X4}, signal="data", axes=["w", "."], w_indices=[0, 1]),
        "data",
        {"data": ("w", "dim_1"), "w": ("w",)},
        ("it is one of 0 alone, and not of 1",),
    ),
    "indices of alternative axes that are counted from one or from behind": Rule(
        "NXdata@AXISNAME_indices: dimensions of the signal, counted from zero; the length tells",
        nxdata(
            {**XY, "T": X4, "u": X4, "v": D2},
            signal="data",
            axes=["y", "x"],
            T_indices=2,
            u_indices=-1,
            v_indices=[1, 2],
        ),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",), "T": ("x",), "u": ("x",), "v": ("y", "x")},
        (
            "axis 'T' of shape (4,) has @T_indices=2, which is no dimension of a signal of shape (3, 4); took it for",
            "axis 'u' of shape (4,) has @u_indices=-1, which is no dimension of a signal of shape (3, 4); took it for",
            "axis 'v' of shape (3, 4) has @v_indices=1, 2, which is no dimension of a signal of shape (3, 4); took it",
        ),
    ),
    "an alternative axis of no dimension with an index that is none": Rule(
        "NXdata@AXISNAME_indices: dimensions of the signal",
        nxdata({"data": X4, "T": 7.0}, signal="data", T_indices=1),
        "data",
        {"data": ("dim_0",), "T": ()},
        ("which is no dimension of a signal of shape (4,); took it for a value of the whole signal",),
    ),
    "indices of an alternative axis that is no dimension's, and could be any": Rule(
        "NXdata@AXISNAME_indices: dimensions of the signal, counted from zero; the length tells nothing",
        nxdata(
            {"data": np.zeros((4, 4)), "y": X4, "x": X4, "T": X4},
            signal="data",
            axes=["y", "x"],
            T_indices=np.array([2]),
        ),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
        ("axis 'T' of shape (4,) has @T_indices=2, which is no dimension of a signal of shape (4, 4); left it out",),
    ),
    "numbered axes of which one is counted from zero": Rule(
        "Version 1: the first choice tells that they are counted from one",
        nxdata(
            {
                "data": Field(X4, {"signal": 1}),
                "t": Field(X4, {"axis": 0}),
                "x": Field(X4, {"axis": 1, "primary": 1}),
            }
        ),
        "data",
        {"data": ("x",), "x": ("x",), "t": ("x",)},
        ("axis 't' of shape (4,) has @axis=0",),
    ),
    "indices that contradict the list": Rule(
        "NXdata@AXISNAME_indices: the position in @axes must be one of them",
        nxdata({"data": D2, "x": X4, "y": Y3}, signal="data", axes=["x", "y"], x_indices=1, y_indices=0),
        "data",
        {"data": ("y", "x"), "x": ("x",), "y": ("y",)},
        ("@axes lists the axes of 'data' last dimension first",),
    ),
    "indices that contradict the list where both would fit": Rule(
        "NXdata@AXISNAME_indices: the position in @axes must be one of them",
        nxdata({"data": np.zeros((4, 4)), "x": X4, "y": X4}, signal="data", axes=["x", "y"], x_indices=1, y_indices=0),
        "data",
        {"data": ("y", "x"), "x": ("x",), "y": ("y",)},
        (
            "@x_indices says dimension 1, @axes dimension 0; went by @x_indices",
            "@y_indices says dimension 0, @axes dimension 1; went by @y_indices",
        ),
    ),
    "indices that contradict the list and the lengths": Rule(
        "NXdata@AXISNAME_indices: the lengths must be those of the dimensions",
        nxdata(XY, signal="data", axes=["y", "x"], y_indices=1, x_indices=1),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
        ("@y_indices says dimension 1, @axes dimension 0; went by @axes",),
    ),
    "indices that are nonsense": Rule(
        "@AXISNAME_indices that are no integers",
        nxdata(XY, signal="data", axes=["y", "x"], y_indices="T", x_indices=np.array([7])),
        "data",
        {"data": ("y", "x"), "y": ("y",), "x": ("x",)},
    ),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_rule(rule: Rule, write: Write) -> None:
    data = described(write, rule.group)
    assert data.signal == rule.signal
    assert dims_of(data) == dict(rule.dims)
    for expected in rule.words:
        assert any(expected in str(diagnostic) for diagnostic in data.diagnostics), data.diagnostics
    if not rule.words:
        assert data.diagnostics == ()


def test_every_group_of_these_rules_opens_with_these_dimensions(write: Write) -> None:
    rules = {f"/data_{n}": rule for n, rule in enumerate(RULES.values()) if rule.group.get("@NX_class") == "NXdata"}
    with pytest.warns(NexusWarning):
        nodes = xr.open_groups(write({path: rule.group for path, rule in rules.items()}), engine="nexus")
    for path, rule in rules.items():
        with nodes[path] as node:
            assert {each: node[each].dims for each in rule.dims} == rule.dims, rule.source


@pytest.mark.parametrize(
    ("interpretation", "shown"),
    [
        ("spectrum", 1),
        ("vertex", 1),
        ("image", 2),
        ("rgb-image", 3),
        ("rgba-image", 3),
        ("hsl-image", 3),
        ("hsla-image", 3),
        ("cmyk-image", 3),
    ],
)
@pytest.mark.parametrize("kind", [str, np.bytes_])
def test_what_an_interpretation_shows_has_the_listed_axes_and_is_the_default_view(
    interpretation: str, shown: int, kind: type, write: Write
) -> None:
    axes = ["y", "x", "c"][:shown]
    stack = Field(np.zeros((3, 3, 3, 3)), {"interpretation": kind(interpretation)})
    path = write({"data": nxdata({"data": stack, **dict.fromkeys(axes, Y3)}, signal="data", axes=axes)})
    with xr.open_dataset(path, engine="nexus") as dataset:
        assert dataset["data"].dims[-shown:] == tuple(axes)
        assert dataset["data"].nexus.default_view().dims == tuple(axes)


@pytest.mark.parametrize("interpretation", ["scalar", "scaler"])
def test_of_scalars_the_default_view_is_one(interpretation: str, write: Write) -> None:
    with xr.open_dataset(
        write({"data": nxdata({"data": Field(D2, {"interpretation": interpretation})}, signal="data")}), engine="nexus"
    ) as dataset:
        assert dataset["data"].nexus.default_view().dims == ()


@dataclass
class Layout:
    """A signal, and axes of which each spans some of its dimensions, those of ``first`` as their first choice."""

    shape: tuple[int, ...]
    axes: dict[str, tuple[int, ...]]
    first: dict[int, str]
    edges: frozenset[str]

    def content(self, attributes: Mapping[str, Any], of_fields: Mapping[str, Mapping[str, Any]]) -> GroupContent:
        shapes = {"data": self.shape}
        for name, dims in self.axes.items():
            *others, last = (self.shape[dim] for dim in dims)
            shapes[name] = (*others, last + (name in self.edges))
        fields = {name: Member(shape, np.dtype(float), of_fields.get(name, {})) for name, shape in shapes.items()}
        return GroupContent("/data", attributes, fields)

    @property
    def listed(self) -> list[str]:
        return [self.first.get(dim, ".") for dim in range(len(self.shape))]

    def version_3(self) -> GroupContent:
        indices = {f"{name}_indices": np.array(dims) for name, dims in self.axes.items()}
        return self.content({"signal": "data", "axes": self.listed, **indices}, {})

    def version_3_without_indices(self) -> GroupContent:
        return self.content({"signal": "data", "axes": np.array(self.listed, object)}, {})

    def version_2(self) -> GroupContent:
        return self.content({}, {"data": {"signal": 1, "axes": ":".join(self.listed)}})

    def version_1(self) -> GroupContent:
        first = self.first.values()
        numbers = {name: ",".join(str(len(self.shape) - dim) for dim in dims) for name, dims in self.axes.items()}
        fields = {name: {"axis": number, "primary": 1 if name in first else 2} for name, number in numbers.items()}
        return self.content({}, {"data": {"signal": "1"}, **fields})


@st.composite
def layouts(draw: st.DrawFn, has_others: bool) -> Layout:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    first = {dim: f"first_{dim}" for dim in range(len(shape)) if draw(st.booleans())}
    axes: dict[str, tuple[int, ...]] = {name: (dim,) for dim, name in first.items()}
    for number in range(draw(st.integers(0, 3)) if has_others else 0):
        spanned = st.lists(st.sampled_from(range(len(shape))), min_size=1, unique=True)
        axes[f"other_{number}"] = tuple(sorted(draw(spanned)))
    return Layout(shape, axes, first, frozenset(name for name in axes if draw(st.booleans())))


def assert_found(layout: Layout, content: GroupContent) -> None:
    data = apply_rules(content)
    dims = dims_of(data)
    assert len(set(dims["data"])) == len(layout.shape)
    assert {dim: dims["data"][dim] for dim in layout.first} == layout.first
    assert {name: tuple(map(dims["data"].index, dims[name])) for name in layout.axes} == layout.axes
    assert {variable.name for variable in data.variables if variable.bounds} == layout.edges
    assert data.diagnostics == ()


@given(layouts(has_others=True))
def test_every_axis_is_found_at_its_dimensions_by_indices_and_by_numbers(layout: Layout) -> None:
    assert_found(layout, layout.version_3())
    assert_found(layout, layout.version_1())


@given(layouts(has_others=False))
def test_every_axis_is_found_at_its_dimension_by_its_place(layout: Layout) -> None:
    assert_found(layout, layout.version_3_without_indices())
    assert_found(layout, layout.version_2())


NAMES = ("a", "b", "c", "a_errors", "errors")
SOME_NAMES = st.lists(st.sampled_from((*NAMES, ".", "gone")), max_size=4).map(":".join)
NUMBERS = st.integers(-1, 4)


@st.composite
def contents(draw: st.DrawFn) -> GroupContent:
    said = st.fixed_dictionaries(
        {}, optional={"signal": NUMBERS, "axis": NUMBERS, "axes": SOME_NAMES, "primary": NUMBERS}
    )
    fields = {
        name: Member(tuple(draw(st.lists(st.integers(0, 3), max_size=3))), np.dtype(float), draw(said))
        for name in NAMES
        if draw(st.booleans())
    }
    indices = {f"{name}_indices": st.lists(NUMBERS, max_size=2).map(np.array) for name in NAMES}
    told = {"signal": st.sampled_from(NAMES), "axes": SOME_NAMES, "auxiliary_signals": SOME_NAMES, "a_axes": SOME_NAMES}
    return GroupContent("/data", draw(st.fixed_dictionaries({}, optional={**told, **indices})), fields)


@given(contents())
def test_whatever_a_group_says_its_variables_fit_together(content: GroupContent) -> None:
    data = apply_rules(content)
    lengths: dict[str, int] = {}
    for variable in data.variables:
        shape = content.fields[variable.field].shape
        assert len(variable.dims) == len(set(variable.dims)) == len(shape)
        for number, (dim, length) in enumerate(zip(variable.dims, shape, strict=True), 1):
            is_edges = variable.bounds is not None and number == len(shape)
            assert lengths.setdefault(dim, length - is_edges) == length - is_edges
    dims = dims_of(data)
    assert all(dims[dim] == (dim,) for dim in lengths if dim in dims)


def test_axes_of_a_missing_signal_are_coordinates_and_scaled(write: Write) -> None:
    fields = {"x": np.zeros(5), "c": X4, "c_errors": X4, "x_offset": 1.0, "i0": X4}
    data = described(write, nxdata(fields, signal="gone", axes="x", c_indices=0))
    assert roles_of(data) == {"i0": Role.OTHER, "x": Role.AXIS, "c": Role.AXIS, "c_errors": Role.AXIS_ERRORS}
    assert {each.name: (each.bounds, each.scaling) for each in data.variables if each.name in ("x", "c")} == {
        "x": ("x_bounds", Scaling(None, "x_offset")),
        "c": (None, None),
    }


def test_signal_comes_first_and_each_field_has_its_role(write: Write) -> None:
    group = nxdata(
        {"data": D2, "data_errors": D2, "aux": D2, "other": D2, "y": Y3, "y_errors": Y3, "x": X4},
        signal="data",
        axes=["y", "x"],
        auxiliary_signals="aux",
    )
    assert list(roles_of(described(write, group)).items()) == [
        ("data", Role.SIGNAL),
        ("aux", Role.AUXILIARY),
        ("data_errors", Role.ERRORS),
        ("other", Role.OTHER),
        ("y", Role.AXIS),
        ("x", Role.AXIS),
        ("y_errors", Role.AXIS_ERRORS),
    ]


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        ({"data": X4, "data_errors": X4}, {}),
        ({"data": X4, "errors": X4}, {}),
        ({"data": Field(X4, {"uncertainties": "sigma"}), "sigma": X4}, {}),
        ({"data": X4, "sigma": X4}, {"data_uncertainties": "sigma"}),
        ({"data": X4, "sigma": X4}, {"data_uncertainty": "sigma"}),
        ({"data": Field(X4, {"uncertainty": np.bytes_("sigma")}), "sigma": X4}, {}),
    ],
    ids=["FIELD_errors", "errors", "@uncertainties", "canSAS group", "canSAS draft", "canSAS draft on the field"],
)
def test_uncertainties_in_all_forms(fields: dict[str, Any], attributes: dict[str, Any], write: Write) -> None:
    data = described(write, nxdata(fields, signal="data", **attributes))
    assert roles_of(data) == {"data": Role.SIGNAL, "data_errors": Role.ERRORS}


def test_uncertainties_of_an_auxiliary_signal_and_of_an_axis(write: Write) -> None:
    fields = {"data": X4, "aux": Field(X4, {"uncertainties": "s"}), "s": X4, "x": X4, "x_errors": X4}
    data = described(write, nxdata(fields, signal="data", auxiliary_signals="aux", axes="x"))
    assert roles_of(data)["aux_errors"] is Role.ERRORS
    assert roles_of(data)["x_errors"] is Role.AXIS_ERRORS


@pytest.mark.parametrize("is_framed", [False, True])
def test_resolutions_of_q_are_data_along_q(is_framed: bool, write: Write) -> None:
    fields = {"I": D2 if is_framed else X4, "Q": Field(X4, {"resolutions": "dQw, dQl, gone"}), "dQw": X4, "dQl": Y3}
    axes = "t,Q" if is_framed else "Q"
    data = described(write, nxdata(fields, signal="I", I_axes=axes, canSAS_class="SASdata"))
    assert dims_of(data)["dQw"] == ("Q",)
    assert roles_of(data)["dQw"] is Role.OTHER
    assert "dQl" not in roles_of(data)


def test_resolutions_of_edges_and_what_has_another_role_stay_what_they_are(write: Write) -> None:
    fields = {"I": D2, "Q": Field(np.arange(5.0), {"resolutions": "w"}), "w": np.arange(5.0)}
    assert "w" not in roles_of(described(write, nxdata(fields, signal="I", axes=[".", "Q"])))
    fields = {"I": D2, "Q": Field(X4, {"resolutions": "p"}), "p": X4}
    data = described(write, nxdata(fields, signal="I", axes=[".", "Q"], p_indices=1))
    assert roles_of(data)["p"] is Role.AXIS


def test_an_auxiliary_signal_may_be_the_uncertainties_as_well(write: Write) -> None:
    fields = {"data": Field(X4, {"uncertainties": "sigma"}), "sigma": X4}
    data = described(write, nxdata(fields, signal="data", auxiliary_signals="sigma"))
    assert roles_of(data) == {"data": Role.SIGNAL, "sigma": Role.AUXILIARY, "data_errors": Role.ERRORS}


def test_uncertainties_of_another_shape_are_left_out_with_a_reason(write: Write) -> None:
    data = described(write, nxdata({"data": X4, "data_errors": Y3}, signal="data"))
    assert list(roles_of(data)) == ["data"]
    assert "don't fit" in data.diagnostics[0].message


def test_bin_edges_name_their_bounds(write: Write) -> None:
    fields = {"data": X4, "x": np.arange(5.0), "x_bounds": {"something": 1}}
    data = described(write, nxdata(fields, signal="data", axes="x"))
    assert [variable.bounds for variable in data.variables] == [None, "x_bounds_"]


def test_scaling_is_found_for_numbers_only(write: Write) -> None:
    fields = {"data": X4, "data_scaling_factor": 2.0, "data_offset": np.array([1]), "x": X4, "x_offset": Y3}
    data = described(write, nxdata(fields, signal="data", axes="x"))
    assert data.variables[0].scaling == Scaling("data_scaling_factor", "data_offset")
    assert data.variables[1].scaling is None
    assert any("'x_offset' is not a single number" in each.message for each in data.diagnostics)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([".", "2"], (None, 2)),
        (np.array([b"-1", b"."]), (-1, None)),
        ("0,.", (0, None)),
        ([1, 2], (1, 2)),
        ([".", "9"], None),
        (["."], None),
        (["x", "."], None),
    ],
)
def test_default_slice(value: Any, expected: tuple[int | None, ...] | None, write: Write) -> None:
    data = described(write, nxdata({"data": D2}, signal="data", default_slice=value))
    assert data.default_slice == expected


def test_auxiliary_signals_of_the_older_versions(write: Write) -> None:
    fields = {"c": Field(X4, {"signal": 3}), "b": Field(X4, {"signal": 2}), "a": Field(X4, {"signal": 1})}
    data = described(write, nxdata(fields))
    assert list(roles_of(data).items()) == [("a", Role.SIGNAL), ("b", Role.AUXILIARY), ("c", Role.AUXILIARY)]


def test_a_field_can_be_chosen_as_the_signal(write: Write) -> None:
    group = nxdata({"data": D2, "weights": D2, "x": X4, "y": Y3}, signal="data", axes=["y", "x"])
    assert dims_of(described(write, group, "weights")) == {"weights": ("y", "x"), "y": ("y",), "x": ("x",)}
    assert dims_of(described(write, group, "x")) == {"x": ("dim_0",)}


def test_an_auxiliary_signal_that_is_chosen_has_the_axes_that_it_names(write: Write) -> None:
    fields = {"a": Field(X4, {"signal": 1}), "b": Field(D2, {"signal": 2, "axes": "y:x"}), "x": X4, "y": Y3}
    assert dims_of(described(write, nxdata(fields), "b")) == {"b": ("y", "x"), "y": ("y",), "x": ("x",)}


def test_signals_and_axes_have_their_units_from_unit_where_there_are_no_units(write: Write) -> None:
    fields = {
        "data": Field(X4, {"unit": "counts"}),
        "x": Field(X4, {"unit": np.bytes_("mm"), "units": "m"}),
        "k": Field(X4, {"unit": 7}),
    }
    group = nxdata(fields, signal="data", axes="x", k_indices=0)
    with xr.open_dataset(write({"data": group}), engine="nexus") as dataset:
        assert dataset["data"].attrs == {"unit": "counts", "units": "counts"}
        assert dataset["x"].attrs["units"] == "m"
        assert "units" not in dataset["k"].attrs


def test_errors_without_a_name_are_those_of_the_declared_signal(write: Write) -> None:
    group = nxdata({"data": X4, "other": X4, "errors": X4}, signal="data")
    assert roles_of(described(write, group, "data")) == {"data": Role.SIGNAL, "data_errors": Role.ERRORS}
    assert roles_of(described(write, group, "other")) == {"other": Role.SIGNAL}


def test_description_is_plain_and_equal_when_made_twice(write: Write) -> None:
    group = nxdata(XY, signal="data", axes=["y", "x"])
    assert described(write, group) == described(write, group)
    assert hash(described(write, group)) == hash(described(write, group))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_what_is_told_as_version_3_is_what_was_found(write: Write, rule: Rule) -> None:
    with h5py.File(write({"entry": {"data": rule.group}})) as file:
        content = join_segments(read_content(LibraryGroup(file["entry/data"].id, "/", Diagnostics())), Diagnostics())
    found = apply_rules(content)
    attributes = as_version_3(found, content)
    field = None if found.signal is None else content.fields[found.signal]
    if field is None or not (field.is_numeric and field.shape) or 0 in field.shape:
        assert attributes.get("NX_class") != "NXdata"
        return
    signal, *others = found.variables
    plain = {
        axis.field: axis.dims
        for axis in others
        if axis.role is Role.AXIS and len(axis.dims) == 1 and content.fields[axis.field].is_numeric
    }
    assert attributes["signal"] == signal.field
    is_scattered = len(signal.dims) == 1 and len(attributes["axes"]) == 2
    for dim, name in zip(signal.dims * (1 + is_scattered), attributes["axes"], strict=True):
        assert plain[name] == (dim,) if name != "." else (dim,) not in plain.values()


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        (["x", "k"], ["x", "k"]),
        (["k", "x"], ["k", "x"]),
        ("x", ["x"]),
        (["x", "k", "other"], ["x"]),
        (["x", "edges"], ["x"]),
        (["x", "words"], ["x"]),
        (["x", "x"], ["x"]),
        (["x", "gone"], ["x"]),
    ],
)
def test_points_in_a_plane_are_told_with_both_axes(write: Write, axes: Any, told: list[str]) -> None:
    fields = {
        "data": X4,
        "x": X4,
        "k": X4[::-1],
        "other": X4,
        "edges": np.arange(5.0),
        "words": np.array(["a", "b", "c", "d"], dtype=object),
    }
    with h5py.File(write({"entry": {"data": nxdata(fields, signal="data", axes=axes)}})) as file:
        content = read_content(LibraryGroup(file["entry/data"].id, "/", Diagnostics()))
    assert as_version_3(apply_rules(content), content)["axes"] == told


@pytest.mark.parametrize(("factor", "is_told"), [(10.0, True), ([1.0, 2.0, 3.0], False), ("ten", False)])
def test_a_factor_of_the_group_is_told_of(write: Write, factor: Any, is_told: bool) -> None:
    data = described(write, nxdata({"s": [1, 2, 3], "scaling_factor": factor}, signal="s"))
    assert any("'scaling_factor' isn't applied to 's'" in each.message for each in data.diagnostics) == is_told
    assert data.variables[0].scaling is None


@pytest.mark.parametrize(
    ("factor", "named", "is_told", "is_beside"),
    [
        (2.0, "k", True, True),
        ([2.0], "k", True, False),
        ([1.0, 2.0], "k", False, False),
        ("ten", "k", False, False),
        (2.0, "none", False, False),
        (2.0, 0.5, False, False),
    ],
)
def test_a_factor_that_the_signal_names_is_told_of_and_goes_along(
    write: Write, tmp_path: Path, factor: Any, named: Any, is_told: bool, is_beside: bool
) -> None:
    fields = {"I": Field([1.0, 2.0, 3.0], {"scaling_factor": named}), "k": factor, "Q": [0.1, 0.2, 0.3]}
    path = write({"entry": nxentry({"data": nxdata(fields, signal="I", axes=["Q"])})})
    for each in (path, tmp_path / "again.nxs"):
        with warnings.catch_warnings(record=True, action="always") as caught:
            opened = xr.open_dataset(each, engine="nexus").load()
            [signal] = [each for each in nexus_xr.open_signals(each, nxdata_only=True) if each.name == "I"]
        codes = {told.code for each in caught for told in getattr(each.message, "diagnostics", ())}
        if each == path:
            assert ("scaling-named" in codes) == is_told
        assert opened.I.values.tolist() == [1.0, 2.0, 3.0]
        assert ("k" in opened.coords, "k" in signal.coords) == (is_beside, is_beside)
        opened.nexus.to_nexus(tmp_path / "again.nxs")
    assert not is_beside or codes == {"scaling-named"}


@pytest.mark.parametrize("of_field", [False, True])
def test_what_is_listed_and_left_out_is_not_said_to_be_undeclared(of_field: bool, write: Write) -> None:
    told = {"axes": "x:y"}
    data = described(
        write,
        nxdata(
            {"data": Field(np.zeros((4, 4)), {"signal": 1, **(told if of_field else {})}), "x": D2, "y": Y3, "z": X4},
            **({} if of_field else told),
        ),
    )
    [undeclared, _] = [each for each in data.diagnostics if each.code == "axis-undeclared"]
    assert str(undeclared).endswith("to be one: z")
    numbered = {"data": Field(np.zeros((4, 4)), {"signal": 1}), "x": Field(X4, {"axis": 5})}
    assert [each.code for each in described(write, nxdata(numbered)).diagnostics] == ["axis-number-wrong"]


def test_what_is_longer_is_not_named_beside_what_is_as_long(write: Write) -> None:
    data = described(write, nxdata({"data": D2, "x": X4, "longer": np.zeros(5)}, signal="data", axes=["."]))
    assert [str(each).endswith("what has that length to be one: x") for each in data.diagnostics] == [True]
    data = described(write, nxdata({"data": np.zeros(1), "two": [1, 2]}, signal="data"))
    assert data.diagnostics == ()


@pytest.mark.parametrize(
    ("described", "stored", "dtype"),
    [
        ("<U5", "O", "<U5"),
        ("datetime64[ns]", "i8", "M8[ns]"),
        ("timedelta64[25s]", "i8", "m8[25s]"),
        ("M8[999999999D]", "i8", "M8[999999999D]"),
        ("M8[1000000000D]", "i8", None),
        ("datetime64[ns]", "f8", None),
        ("M8[0ns]", "i8", None),
        ("M8[ns/0]", "i8", None),  # which ends the process where NumPy is asked
        ("M8[" + "9" * 5000 + "s]", "i8", None),
        ("M8[parsec]", "i8", None),
        ("M8[xx]", "i8", None),
        ("U999999999", "O", None),
        ("U" + "9" * 5000, "O", None),
        ("(9999999999,)M8[s]", "i8", None),
        ("i4,(", "i8", None),
        ("(" * 5000, "i8", None),
        ("", "i8", None),
    ],
)
def test_a_dtype_that_is_recorded_is_one_that_is_written_or_none(
    described: str, stored: str, dtype: str | None
) -> None:
    text = np.dtype(object, metadata={"vlen": str}) if stored == "O" else np.dtype(stored)
    assert recorded_dtype({"numpy_dtype": described}, text) == (None if dtype is None else np.dtype(dtype))


class Noted(dict[str, Any]):
    """A dictionary that notes when all of it is gone through, and what is looked up by `get`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.passes = 0
        self.asked: list[str] = []

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.append(key)
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        self.passes += 1
        return super().__iter__()

    def keys(self) -> Any:
        self.passes += 1
        return super().keys()

    def items(self) -> Any:
        self.passes += 1
        return super().items()


def test_auxiliary_signals_are_listed_once_however_many_they_are() -> None:
    def times_asked(count: int) -> int:
        listed = [f"y{number}" for number in range(count)]
        attributes = Noted({"NX_class": "NXdata", "signal": "data", "auxiliary_signals": listed})
        fields = {name: Member((4,), np.dtype(float)) for name in ("data", *listed)}
        assert [each.field for each in apply_rules(GroupContent("/data", attributes, fields)).variables] == [*fields]
        return attributes.asked.count("auxiliary_signals")

    assert times_asked(9) == times_asked(3)


@pytest.mark.parametrize("inner", [(), ("a/b",)])
def test_each_field_is_a_signal_without_a_look_at_all_others(inner: tuple[str, ...]) -> None:
    def passes(count: int) -> int:
        names = [*(f"y{number}" for number in range(count)), *inner]
        fields = Noted({name: Member((4,), np.dtype(float)) for name in names})
        content = GroupContent("/data", {}, fields)
        own = [apply_rules(content, name).variables[0].name for name in names]
        assert own == [name.replace("/", "_") for name in names]
        return fields.passes

    assert passes(9) == passes(3)


@pytest.mark.parametrize("length", [4, 5])
def test_dimensions_of_one_name_and_several_lengths_are_different_ones(write: Write, length: int) -> None:
    fields = {
        "lat": Field(np.zeros(4), {"_ARRAY_DIMENSIONS": ["x"]}),
        "q": Field(np.zeros((length, 3)), {"_ARRAY_DIMENSIONS": ["x", "y"]}),
        "r": Field(np.zeros((4, 3)), {"_ARRAY_DIMENSIONS": ["x", "y"]}),
    }
    group = nxdata(fields, signal="lat", ancillary_variables=["q", "r"])
    found = described(write, group)
    own = "x" if length == 4 else "q_dim_0"
    assert dims_of(found) == {"lat": ("x",), "q": (own, "y"), "r": ("x", "y")}
    assert [each.code for each in found.diagnostics] == ([] if length == 4 else ["dimension-lengths-differ"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NexusWarning)
        opened = xr.open_dataset(write({"entry": {"data": group}}), engine="nexus")
    assert dict(opened.sizes) == {"x": 4, own: length, "y": 3}
