"""The numbers of `nexus_xr.hdf5` on whose two sides something is done in two ways.

Values must not depend on them. Tests make them small, so that what takes a large file otherwise takes a few bytes.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import strategies as st

import nexus_xr.hdf5

# Values on either side of which arrays of a few kilobytes lie. None for as it is, where they are on the small side.
DRAWN: dict[str, tuple[int | None, ...]] = {
    "addresses._FEW_REFERENCES": (None, 0),
    "addresses._MOST_STEPS": (None, 1),
    "batch.MOST_CHUNK_BYTES": (None, 0, 200),
    "btree._USUAL_ENTRIES": (None, 1, 3),
    "chunk.ROOM_BYTES": (None, 0, 300),
    "engine.BATCH_BYTES": (None, 1, 64, 1000),
    "engine._FEW_CHUNKS": (None, 0, 2),
    "engine._GAP_BYTES": (None, 0, 100),
    "engine._RECENT_BYTES": (None, 0, 300),
    "engine._RUN_BYTES": (None, 1, 200),
    "index._BATCH": (None, 1, 3),
    "index._MOST_ELEMENTS": (None, 0, 10),
    "libraries.SHORT_CALL_BYTES": (None, 0, 200),
    "memory.MOST_KEPT": (None, 0, 1 << 16),
    "memory.SMALLEST_BLOCK": (None, 1, 300),
    "objects._MOST_TYPES": (None, 1),
    "pipeline._LEAST_IN_PARTS": (None, 1, 300),
    "placement.MOST_INDEX_BYTES": (None, 0),
    "placement.PIECE_BYTES": (None, 1, 64, 300),
    "placement._MOST_PLACEMENTS": (None, 1),
    "plan._FEW": (None, 0, 2),
    "virtual._MANY": (None, 1),
    "virtual._MOST_OPEN": (None, 1, 2),
}
# Those of which other tests are on either side, or which decide nothing about values.
ELSEWHERE: dict[str, str] = {
    "addresses._MOST_FILES": "how much is remembered",
    "array._SMALL_BYTES": "test_engine.py: filters of libhdf5 are undone here and in processes",
    "batch._MOST_STEPS": "more filters than any dataset has",
    "btree._MOST_MESSAGES": "a bound for damaged files",
    "codecs._MOST_BLOSC2_HEADER": "more than such a header has",
    "creation.SMALL_BYTES": "test_cluster.py",
    "creation._LARGEST_CHUNK": "the doctest of default_chunks",
    "creation._SMALLEST_CHUNK": "the doctest of default_chunks",
    "file._COPIED_AT_ONCE": "how much of a stream is copied at once",
    "memory._GRANULE": "what sizes of blocks are rounded to",
    "memory._MOST_WANTED": "how much is remembered",
    "linked_files._MOST_LINKS": "test_links.py: links that lead round in circles lead nowhere",
    "locking.MOST_SECONDS": "test_writing.py: a writer that never ends is told of",
    "locking._LONGEST_PAUSE": "how often a lock is asked for",
    "locking._SHORTEST_PAUSE": "how often a lock is asked for",
    "mapping._ENDLESS": "longer than any dimension",
    "new_file._SECONDS_UNTOUCHED": "test_writing.py: what another host's writer left stays until it is old",
    "outside._PATIENCE_SECONDS": "test_faults.py: a decoder that never ends is an error",
    "pipeline._MARGIN": "room behind what is decoded",
    "placement._MOST_STATES": "how much is remembered of a growing file",
    "replacing._MOST_LINKS": "a bound for links in a circle",
    "storage.REMOTE_BLOCK_BYTES": "the size of dask's blocks, which test_lazy.py draws",
    "storage.TARGET_BLOCK_BYTES": "the size of dask's blocks, which test_lazy.py draws",
    "storage.WHOLE_FRAME_BYTES": "the size of dask's blocks, which test_lazy.py draws",
    "target._PEEK_BYTES": "how much of a file is looked at",
    "virtual._DEEPEST": "test_virtual.py: virtual datasets that are made of each other are an error",
    "virtual._LISTED": "how many names a message lists",
    "virtual._MOST_CARRIED": "test_virtual.py: what is known to be missing keeps pickled arrays small",
    "virtual._MOST_LOOKED_FOR": "which files are looked for at opening",
    "virtual._MOST_TOLD": "how much is remembered",
}
# Remote files have a store of their own to be compared with.
MODULES_ELSEWHERE = {"remote": "test_remote.py", "store": "test_remote.py", "_reader_process": "test_faults.py"}


# Numbers of file formats, of filters and of the system.
NO_THRESHOLDS: dict[str, set[str]] = {
    "addresses": {"_MAY_CHANGE"},
    "btree": {"CHUNKED", "LAYOUT", "UNDEFINED", "_CONTINUATION"},
    "chunk_array": {"_BLOCK_HEAD_BYTES", "_CHECKSUM_BYTES", "_EXTENSIBLE", "_FIXED", "_HEAD_BYTES"},
    "codecs": {"BITSHUFFLE", "BLOSC", "BLOSC2", "BZIP2", "DEFLATE", "FLETCHER32", "LZ4", "LZF", "SHUFFLE", "ZSTD"},
    "creation": {"_BITSHUFFLE_OWN_OPTIONS", "_GZIP_LEVEL", "_NBIT", "_SCALEOFFSET", "_SZIP"},
    "index": {"_ALL_FILTERS"},
    "mapping": {"_UNLIMITED"},
    "objects": {"_HEAP_REFERENCE_BYTES"},
    "placement": {"_DONT_FILTER_PARTIAL_CHUNKS"},
}


def numbers() -> set[str]:
    """Every number that a module of `nexus_xr.hdf5` gives a name by itself and that may be a threshold."""
    found = set()
    for path in Path(nexus_xr.hdf5.__path__[0]).glob("*.py"):
        if path.stem in MODULES_ELSEWHERE or path.stem == "__init__":
            continue
        names = {
            name.id
            for statement in ast.parse(path.read_text()).body
            if isinstance(statement, ast.Assign)
            for name in ast.walk(statement)
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
        }
        module = importlib.import_module(f"nexus_xr.hdf5.{path.stem}")
        of_module = {name for name in names if type(getattr(module, name, None)) in (int, float)}
        found |= {f"{path.stem}.{name}" for name in of_module - NO_THRESHOLDS.get(path.stem, set())}
    return found


def thresholds() -> st.SearchStrategy[Mapping[str, int | None]]:
    """A value for each threshold."""
    return st.fixed_dictionaries({name: st.sampled_from(values) for name, values in DRAWN.items()})


@contextmanager
def moved(values: Mapping[str, int | None]) -> Iterator[None]:
    """Have thresholds at other values for the length of a ``with`` block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            if value is not None:
                patch.setattr(f"nexus_xr.hdf5.{name}", value)
                if name == "engine._RECENT_BYTES":
                    patch.setattr("nexus_xr.hdf5.engine._recent._most", value)
        yield
