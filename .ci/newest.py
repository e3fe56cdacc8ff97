"""The newest Python of this machine that the package is tried with, beside the oldest; nothing where there is none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

NAMES = ("python3.13", "python3.12")


def found() -> Iterator[str]:
    for name in NAMES:
        on_path = shutil.which(name)
        if on_path is not None:
            yield on_path
        version = name.removeprefix("python")
        yield from map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}")))


def runs(python: str) -> bool:
    """Whether it is one, and no name that a manager of versions has for what isn't chosen."""
    return subprocess.run([python, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0


print(next(filter(runs, found()), ""))
