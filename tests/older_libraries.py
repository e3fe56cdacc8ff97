"""Whether libraries before HDF5 2.0 read a file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
from h5py import h5a

from nexus_xr.hdf5.format.cache_image import file_bytes
from nexus_xr.hdf5.format.messages.message_types import MessageType
from nexus_xr.hdf5.format.object_header import first_of, read_object_header
from nexus_xr.hdf5.format.superblock import read_superblock
from nexus_xr.hdf5.io.source import BytesSource

# Of layouts and of datatypes, the latest version that HDF5 1.10 reads.
LATEST_OLD = (4, 3)


def versions_in(path: Path) -> dict[str, tuple[int, int]]:
    """The version of the layout of each object, 0 where it has none, and the latest of its datatypes."""
    source = BytesSource(path.read_bytes())
    content = file_bytes(source, read_superblock(source))
    found: dict[str, tuple[int, int]] = {}

    def look_at(name: str, item: Any) -> None:
        layout = first_of(read_object_header(content, h5py.h5o.get_info(item.id).addr), MessageType.LAYOUT)
        types = [h5a.open(item.id, each.encode()).get_type() for each in item.attrs]
        types += [] if isinstance(item, h5py.Group) else [item.id if layout is None else item.id.get_type()]
        found[name] = (layout[0] if layout else 0, max((kind.encode()[2] >> 4 for kind in types), default=0))

    with h5py.File(path) as file:
        look_at("/", file)
        file.visititems(look_at)
    return found


def assert_older_libraries_read(path: Path) -> None:
    """Fail where they don't, which HDF5's own tools of such a version say where these are installed."""
    newer = {name: each for name, each in versions_in(path).items() if any(map(int.__gt__, each, LATEST_OLD))}
    assert newer == {}
    if shutil.which("h5dump") is not None:
        subprocess.run(["h5dump", "-H", path], check=True, stdout=subprocess.DEVNULL)
