"""Names of dimensions with which groups fit those above them, as xarray asks it of a tree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from nexus_xr.nexus.rules.content import free_name

from .arrays import ZarrArray

_ROOT = "root"


@dataclass(frozen=True)
class _Dimension:
    """A dimension of a group.

    Parameters
    ----------
    size
        Its length.
    is_indexed
        Whether an array along it has its name, which groups below inherit.
    """

    size: int
    is_indexed: bool

    def fits(self, other: _Dimension) -> bool:
        """Whether it may have the name of that of a group above or below."""
        return self.size == other.size and not (self.is_indexed and other.is_indexed)


_Dimensions = Mapping[str, _Dimension]
_Arrays = Mapping[str, ZarrArray]


def fitted(arrays: _Arrays, groups: Collection[str], of_data: Collection[str]) -> dict[str, ZarrArray]:
    """The arrays of a tree with dimensions by which each group fits those above it, as far as that can be.

    Where a name stands for two dimensions, groups of data keep it, as that is what they are opened with by
    themselves. Other groups yield to them and to those above, and give up an index whose name arrays below have,
    which would inherit it in place of their own values.

    Parameters
    ----------
    arrays
        The arrays by their paths.
    groups
        Paths of the groups that they are in.
    of_data
        Which of these are groups of data.
    """
    members: dict[str, dict[str, ZarrArray]] = {path: {} for path in groups}
    names_below: dict[str, set[str]] = {path: set() for path in groups}
    for path, array in arrays.items():
        group, _, name = path.rpartition("/")
        members[group][name] = array
        for above in _above(group):
            names_below[above].add(name)
    placed = {path: _dimensions(members[path]) for path in of_data}
    data_below: dict[str, list[_Dimensions]] = {path: [] for path in groups}
    for path in of_data:
        for above in _above(path):
            data_below[above].append(placed[path])
    for path in sorted(groups, key=_depth):
        if path not in placed:
            around = [*data_below[path], *(placed[above] for above in _above(path))]
            unfit = _unfit(_dimensions(members[path]), around, names_below[path])
            members[path] = _renamed(members[path], unfit, path.rpartition("/")[2] or _ROOT, around)
            placed[path] = _dimensions(members[path])
    return {f"{path}/{name}".lstrip("/"): array for path in groups for name, array in members[path].items()}


def _above(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def _depth(path: str) -> int:
    return sum(1 for _ in _above(path))


def _dimensions(arrays: _Arrays) -> dict[str, _Dimension]:
    """The dimensions of the arrays of one group."""
    sizes = {dim: size for array in arrays.values() for dim, size in zip(array.dims, array.shape, strict=True)}
    indexed = {name for name, array in arrays.items() if array.dims == (name,)}
    return {dim: _Dimension(size, dim in indexed) for dim, size in sizes.items()}


def _unfit(own: _Dimensions, around: Iterable[_Dimensions], names_below: Collection[str]) -> list[str]:
    """Which dimensions of a group need other names."""
    inherited = {dim for dim, dimension in own.items() if dimension.is_indexed and dim in names_below}
    differing = {dim for other in around for dim in own.keys() & other.keys() if not own[dim].fits(other[dim])}
    return [dim for dim in own if dim in inherited | differing]


def _renamed(
    arrays: dict[str, ZarrArray], unfit: Collection[str], group: str, around: Iterable[_Dimensions]
) -> dict[str, ZarrArray]:
    """The arrays of a group with other names for some dimensions."""
    if not unfit:
        return arrays
    taken = {*arrays, *_dimensions(arrays)}.union(*around)
    names: dict[str, str] = {}
    for dim in unfit:
        names[dim] = free_name(f"{group}_{dim}", taken)
        taken.add(names[dim])
    return {name: replace(each, dims=tuple(names.get(dim, dim) for dim in each.dims)) for name, each in arrays.items()}
