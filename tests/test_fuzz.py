"""Some of the damages of `tests.fuzz`; the others are tried by hand."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from . import fuzz_structures
from .fuzz import TARGETS, Readers, both_readers, try_cases
from .fuzz_files import write_damaged
from .fuzz_uses import USES, child_for, try_use


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with both_readers() as both:
        yield both


# One crash of a decoder after the other takes its time.
FEW = dict.fromkeys(("sz", "sz3", "sperr"), 4)
# Of Blosc's codecs, one for each shuffle; the others are tried by hand.
SAMPLE = ("blosc blosclz 1", "blosc lz4 2", "blosc zstd 0", "blosc2 blosclz 0", "blosc2 lz4 1", "blosc2 zstd 2")


@pytest.mark.parametrize("target", [name for name in TARGETS if not re.match("blosc2? .* .$", name) or name in SAMPLE])
def test_whatever_bytes_are_damaged_values_are_never_wrong(tmp_path: Path, target: str, readers: Readers) -> None:
    assert not list(try_cases(target, range(FEW.get(target, 80)), tmp_path, readers))


@pytest.mark.parametrize("use", USES)
def test_whatever_bytes_are_damaged_a_use_is_done_or_refused(tmp_path: Path, use: str) -> None:
    (tmp_path / "sound").mkdir()
    with h5py.File(tmp_path / "sound/scan.nxs", "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry["title"] = "a scan"
        entry["data/counts"] = [1, 2, 3]
        entry["data"].attrs.update(NX_class="NXdata", signal="counts", axes=["x"])
        entry["elsewhere"] = h5py.ExternalLink("scan.nxs", "/entry/data")
    child, wrong = child_for(use), []
    try:
        for number in range(20):
            write_damaged(str(tmp_path / "sound"), number, tmp_path / "f.h5")
            wrong.append(try_use(use, tmp_path / "f.h5", child)[1])
    finally:
        child.end()
    assert not list(filter(None, wrong))


def write_structures(folder: Path) -> None:
    """Files with groups, attributes, texts and chunks, in old and in new structures."""
    for libver in ("earliest", "latest"):
        with h5py.File(folder / f"{libver}.h5", "w", libver=libver) as file:
            entry = file.create_group("entry", track_order=True)
            for number in range(12):
                entry.create_dataset(f"field{number}", data=[f"text {number}"]).attrs["units"] = "mm"
            for limit in (4, 100, None):
                options: dict[str, Any] = {"chunks": (2, 3), "maxshape": (limit, 6), "compression": "gzip"}
                entry.create_dataset(f"stack {limit}", data=np.ones((4, 6)), **options)


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_whatever_structures_say_is_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "sound").mkdir()
    write_structures(tmp_path / "sound")
    with fuzz_structures.bytes_alone():
        for number in range(200):
            fuzz_structures.write_damaged(str(tmp_path / "sound"), number, tmp_path / "f.h5")
            assert fuzz_structures.outcome(tmp_path / "f.h5") in ("read", "refused")


def test_what_must_not_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_structures(tmp_path)
    monkeypatch.setattr(fuzz_structures, "_read", lambda _: 1 << -1)
    assert "negative shift count" in fuzz_structures.outcome(tmp_path / "latest.h5")
    monkeypatch.setattr(fuzz_structures, "_PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(fuzz_structures, "_read", lambda _: all(True for _ in itertools.count()))
    with fuzz_structures.bytes_alone():
        assert "HangError" in fuzz_structures.outcome(tmp_path / "latest.h5")
