"""Groups of older rules, told as version 3 of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import pytest

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.library.group import LibraryGroup
from nexus_xr.nexus.classes.table import class_of
from nexus_xr.nexus.output.version3 import as_version_3
from nexus_xr.nexus.rules.content import GroupContent, read_content
from nexus_xr.nexus.rules.detector_segments import join_segments
from nexus_xr.nexus.rules.nxdata import apply_rules

from .files import Field, Write, nxdata


def content_of(write: Write, group: Mapping[str, Any]) -> GroupContent:
    with h5py.File(write({"entry": {"data": group}})) as file:
        content = read_content(LibraryGroup(file["entry/data"].id, "/entry/data", Diagnostics()))
    return class_of(content.attributes).as_data(join_segments(content, Diagnostics()))


def told(write: Write, group: Mapping[str, Any]) -> dict[str, Any]:
    content = content_of(write, group)
    return as_version_3(apply_rules(content), content)


def test_dimensions_without_numbers_have_no_axis(write: Write) -> None:
    names = np.array(["a", "b", "c"], dtype=object)
    group = nxdata(
        {"counts": Field(np.zeros((3, 4)), {"signal": 1, "axes": "names:x"}), "names": names, "x": np.arange(5.0)}
    )
    assert told(write, group) == {"NX_class": "NXdata", "signal": "counts", "axes": [".", "x"]}


def test_groups_of_other_classes_become_data(write: Write) -> None:
    group = {"@NX_class": "NXlog", "value": np.zeros(3), "time": np.arange(3.0)}
    assert told(write, group) == {"NX_class": "NXdata", "signal": "value", "axes": ["time"]}


def test_segments_are_one_signal(write: Write) -> None:
    group = {"@NX_class": "NXdata", "data_000001": np.zeros((2, 3, 4)), "data_000002": np.zeros((1, 3, 4))}
    assert told(write, group) == {"NX_class": "NXdata", "signal": "data", "axes": [".", ".", "."]}


TEXT = np.array(["a", "b"], dtype=object)


@pytest.mark.parametrize(
    "fields",
    [{"counts": 1.0}, {}, {"counts": np.zeros((0, 3))}, {"counts": TEXT}, {"counts": Field(1.0, {"signal": 1})}],
    ids=["one number", "nothing", "empty", "text", "one number of older rules"],
)
def test_what_cant_be_plotted_is_a_plain_group(write: Write, fields: dict[str, Any]) -> None:
    assert told(write, nxdata(fields, signal="counts", axes=["x"], title="T")) == {"title": "T"}


def test_what_cant_be_plotted_keeps_another_class(write: Write) -> None:
    assert told(write, {"@NX_class": "NXlog", "value": 1.0}) == {"NX_class": "NXlog"}


def test_other_signals_of_the_same_shape_are_told(write: Write) -> None:
    text = np.array(["a", "b", "c"], dtype=object)
    fields = {"a": np.zeros(3), "b": np.zeros(3), "c": np.zeros((3, 2)), "d": text}
    attributes = told(write, nxdata(fields, signal="a", auxiliary_signals=["b", "c", "d"]))
    assert attributes["auxiliary_signals"] == ["b"]
