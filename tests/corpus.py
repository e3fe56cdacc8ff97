"""The corpus of real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CORPUS = Path(os.environ.get("NEXUS_XR_CORPUS", Path(__file__).parents[2] / "shared" / "corpus"))


def corpus_files() -> list[Path]:
    """Every file of the corpus; none where it isn't there."""
    return sorted(path for path in CORPUS.rglob("*") if path.is_file())


FILES = corpus_files()
# Without the corpus, one parameter is left that says so and is skipped.
each_file = pytest.mark.parametrize(
    "path", FILES or [CORPUS / "absent"], ids=lambda path: str(path.relative_to(CORPUS))
)
