"""Datasets that are written one part after the other."""

from __future__ import annotations

import numpy as np
import xarray as xr

FRAMES = np.random.default_rng(7).poisson(3, (12, 6, 8)).astype("u2")


def stack(count: int = 12, start: int = 0, dims: tuple[str, ...] = ("frame", "y", "x")) -> xr.Dataset:
    """Frames with all that may go along with them."""
    frames = slice(start, start + count)
    at = np.arange(start, start + count)
    dataset = xr.Dataset(
        {
            "counts": (("frame", "y", "x"), FRAMES[frames], {"units": "counts"}),
            "counts_errors": (("frame", "y", "x"), np.sqrt(FRAMES[frames])),
            "monitor": (("frame",), 10.0 * at),
            "mask": (("y", "x"), FRAMES[0] > 4),
        },
        coords={
            "frame": ("frame", 0.5 * at, {"units": "s"}),
            "when": ("frame", np.array("2024-01-01", "M8[ms]") + at.astype("m8[h]")),
            "label": ("frame", [f"frame {number}" for number in at]),
            "x": ("x", np.arange(8.0), {"units": "mm"}),
            "height": 1.5,
        },
        attrs={"sample": {"name": "iron"}},
    )
    return dataset.transpose(*dims)


def assert_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    """Whether all is the same but the metadata, of which no test here is."""
    found = found.copy()
    found.attrs = expected.attrs
    xr.testing.assert_identical(found, expected)


def bins(*edges: int) -> xr.DataArray:
    """Counts in bins with such edges."""
    counts = xr.DataArray(np.ones(len(edges) - 1), dims="tof", name="counts")
    made: xr.DataArray = counts.nexus.assign_edges(tof=list(edges))
    return made


def named(*names: bytes) -> xr.Dataset:
    """Numbers, and text of a fixed length beside them."""
    return xr.Dataset({"n": ("x", np.ones(len(names))), "name": ("x", np.array(names))})
