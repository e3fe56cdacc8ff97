"""The options of opening: their names, defaults and documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.policy import ReadingPolicy
from nexus_xr.hdf5.io.reference import Roots, as_file_like, reach_within
from nexus_xr.hdf5.runtime.cpus import asked_threads
from nexus_xr.nexus.tree.find import Keys, as_keys
from nexus_xr.signatures import check_types

if TYPE_CHECKING:
    from .arrays import Chunks


@dataclass(frozen=True)
class Options:
    """What the ways of opening take as keyword arguments; each way says which.

    Parameters
    ----------
    group
        Path of the group to open, an NXdata group, or of one below which to look for what to open.
    dataset_path
        Exact path, or several, of NXdata groups or datasets; `open_dataset` opens one.
    dataset_key
        Part of the path, or several, of NXdata groups or datasets.
    nxdata_only
        Whether to open NXdata groups alone, and no other datasets.
    metadata_key
        Part of the path, or several, of the metadata to keep. What HyperSpy stores beside the original metadata stays
        whole: its own, and learning results.
    skip_array_metadata
        Whether to leave metadata of two or more elements out, with their attributes.
    hardlinks_only
        Whether to leave what soft and external links, and the attribute ``target``, lead to.
    use_default
        Whether to open the default plot: in `open_dataset` where nothing is selected, and there must be just one group
        without it; in the others alone, where the file declares one.
    mask_and_scale
        Whether ``FIELD_scaling_factor`` and ``FIELD_offset`` are applied.
    decode_times
        Whether times become dates, in UTC: numbers since a moment, as ``units`` or ``start`` tell it, and coordinates
        of text that is ISO 8601. A date has nanoseconds, so that numbers may be rounded.
    edges
        How bin edges of an axis go along with arrays: "index" has them in the index of the axis, so that they stay with
        each DataArray; "bounds" only as CF bounds, which are there in both.
    uncertainties
        How a signal has its uncertainties: as "coordinate" called ``<name>_errors``, or "joined" with its values, so
        that arithmetic propagates them; for which both are read, where `chunks` makes no dask arrays of them.
    missing
        What becomes of targets of links, sources of virtual datasets and segments of a stack that are missing, and of
        segments unlike the first: "fill" reads fill values where there are sources, leaves segments out, and warns of
        them all; "raise" makes them an error.
    drop_variables
        Names of variables to leave out.
    chunks
        As for `xarray.open_dataset`: None for lazy indexing, ``{}`` for dask chunks that follow those of HDF5, "auto",
        a length, or lengths by dimension; `open_signals` takes none that no signal has.
    storage_options
        Options for the fsspec file system of a URL.
    num_threads
        Most threads that a read may decode with; None for what ``NEXUS_XR_NUM_THREADS`` says, or else the CPUs that
        this process may use.
    within
        Paths of folders or files, or URLs, one or several: nothing that lies outside is read, whatever links, virtual
        datasets and symbolic links lead there; what can't be read for that is named in the warning, and to read it is
        an error. None for no limits, but that a file behind a URL leads no further than the folder that it is in.
    """

    group: str | None = None
    dataset_path: Keys = None
    dataset_key: Keys = None
    nxdata_only: bool = False
    metadata_key: Keys = None
    skip_array_metadata: bool = False
    hardlinks_only: bool = False
    use_default: bool = False
    mask_and_scale: bool = True
    decode_times: bool = False
    edges: str = "index"
    uncertainties: str = "coordinate"
    missing: str = "fill"
    drop_variables: Keys = None
    chunks: Chunks = None
    storage_options: Mapping[str, Any] | None = None
    num_threads: int | None = None
    within: Roots = None

    def __post_init__(self) -> None:
        check_types(self, num_threads=1)
        if self.num_threads is None:
            asked_threads()  # what can't be meant is told also where no thread would be asked for
        if self.missing not in ("fill", "raise"):
            raise NexusError(f'missing={self.missing!r}: expected "fill" or "raise"')
        if self.edges not in ("index", "bounds"):
            raise NexusError(f'edges={self.edges!r}: expected "index" or "bounds"')
        if self.uncertainties not in ("coordinate", "joined"):
            raise NexusError(f'uncertainties={self.uncertainties!r}: expected "coordinate" or "joined"')

    @property
    def joins_errors(self) -> bool:
        return self.uncertainties == "joined"

    @property
    def paths(self) -> tuple[str, ...]:
        return as_keys(self.dataset_path)

    @property
    def keys(self) -> tuple[str, ...]:
        return as_keys(self.dataset_key)

    @property
    def selects(self) -> bool:
        return bool(self.paths or self.keys)

    def file(self, where: Any) -> File:
        """The file that is to be opened."""
        reach = reach_within(self.within)
        policy = ReadingPolicy(self.num_threads, fills_missing=self.missing == "fill", reach=reach)
        return File(as_file_like(where), self.storage_options, policy)
