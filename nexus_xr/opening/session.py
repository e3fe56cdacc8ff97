"""From what was selected in an open file to xarray's objects, which know how they were opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import xarray as xr

from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.runtime.compat import give_attrs
from nexus_xr.nexus.tree.find import as_keys

from .dataset import Variables, variables_of
from .options import Options
from .select import Described, Opening, describe_with
from .times import with_dates


@dataclass(frozen=True, eq=False)
class Opened:
    """How a variable, or a Dataset without variables, came to be, so that it can be opened again.

    Parameters
    ----------
    way
        What was opened: a ``dataset``, a ``tree`` or ``signals``.
    file, options
        Of what, and how.
    path
        Path of the group, or of the dataset, that it is of.
    sizes
        Its dimensions and their lengths.
    did_grow
        Paths of the fields of its group that were being written, and could grow, when they were opened first.
    """

    way: str
    file: File
    options: Options
    path: str
    sizes: tuple[tuple[Any, int], ...]
    did_grow: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<{self.way} of {self.file.name}:{self.path}>"


def did_grow_of(variables: Iterable[xr.Variable]) -> frozenset[str]:
    """Paths of the fields, of these variables and beside them, that could grow when they were opened first."""
    origins = (variable.encoding.get("opened") for variable in variables)
    return frozenset().union(*(origin.did_grow for origin in origins if isinstance(origin, Opened)))


def variables(opening: Opening, described: Described) -> Variables:
    """The variables of a description."""
    options = opening.options
    made = variables_of(
        described.data,
        described.content,
        described.group,
        opening.file,
        options.mask_and_scale,
        as_keys(options.drop_variables),
        options.edges == "index",
    )
    if options.decode_times:
        made = with_dates(made, described.group.diagnostics)
    did_grow = frozenset(map(described.group.member_path, described.content.growing))
    for variable in made.each():
        sizes = tuple(zip(variable.dims, variable.shape, strict=True))
        variable.encoding["opened"] = Opened(opening.way, opening.file, options, described.found.path, sizes, did_grow)
    return made


def assemble(opening: Opening, described: Described) -> xr.Dataset:
    """The Dataset of a description, without its tree."""
    return _of_file(opening, variables(opening, described).dataset(), described.found.path)


def empty(opening: Opening, path: str) -> xr.Dataset:
    """A Dataset for a group that holds no data of its own."""
    return _of_file(opening, Variables().dataset(), path)


def _of_file(opening: Opening, dataset: xr.Dataset, path: str) -> xr.Dataset:
    dataset.set_close(opening.file.close)
    dataset.encoding |= {"source": opening.file.given_name, "nexus_path": path}
    if not dataset.variables:  # which would tell it
        dataset.encoding["opened"] = Opened(opening.way, opening.file, opening.options, path, ())
    return dataset


def open_one(file: File, options: Options, did_grow: frozenset[str] = frozenset()) -> xr.Dataset:
    """The one group that the options select, where these fields are such as can grow, or could."""
    return describe_with(_open_one, file, options, did_grow=did_grow)


def _open_one(opening: Opening) -> xr.Dataset:
    described = opening.describe(found := opening.one())
    if found.is_group:
        opening.diagnostics.extend(described.data.diagnostics)
    dataset = assemble(opening, described)
    give_attrs(dataset, opening.attrs(described))
    return dataset
