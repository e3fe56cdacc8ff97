"""Some of the damages of `tests.fuzz`; the others are tried by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .fuzz import TARGETS, Readers, both_readers, try_cases


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
