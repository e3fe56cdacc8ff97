"""Readers of Zarr of which each is a program of its own: what each reads of a store in a folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .waiting import PATIENCE_SECONDS

_ZARRITA = Path(__file__).parent / "zarrita"

# Folder, names of arrays -> a digest of the values of each, in little-endian byte order.
Client = Callable[[Path, Sequence[str]], Mapping[str, str]]


def digest(values: Any) -> str:
    """What tells values from others, bit by bit."""
    array = np.asarray(values)
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def zarr_python(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """zarr-python by itself."""
    group = pytest.importorskip("zarr").open_group(folder, mode="r")
    return {name: digest(group[name][...]) for name in names}


def zarrs(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The codecs of the Rust library, which refuse what they don't know."""
    pytest.importorskip("zarrs")
    pipeline = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True}
    with pytest.importorskip("zarr").config.set(pipeline):
        return zarr_python(folder, names)


def tensorstore(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The C++ library."""
    library = pytest.importorskip("tensorstore")
    specs = {name: {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder / name}/"}} for name in names}
    return {name: digest(library.open(spec, read=True).result().read().result()) for name, spec in specs.items()}


def zarrita(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The JavaScript library, where it is installed beside its script."""
    node = shutil.which("node")
    if node is None or not (_ZARRITA / "node_modules").is_dir():
        pytest.skip("zarrita is installed by: cd tests/zarrita && npm ci")
    command = [node, str(_ZARRITA / "read.mjs"), str(folder), *names]
    found: dict[str, str] = json.loads(
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS).stdout
    )
    return found


CLIENTS: dict[str, Client] = {each.__name__: each for each in (zarr_python, zarrs, tensorstore, zarrita)}
