"""The examples run as they are, and do what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import nexus_xr

from .waiting import PATIENCE_SECONDS

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def reduced(tmp_path: Path) -> Path:
    """What the pipeline leaves of a small scan on a cluster of this machine."""
    command = [sys.executable, str(EXAMPLES / "detector_pipeline.py"), "--size", "0.04", "--workers", "1"]
    command += ["--folder", str(tmp_path), "--keep", "--memory-limit", "2GiB"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert ran.returncode == 0, ran.stderr
    assert "100% Completed" in ran.stdout
    assert "frames/s" in ran.stdout
    return tmp_path


def test_a_file_or_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    nexus_xr.to_nexus(xr.DataArray([1, 2], dims="x", name="counts"), tmp_path / "scan.nxs")
    for source, target in (("gone.nxs", "new.nxs"), ("scan.nxs", "gone/new.nxs")):
        command = [sys.executable, str(EXAMPLES / "repack.py"), source, target]
        ran = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
        )
        assert ran.returncode == 1
        assert "gone" in ran.stderr
        assert ran.stderr.count("\n") == 1


def test_the_pipeline_reduces_a_scan_and_says_how(reduced: Path) -> None:
    assert (reduced / "reduced.png").stat().st_size > 20_000
    raster, profile, mean = nexus_xr.open_signals(reduced / "reduced.nxs", nxdata_only=True)
    [scan] = reduced.glob("scan_*/scan.nxs")
    frames = xr.open_dataset(scan, engine="nexus").counts.values
    detector = nexus_xr.read_metadata(scan)["entry"]["instrument"]["detector"]
    dark, flat, mask = (np.asarray(detector[name]["value"]) for name in ("dark", "flatfield", "pixel_mask"))
    corrected = (frames - dark) / flat
    assert frames[:, mask == 16].min() == 60000
    np.testing.assert_allclose(mean, np.where(mask == 0, corrected.mean(axis=0), np.nan), rtol=1e-4, atol=1e-4)
    q = profile.q.values
    assert profile.dims == ("point", "q")
    assert raster.dims == ("y", "x")
    assert raster.size == len(frames)
    at_ring = np.abs(q - 1.55) < 0.005
    beside = np.abs(q - 1.62) < 0.005
    assert float(profile[0, at_ring].mean()) > 2 * float(profile[0, beside].mean())
    process = profile.attrs["process"]
    assert process["attrs"]["NX_class"] == "NXprocess"
    assert process["sequence_index"] == 1
    assert process["version"] == nexus_xr.__version__
    assert process["source"] == str(scan)
    assert json.loads(process["parameters"]["data"])["bins"] == len(q)
