"""Which data of a file is meant: the default plot, an exact path, or what a key matches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import SystemFaultError
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.paths import parent_of
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error
from nexus_xr.nexus.classes.nxdata import NXDATA
from nexus_xr.nexus.classes.table import OFFERED, OTHER, class_of
from nexus_xr.nexus.rules.attributes import names, nx_class, text
from nexus_xr.nexus.rules.content import GroupContent, read_content
from nexus_xr.nexus.rules.detector_segments import join_segments
from nexus_xr.nexus.rules.signal import declares_signal, find_signal

from .scan import Found

Keys = str | Sequence[str] | None
Member = Group | Dataset | Link | None


def as_keys(keys: Keys) -> tuple[str, ...]:
    """Selectors as a tuple, from one string or several.

    Examples
    --------
    >>> as_keys("EDS"), as_keys(["EDS", "Fe"]), as_keys(None)
    (('EDS',), ('EDS', 'Fe'), ())
    """
    if keys is None:
        return ()
    if isinstance(keys, str):
        return (keys,)
    if not all(isinstance(key, str) for key in keys):
        raise TypeError(f"expected a string or a list of strings, found {keys!r}")
    return tuple(keys)


def absolute(path: str) -> str:
    """A path in the file from its root on, without repeated or trailing slashes.

    Examples
    --------
    >>> absolute("entry//data/"), absolute("/")
    ('/entry/data', '/')
    """
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def matching(found: Sequence[Found], keys: Sequence[str]) -> list[Found]:
    """What has one of the keys in its path."""
    return [item for item in found if any(key in item.path for key in keys)]


def default_data(root: Group, start: Group | None = None) -> Group | None:
    """The group that is the default plot of a file, or of one of its groups.

    Version 3 of finding the plottable data: the chain of ``@default`` attributes. Versions 2 and 1: the first
    NXdata that declares its signal, of the first NXentry that has one. Then the first one whose signal can be guessed,
    then the first NXdata of the first NXentry, and at last the first NXdata of any group.

    Parameters
    ----------
    root
        The root group.
    start
        The group to begin at; the root where it is None.
    """
    start = start or root
    if class_of(start.read_attributes()).holds_data:
        return start
    entries = _entries(root) if start is root else []
    for origin in (start, *entries):
        if (declared := declared_data(root, origin)) is not None:
            return declared
    return _nearest_data(root, [*entries, start])


def declared_data(root: Group, start: Group) -> Group | None:
    """The group to which ``@default`` leads from a group, or the nearest data below that; None where there is neither.

    A group that is no NXdata is meant as well, where it says what its signal is.
    """
    reached = _declared_default(root, start)
    if reached is None:
        return None
    found = reached if _can_be_plotted(root, reached) else _nearest_data(root, [reached])
    if found is None:
        reached.report(Code.DEFAULT_MISSING, "a @default leads here, where there is no data to plot")
    return found


def with_default_signal(root: Group, group: Group, content: GroupContent) -> GroupContent:
    """A group that declares no signal with the field that ``@default`` names, its own or that of a group above it."""
    if declares_signal(content):
        return content
    for above in _down_to(root, group.path):
        declared = text(above.read_attributes().get("default")) or ""
        member, holder = _at_default(root, above, declared)
        name = declared.rpartition("/")[2]
        if isinstance(member, Dataset) and isinstance(holder, Group) and holder.address == group.address:
            return replace(content, attributes={**content.attributes, "signal": name})
    return content


def instruments(root: Group, found: Iterable[Found]) -> list[Group]:
    """The detectors and monitors among the groups of datasets that declare a signal, or have a field ``data``."""
    return [group for group in _groups_of(root, found) if _measures(group)]


@dataclass(frozen=True)
class Candidate:
    """Something to choose in a file without NXdata.

    Parameters
    ----------
    path
        Path of a dataset, or of a group of datasets.
    is_group
        Whether it is a group.
    words
        The path, and what is there.
    """

    path: str
    is_group: bool
    words: str


def candidates(root: Group, found: Iterable[Found]) -> list[Candidate]:
    """What there is to choose from among datasets in no NXdata group.

    Detectors and monitors, then other groups whose datasets are columns of a table, then logs, then each dataset of
    the other groups.
    """
    by_group: dict[str, list[Found]] = {}
    for item in found:
        by_group.setdefault(parent_of(item.path), []).append(item)
    ranked: list[tuple[int, Candidate]] = []
    for path, items in by_group.items():
        group = root.find(path)
        attributes = group.read_attributes() if isinstance(group, Group) else {}
        kind, columns = class_of(attributes), _columns(root, items)
        if columns or (kind in OFFERED and kind is not OTHER):
            rank = OFFERED.index(kind if kind in OFFERED else OTHER)
            words = f"{path} ({nx_class(attributes) or OTHER.name}{columns})"
            ranked.append((rank, Candidate(path, True, words)))
        else:
            ranked += [(len(OFFERED), Candidate(item.path, False, item.path)) for item in items]
    return [candidate for _, candidate in sorted(ranked, key=lambda each: each[0])]


def _declared_default(root: Group, start: Group) -> Group | None:
    """Where the chain of ``@default`` attributes leads from a group, None where it has none or leads nowhere."""
    group = start
    visited = {group.address}
    while (declared := text(group.read_attributes().get("default"))) and declared != ".":
        member, holder = _at_default(root, group, declared)
        if isinstance(member, Dataset):  # some writers name the signal itself
            member = holder
            if isinstance(member, Group) and member.address == group.address:
                break
        if not isinstance(member, Group) or member.address in visited:
            group.report(Code.DEFAULT_MISSING, f"@default names {declared!r}, which is no group below it")
            break
        visited.add(member.address)
        group = member
    return group if group is not start else None


def _at_default(root: Group, group: Group, declared: str) -> tuple[Member, Member]:
    """What ``@default`` of a group names, and what holds that."""
    origin = root if declared.startswith("/") else group
    return origin.find(declared), origin.find(declared.rpartition("/")[0])


def _can_be_plotted(root: Group, group: Group) -> bool:
    """Whether a group that ``@default`` names is data: by its class, or by the signal that it has."""
    if class_of(group.read_attributes()).holds_data:
        return True
    content = _as_data(root, group)
    return declares_signal(content) and find_signal(content, Diagnostics()) is not None


def _as_data(root: Group, group: Group) -> GroupContent:
    content = with_default_signal(root, group, read_content(group))
    return class_of(content.attributes).as_data(join_segments(content, Diagnostics()))


def _nearest_data(root: Group, starts: Iterable[Group]) -> Group | None:
    """The first data below groups: of what declares its signal, else of that whose signal can be guessed, else any."""
    guessed: Group | None = None
    without_signal: Group | None = None
    for start in starts:
        for group in _data_groups(root, start):
            content = _as_data(root, group)
            if find_signal(content, Diagnostics()) is None:
                without_signal = without_signal or group
            elif declares_signal(content):
                return group
            else:
                guessed = guessed or group
    return guessed or without_signal


def _groups_of(root: Group, found: Iterable[Found]) -> Iterator[Group]:
    """The groups of datasets, each once, whatever its names."""
    seen = set()
    for path in dict.fromkeys(parent_of(item.path) for item in found):
        group = root.find(path)
        if isinstance(group, Group) and group.address not in seen:
            seen.add(group.address)
            yield group


def _measures(group: Group) -> bool:
    if not class_of(group.read_attributes()).is_instrument:
        return False
    content = read_content(group)
    signal = find_signal(content, Diagnostics())
    is_declared = signal in content.signal_numbers or signal in names(content.attributes.get("signal"), content.fields)
    return signal is not None and (is_declared or signal == "data") and math.prod(content.fields[signal].shape) > 1


def _columns(root: Group, items: Sequence[Found]) -> str:
    """How many columns of which length datasets are, in words; nothing where they are none, or no lists among them."""
    members = [root.find(item.path) for item in items]
    shapes = [member.shape for member in members if isinstance(member, Dataset) and member.shape]
    has_lists = any(len(shape) == 1 for shape in shapes)
    lengths = {shape[0] for shape in shapes}
    is_table = len(items) > 1 and len(shapes) == len(items) and has_lists and len(lengths) == 1
    return f" of {len(items)} columns of {lengths.pop()}" if is_table else ""


def _entries(root: Group) -> list[Group]:
    groups = [member for _, member, _ in root.members() if isinstance(member, Group)]
    return [group for group in groups if nx_class(group.read_attributes()) == "NXentry"]


def _data_groups(root: Group, start: Group) -> Iterator[Group]:
    """Groups of data below a group, the nearest first, those of class NXdata before others.

    Of a group that has a ``@default`` of its own, as an NXsubentry may, what that names comes first.
    """
    waiting = deque([start])
    visited = {start.address}
    while waiting:
        above = waiting.popleft()
        declared = _declared_default(root, above)
        if declared is not None and _can_be_plotted(root, declared):
            yield declared
        others = []
        for _, member, _ in above.members():
            if isinstance(member, Group) and member.address not in visited:
                visited.add(member.address)
                waiting.append(member)
                kind = class_of(member.read_attributes())
                if kind.name == NXDATA.name:
                    yield member
                elif kind.holds_data:
                    others.append(member)
        yield from others


def definition_of(root: Group, group: Group) -> str | None:
    """The application definition that the nearest entry above a group says to be written by, None without one."""
    above = (each.get("definition") for each in reversed(_down_to(root, group.path)[:-1]))
    field = next((each for each in above if isinstance(each, Dataset) and each.size == 1), None)
    try:
        return None if field is None else text(read_whole(field))
    except SystemFaultError:
        raise
    except AnyHdf5Error:  # of which the tree tells
        return None


def entry_of(root: Group, group: Group) -> Group:
    """The group whose tree goes with the data of a group: the outermost NXentry that holds it.

    Without an NXentry it is the top-level group that holds it, and for an NXdata group at the top level the root.
    """
    _, *above = _down_to(root, group.path)
    if above and class_of(group.read_attributes()).holds_data:
        del above[-1]
    entry = next((one for one in above if nx_class(one.read_attributes()) == "NXentry"), None)
    return entry or (above[0] if above else root)


def _down_to(root: Group, path: str) -> list[Group]:
    """The groups from the root down to a path."""
    groups = [root]
    for name in filter(None, absolute(path).split("/")):
        member = groups[-1].get(name)
        if not isinstance(member, Group):
            break
        groups.append(member)
    return groups


def explain_path(root: Group, path: str) -> str:
    """Say how far a path that leads nowhere can be followed, and what is there."""
    group = root
    for name in filter(None, absolute(path).split("/")):
        member = group.get(name)
        if isinstance(member, Link):
            return f"{group.member_path(name)} is a link to {member}, which {member.trouble}"
        trouble = None if member is not None else _trouble(group, name)
        if trouble is not None:
            return f"{group.member_path(name)} {trouble}"
        if not isinstance(member, Group):
            what = "is a dataset" if isinstance(member, Dataset) else "is not there"
            return (
                f"{group.member_path(name)} {what}; {group.path} holds {', '.join(sorted(_names(group))) or 'nothing'}"
            )
        group = member
    return f"{group.path} is a group"


def _trouble(group: Group, name: str) -> str | None:
    """What was reported of a member that is left out, None where nothing was."""
    path = group.member_path(name)
    return next((each.message for each in group.diagnostics if each.path == path), None)


def _names(group: Group) -> list[str]:
    found = [name for name, _, _ in group.members()]
    return found if len(found) <= 20 else [*found[:20], f"... {len(found) - 20} more"]
