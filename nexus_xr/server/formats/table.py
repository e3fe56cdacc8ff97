"""The forms by their names."""

from __future__ import annotations

from .arrow import Arrow
from .binary import Binary
from .csv import Csv
from .encoding import Encoding
from .json import Json
from .npy import Npy
from .png import Png
from .tiff import Tiff

FORMATS: dict[str, Encoding] = {
    "bin": Binary(),
    "npy": Npy(),
    "json": Json(),
    "csv": Csv(),
    "arrow": Arrow(),
    "png": Png(),
    "tiff": Tiff(),
}
