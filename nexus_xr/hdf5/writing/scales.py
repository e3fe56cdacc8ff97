"""Dimension scales of datasets that others take the place of.

Each end of an attachment refers to the other one by where it is in the file, so that it ends with either of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import h5py
import numpy as np
from h5py import h5ds

from nexus_xr.hdf5.objects.dimension_scales import DIMENSION_LIST, REFERENCE_LIST
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error


class _Attachment(NamedTuple):
    """A dimension of a dataset and a scale of it, by their paths."""

    dataset: str
    dimension: int
    scale: str


class DetachedScales:
    """Scales that were detached, to be attached again to what is in the places of the datasets then.

    Parameters
    ----------
    file
        The open file.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._detached: list[_Attachment] = []

    def detach(self, dataset: h5py.Dataset) -> None:
        """Detach all scales of a dataset, and where it is one, itself from all others; what is damaged stays so."""
        with suppress(AnyHdf5Error):
            for attachment in [*_scales_of(dataset), *_datasets_with(dataset)]:
                attached, scale = self._ends(attachment)
                h5ds.detach_scale(attached.id, scale.id, attachment.dimension)
                self._detached.append(attachment)

    def attach_again(self) -> None:
        """Attach them, but where dimension and scale are of different lengths by now, or no dataset is any more."""
        for attachment in self._detached:
            dataset, scale = self._ends(attachment)
            if _lengths(dataset)[attachment.dimension :][:1] == _lengths(scale)[:1] != ():
                h5ds.attach_scale(dataset.id, scale.id, attachment.dimension)

    def _ends(self, attachment: _Attachment) -> tuple[h5py.HLObject, h5py.HLObject]:
        return self._file[attachment.dataset], self._file[attachment.scale]


def _lengths(item: h5py.HLObject) -> tuple[int, ...]:
    return (item.shape or ()) if isinstance(item, h5py.Dataset) else ()


def _scales_of(dataset: h5py.Dataset) -> Iterator[_Attachment]:
    scales = dataset.attrs.get(DIMENSION_LIST, ())
    if len(scales) == dataset.ndim:  # libhdf5 reads beyond another number of them
        for dimension, references in enumerate(scales):
            for reference in references:
                yield _Attachment(dataset.name, dimension, dataset.file[reference].name)


def _datasets_with(scale: h5py.Dataset) -> Iterator[_Attachment]:
    for reference, dimension in np.ravel(scale.attrs.get(REFERENCE_LIST, ())):
        yield _Attachment(scale.file[reference].name, int(dimension), scale.name)
