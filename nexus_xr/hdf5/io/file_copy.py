"""Copying a file, wherever it is, to a local path."""

from __future__ import annotations

import shutil

from .file import File
from .writers import refuse_written_here

_COPIED_AT_ONCE = 16 << 20


def copy_file(file: File, path: str) -> None:
    """Copy a file, byte for byte.

    Parameters
    ----------
    file
        The file.
    path
        A local path.
    """
    refuse_written_here(file)
    if file.is_local and file.policy.reach.is_everywhere:
        file.check()
        shutil.copyfile(file.path, path)
        file.check()
        return
    with file.source() as source, open(path, "wb") as copy:
        buffer = memoryview(bytearray(_COPIED_AT_ONCE))
        for offset in range(0, source.size, _COPIED_AT_ONCE):
            copy.write(buffer[: source.read_into(buffer, offset)])
