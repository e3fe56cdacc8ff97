"""Some of the damages of `tests.fuzz`; the others are tried by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

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
