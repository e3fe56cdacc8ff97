"""The numbers of `nexus_xr.hdf5` on whose two sides something is done in two ways.

Values must not depend on them. Tests make them small, so that what takes a large file otherwise takes a few bytes.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import strategies as st

import nexus_xr.hdf5

# Values on either side of which arrays of a few kilobytes lie. None for as it is, where they are on the small side.
DRAWN: dict[str, tuple[int | None, ...]] = {
    "library.addresses._FEW_REFERENCES": (None, 0),
    "library.addresses._MOST_STEPS": (None, 1),
    "filters.batch.MOST_CHUNK_BYTES": (None, 0, 200),
    "filters.codecs.shuffle._MOST_BYTES": (None, 0, 200),
    "format.chunk_indexes.btree1._USUAL_ENTRIES": (None, 1, 3),
    "format.file_bytes._BLOCK_BYTES": (None, 1, 100),
    "format.file_bytes._MOST_BLOCKS": (None, 1),
    "format.file_bytes._MOST_TOGETHER_BYTES": (None, 1, 300),
    "format.groups.symbol_table._USUAL_BYTES": (None, 0, 40),
    "format.heaps.local_heap._USUAL_BYTES": (None, 0, 40),
    "format.values._LEAST_OF_COLLECTION": (None, 0),
    "reading.engine.chunk.BUFFER_BYTES": (None, 0, 300),
    "reading.engine.many_chunks.BATCH_BYTES": (None, 1, 64, 1000),
    "reading.engine.few_chunks.FEW_CHUNKS": (None, 0, 2),
    "reading.engine.many_chunks._GAP_BYTES": (None, 0, 100),
    "reading.engine.few_chunks._RECENT_BYTES": (None, 0, 300),
    "reading.engine.few_chunks.RUN_BYTES": (None, 1, 200),
    "runtime.libraries.SHORT_CALL_BYTES": (None, 0, 200),
    "runtime.memory.MOST_KEPT": (None, 0, 1 << 16),
    "runtime.memory.SMALLEST_BLOCK": (None, 1, 300),
    "objects.group._MOST_REMEMBERED": (None, 0, 3),
    "objects.parsed.parsed_file._MOST_LINKS_KEPT": (None, 0, 3),
    "objects.parsed.parsed_file._LEAST_GROUPS_KEPT": (None, 0, 1),
    "objects.object_paths._MOST_STEPS": (None, 1),
    "library.datatypes._MOST_TYPES": (None, 1),
    "filters.pipeline._LEAST_IN_PARTS": (None, 1, 300),
    "reading.layouts.known_layouts.MOST_INDEX_BYTES": (None, 0),
    "reading.layouts.layout_reading.PIECE_BYTES": (None, 1, 64, 300),
    "reading.layouts.known_layouts._MOST_LAYOUTS": (None, 1),
    "reading.engine.plan._FEW": (None, 0, 2),
    "reading.processes._TOGETHER_BYTES": (None, 0, 3000),
    "reading.reductions.masks._FEW": (None, 0, 1),
    "reading.reductions.masks._MOST_KNOWN": (None, 0),
    "reading.reductions.masks._WIDEST_BITS": (None, 0),
    "reading.reductions.operations._EXACT_SQUARES": (None, 0),
    "reading.reductions.operations._MOST_EXACT": (None, 0, 10),
    "reading.reductions.operations._STRIP": (None, 1, 7),
    "reading.reductions.reduction._MOST_BLOCKS": (None, 1, 2),
    "reading.reductions.reduction._TASKS_OF_THREAD": (None, 1),
    "reading.reductions.views.FEW_VALUES": (None, 0, 100),
    "reading.reductions.views.LOCAL_BLOCK_BYTES": (None, 1, 40),
    "reading.virtual_reading._MANY": (None, 1),
    "reading.virtual_reading._MOST_OPEN": (None, 1, 2),
}
# Those of which other tests are on either side, or which decide nothing about values.
ELSEWHERE: dict[str, str] = {
    "format.array_type._MOST_TYPES": "how much is remembered",
    "objects.text._MOST_NAMES": "how much is remembered",
    "reading.reductions.views.REMOTE_BLOCK_BYTES": "test_reductions.py: what isn't local is reduced in any blocks",
    "format.attributes._MOST_HEADS": "how much is remembered",
    "format.messages.dataspace._MOST_SPACES": "how much is remembered",
    "format.datatypes.datatype._MOST_LEVELS": "a bound for damaged files",
    "format.datatypes.datatype._MOST_TYPES": "how much is remembered",
    "format.messages.filter_pipeline._MOST_PIPELINES": "how much is remembered",
    "library.addresses._MOST_FILES": "how much is remembered",
    "filters.batch._MOST_STEPS": "more filters than any dataset has",
    "format.chunk_indexes.array_parts.MOST_ELEMENTS": "a bound for damaged files",
    "format.chunk_indexes.chunked_dataset._MOST_BYTES": "a bound for damaged files",
    "format.chunk_indexes.extensible_array._MOST_BITS": "a bound for damaged files",
    "reading.layouts.library_layouts._MOST_ATTEMPTS": "test_chunk_indexes.py: what is being written is read again",
    "format.heaps.global_heap._MOST_KEPT_BYTES": "test_format.py: values of variable length are found",
    "format.consistency.MOST_SECONDS": "test_growing.py: what never agrees is damaged",
    "format.object_header._USUAL_BYTES": "test_format.py: headers are of more and of fewer bytes",
    "format.shared_messages._MOST_STEPS": "a bound for damaged files",
    "filters.codecs.bzip2._MOST_BYTES": "test_engine.py: longer chunks than a library counts are stored as they are",
    "filters.codecs.lz4._MOST_BYTES": "test_engine.py: sizes that a library has no number for are not cut off",
    "filters.codecs.lzf._MOST_BYTES": "test_engine.py: longer chunks than a library counts are stored as they are",
    "filters.codecs.blosc2._MOST_HEADER_BYTES": "more than such a header has",
    "writing.creation.SMALL_BYTES": "test_cluster.py",
    "writing.creation._LARGEST_CHUNK": "the doctest of default_chunks",
    "writing.creation._MOST_CHUNK_BYTES": "test_writing.py",
    "writing.creation._SMALLEST_CHUNK": "the doctest of default_chunks",
    "io.file_copy._BLOCK_BYTES": "what the system counts in",
    "io.file_copy._COPIED_AT_ONCE": "how much of a stream is copied at once",
    "writing.copying._COPIED_AT_ONCE": "test_writing.py: contiguous values are copied in any parts",
    "writing.stored_anew._BLOCK_BYTES": "test_conversion.py: types stay where arrays are compressed anew",
    "runtime.memory._ALIGNMENT": "where results begin in memory that is lent",
    "runtime.memory._GRANULE": "what sizes of blocks are rounded to",
    "runtime.memory._MOST_WANTED": "how much is remembered",
    "io.file._MOST_NOTED": "how much is noted of what libhdf5 described",
    "objects.parsed.parsed_links._MOST_LINKS": "test_described.py: links that lead round in circles lead nowhere",
    "io.naming.linked_files._MOST_LINKS": "test_links.py: links that lead round in circles lead nowhere",
    "io.h5py_handles._MOST_SECONDS": "test_appending.py: a reading that never ends is told of",
    "io.locks.MOST_SECONDS": "test_writing.py: a writer that never ends is told of",
    "io.locks._QUIET_SECONDS": "test_writing.py: a writer that takes its time is told of",
    "writing.new_objects.IN_ORDER": "flags of HDF5",
    "io.locks._NAME_BYTES": "test_conversion.py: names as long as the system lets them be are written",
    "io.locks._LONGEST_PAUSE": "how often a lock is asked for",
    "io.locks._SHORTEST_PAUSE": "how often a lock is asked for",
    "reading.virtual_datasets.virtual_layout._ENDLESS": "longer than any dimension",
    "writing.claims._SECONDS_UNTOUCHED": "test_writing.py: what another host's writer left stays until it is old",
    "runtime.children.PATIENCE_SECONDS": "test_faults.py: a decoder that never ends is an error",
    "reading.processes._LEAST_SECONDS": "test_faults.py: a small value whose decoder never ends stays in the file",
    "reading.processes._LEAST_MEMORY": "test_faults.py: a small value whose decoder wants too much stays in the file",
    "reading.processes._SECONDS_PER_BYTE": "what a large chunk may take more than a small one",
    "reading.processes._MEMORY_PER_BYTE": "what a large chunk may take more than a small one",
    "filters.pipeline._MARGIN": "room behind what is decoded",
    "reading.layouts.known_layouts._MOST_STATES": "how much is remembered of a growing file",
    "writing.link_targets._MOST_LINKS": "a bound for links in a circle",
    "writing.chunk_writer._PEEK_BYTES": "how much of a file is looked at",
    "writing.writable_file._RESERVED_AT_ONCE": "test_target.py: room for chunks that grow is asked for now and then",
    "reading.stored_chunks._BYTES_A_BYTE_OF_ROOM": "test_zarr_copying.py: frames take the place of chunks, or don't",
    "reading.telling._LISTED": "how many names a message lists",
    "reading.telling._MOST_TOLD": "how much is remembered",
    "reading.virtual_datasets.found_sources._MOST_CARRIED": "test_virtual.py: pickled arrays stay small",
    "reading.virtual_datasets.found_sources.MOST_LOOKED_FOR": "which files are looked for at opening",
}
# Remote files have a store of their own to be compared with.
MODULES_ELSEWHERE = {
    "io.remote.ahead": "test_remote.py",
    "io.remote.kept_blocks": "test_remote.py",
    "io.remote.remote_file": "test_remote.py",
    "io.remote.object_store": "test_remote.py",
    "reading._reader_process": "test_faults.py",
}


# Numbers of file formats, of filters and of the system.
NO_THRESHOLDS: dict[str, set[str]] = {
    "format.btree2": {"_MOST_COUNT_BYTES"},
    "format.messages.dataspace": {"_MOST_DIMENSIONS", "_MOST_ELEMENTS"},
    "format.datatypes.datatype": {"_MOST_DIMENSIONS"},
    "format.messages.filter_pipeline": {"_MOST_FILTERS"},
    "format.heaps.fractal_heap": {"_MOST_SPACE_BITS"},
    "format.messages.layout": {"_MOST_DIMENSIONS", "_MOST_SHORT_BYTES"},
    "format.virtual.selections": {"_MOST_DIMENSIONS"},
    "format.superblock": {"_MOST_BYTES"},
    "format.groups.symbol_table": {"_MOST_KIND"},
    "format.virtual.virtual_mappings": {"_LEAST_BYTES", "_MOST_VERSION"},
    "filters.codecs.bitshuffle": {"_LZ4", "_WIDTH"},
    "io.naming.reach": {"_WITHOUT_WAITING", "_WITH_CARE"},
    "io.naming.real_path": {"_PLACE"},
    "io.divided": {
        "_DRIVER_MESSAGE",
        "_HAS_ORDER",
        "_HAS_PHASES",
        "_HAS_TIMES",
        "_SAID_BYTES",
        "_SIZE_BYTES",
        "_SUPERBLOCK_BYTES",
    },
    "io.superblock": {
        "SWMR",
        "WRITING",
        "_ADDRESS_BYTES",
        "_FIRST_WITH_FLAGS",
        "_FLAGS_AT",
        "_STORES_TIMES",
        "_SUPERBLOCK_BYTES",
    },
    "library.addresses": {"_MAY_CHANGE"},
    "library.datatypes": {"_HEAP_REFERENCE_BYTES", "_LAST_COMMON"},
    "library.virtual": {"_UNLIMITED"},
    "objects.links": {"EXTERNAL", "HARD", "SOFT"},
    "objects.parsed.parsed_values": {"_NEVER"},
    "objects.text": {"_WIDEST"},
    "filters.codecs.fletcher32": {"_CHECKSUM_BYTES"},
    "filters.codecs.only_libhdf5": {"_DIMENSIONS_OF_SZ", "_ELEMENTS_OF_SZ"},
    "filters.codecs.shuffle": {"_WIDEST"},
    "filters.missing_filters": {"_MOST_OF_HDF5"},
    "writing.changed_file": {"_SUPERBLOCK_BYTES"},
    "writing.creation": {"_GZIP_LEVEL"},
    "writing.new_objects": {"_MESSAGE_BYTES", "_VARYING_BYTES"},
    "reading.layouts.chunk_index": {"_ALL_FILTERS"},
    "reading.layouts.layout_reading": {"_UNLIMITED_BYTES"},
}


_A_THRESHOLD = re.compile("_?(BLOCK|DEEPEST|LEAST|MOST|USUAL)_")


def numbers() -> set[str]:
    """Every number that a module of `nexus_xr.hdf5` gives a name by itself and that may be a threshold."""
    found = set()
    root = Path(nexus_xr.hdf5.__path__[0])
    for path in root.rglob("*.py"):
        name_of_module = ".".join(path.relative_to(root).with_suffix("").parts)
        if name_of_module in MODULES_ELSEWHERE or path.stem == "__init__":
            continue
        names = {
            name.id
            for statement in ast.parse(path.read_text()).body
            if isinstance(statement, ast.Assign)
            for name in ast.walk(statement)
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
        }
        module = importlib.import_module(f"nexus_xr.hdf5.{name_of_module}")
        of_module = {name for name in names if type(getattr(module, name, None)) in (int, float)}
        if name_of_module.startswith("format."):  # all others are numbers of the file format
            of_module = {name for name in of_module if _A_THRESHOLD.match(name)}
        found |= {f"{name_of_module}.{name}" for name in of_module}
    return found


def listed() -> set[str]:
    """Every number of which it is said here what becomes of it."""
    others = (f"{module}.{name}" for module, names in NO_THRESHOLDS.items() for name in names)
    return {*DRAWN, *ELSEWHERE, *others}


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
                if name == "reading.engine.few_chunks._RECENT_BYTES":
                    patch.setattr("nexus_xr.hdf5.reading.engine.few_chunks._recent._most", value)
        yield
