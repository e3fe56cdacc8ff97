"""Opening a file: what is asked for is found, described, and given its tree.

What xarray's engine and the functions of this package have in common, before any of it is xarray's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from nexus_xr.diagnostics import MISSING, Code, Diagnostics
from nexus_xr.errors import NexusError, NexusFileError, NexusPathError, listed, warn_once
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.nexus.classes.table import DEFINITIONS, class_of
from nexus_xr.nexus.output.hyperspy_metadata import BESIDE_ORIGINAL, has_collections, restored_metadata
from nexus_xr.nexus.output.tree_nodes import tree_of_data
from nexus_xr.nexus.rules.attributes import text
from nexus_xr.nexus.rules.content import GroupContent, free_name, read_content
from nexus_xr.nexus.rules.detector_segments import join_segments
from nexus_xr.nexus.rules.growing import at_common_length
from nexus_xr.nexus.rules.nxdata import NXdata, apply_rules
from nexus_xr.nexus.rules.reserved import METADATA_GROUP
from nexus_xr.nexus.tree.find import (
    absolute,
    as_keys,
    candidates,
    declared_data,
    default_data,
    definition_of,
    entry_of,
    explain_path,
    instruments,
    matching,
    with_default_signal,
)
from nexus_xr.nexus.tree.metadata import MetadataGroup, select_metadata, without_arrays
from nexus_xr.nexus.tree.scan import Found, Scan, Walk, is_in_tree, remainder

from .options import Options

_Description = TypeVar("_Description")
# How long to wait, each time that a file changed while it was described; to change one takes less than all together.
_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.05, 0.05, 0.05)


@dataclass(frozen=True)
class Described:
    """The data of a group, or of one of its datasets, with what it was found in."""

    found: Found
    data: NXdata
    content: GroupContent
    group: Group


def describe_with(
    work: Callable[[Opening], _Description],
    file: File,
    options: Options,
    way: str = "dataset",
    did_grow: frozenset[str] = frozenset(),
) -> _Description:
    """Open a file for as long as it is described; at the end one warning lists what could not be honoured.

    What links and virtual datasets name and isn't there is an error instead, where the options say so.
    """
    description, diagnostics = examine_with(work, file, options, way, did_grow)
    missing = diagnostics.having(MISSING)
    if missing and options.missing == "raise":
        raise NexusFileError(
            f"{file.name}: what it is made of is missing:\n{listed(map(str, missing), len(missing))}\n"
            'put it where it belongs, or open the file with missing="fill"'
        )
    warn_once(f"{file.name} opened, but not all that it says could be honoured", diagnostics)
    return description


def examine_with(
    work: Callable[[Opening], _Description],
    file: File,
    options: Options,
    way: str = "dataset",
    did_grow: frozenset[str] = frozenset(),
) -> tuple[_Description, Diagnostics]:
    """Open a file for as long as it is described; gives what could not be honoured beside the description.

    Where the file changed meanwhile, in whatever way that shows, the work is done once more, a number of times. A file
    that was read from before has to be as it was then.
    """
    if file.is_read_from:
        return _examine(work, file, options, way, did_grow)
    for pause in _PAUSES:
        try:
            description, diagnostics = _examine(work, file, options, way, did_grow)
            if not tuple(diagnostics) or not file.is_unsettled:
                return description, diagnostics
        except NexusError:
            if not file.is_unsettled:
                raise
        time.sleep(pause)
        file = file.anew(is_beside_writers=file.policy.is_beside_writers)
    return _examine(work, file, options, way, did_grow)


def _examine(
    work: Callable[[Opening], _Description], file: File, options: Options, way: str, did_grow: frozenset[str]
) -> tuple[_Description, Diagnostics]:
    """Examine a file once.

    Where something turns out to be written by another process, the work is done once more, as that one's reader.
    """
    diagnostics = Diagnostics()
    try:
        with described(file, diagnostics) as root:
            description = work(Opening(file, root, options, way, did_grow))
    except NexusError:
        if not _needs_to_join_writers(file, diagnostics):
            raise
        return _examine(work, file.anew(is_beside_writers=True), options, way, did_grow)
    except Exception as error:
        if not _is_of_h5py(error):
            raise
        raise NexusFileError(f"{file.name}: can't be read ({error}); the file is damaged, copy it again") from error
    finally:
        file.close()
    if _needs_to_join_writers(file, diagnostics):
        return _examine(work, file.anew(is_beside_writers=True), options, way, did_grow)
    return description, diagnostics


def _is_of_h5py(error: Exception) -> bool:
    """Whether h5py raised an error, which may be of nearly any type by what is broken in a file."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and "h5py" in last.tb_frame.f_code.co_filename


def _needs_to_join_writers(file: File, diagnostics: Diagnostics) -> bool:
    can_join = file.is_local and not file.policy.is_beside_writers
    return can_join and bool(diagnostics.having({Code.BEING_WRITTEN}))


@dataclass
class Opening:
    """A file while it is open to be described.

    Parameters
    ----------
    file, root
        The file and its root group.
    options, way
        How, and as what, it is opened.
    did_grow
        Paths of fields that were being written, and could grow, when they were opened first.
    """

    file: File
    root: Group
    options: Options
    way: str
    did_grow: frozenset[str] = frozenset()
    _entry_trees: dict[str, MetadataGroup] = field(default_factory=dict)
    _contents: dict[str, tuple[Group, GroupContent]] = field(default_factory=dict)
    _met: dict[str, Group] = field(default_factory=dict)

    @property
    def diagnostics(self) -> Diagnostics:
        """What of it could not be honoured, so far."""
        return self.root.diagnostics

    # --- finding -------------------------------------------------------------------------------------------

    @cached_property
    def start(self) -> Group:
        """The group that `group` names, by default the root."""
        return self.root if self.options.group is None else self.group_at(self.options.group)

    def group_at(self, path: str) -> Group:
        member = self.root.find(absolute(path))
        if not isinstance(member, Group):
            raise self._nothing_at(path, "name a group that is there")
        return member

    def _nothing_at(self, path: str, advice: str) -> NexusPathError:
        return NexusPathError(f"{self.file.name}: no {path!r}: {explain_path(self.root, path)}; {advice}")

    @cached_property
    def whole(self) -> Scan:
        """Everything from `start` on, with its tree."""
        return self._walk.through(self.start)

    @property
    def nodes(self) -> Mapping[str, MetadataGroup]:
        """The trees of groups that were nodes of a tree, and hold no data, by path."""
        return self._walk.nodes

    @cached_property
    def _walk(self) -> Walk:
        return self._walk_with(self.file, self._met if self._wants_all else None)

    def _walk_with(self, file: File | None, met: dict[str, Group] | None = None) -> Walk:
        return Walk(self.root, file, self.options.hardlinks_only, nodes_apart=True, met=met)

    @property
    def _wants_all(self) -> bool:
        """Whether what is opened is all that there is, with its trees."""
        return self.way == "tree" or (self.way == "signals" and not self.options.selects)

    @cached_property
    def found(self) -> list[Found]:
        """Everything below `start` that could be opened."""
        scanned = self.whole if self._wants_all else self._walk_with(None).through(self.start)
        return list(scanned.found)

    def one(self) -> Found:
        """The one thing that the options select, or an error that lists what there is."""
        options = self.options
        if not options.selects and options.group is not None:
            return self.at(options.group)
        if not options.selects and options.use_default and (default := self._default()) is not None:
            return default
        selected = self.selected()
        groups = [item for item in selected if item.is_group]
        if not groups and not options.selects:
            groups = self._only_instrument(selected) or self._only_table(selected)
        chosen = groups or selected
        if len(chosen) == 1:
            return chosen[0]
        raise self._not_one(chosen)

    def _only_instrument(self, found: list[Found]) -> list[Found]:
        """The detector or monitor in a file without NXdata, where there is just one with a signal."""
        found_instruments = instruments(self.root, found)
        if len(found_instruments) != 1:
            return []
        [group] = found_instruments
        message = "there is no NXdata; took this, the only detector or monitor with a signal"
        self.diagnostics.add(Code.NXDATA_MISSING_FOR_INSTRUMENT, group.path, message)
        return [Found(group.path, True)]

    def _only_table(self, found: list[Found]) -> list[Found]:
        """The group that all datasets of a file without NXdata are in, where they are the columns of a table."""
        offered = candidates(self.root, found)
        if len(offered) != 1 or not offered[0].is_group:
            return []
        message = "there is no NXdata; took this, the only group with data"
        self.diagnostics.add(Code.NXDATA_MISSING_FOR_TABLE, offered[0].path, message)
        return [Found(offered[0].path, True)]

    def _default(self) -> Found | None:
        """The default plot; where there is none, or it lies behind a link that is left alone, the first data."""
        default = default_data(self.root, self.root)
        found = None if default is None else Found(default.path, True)
        if found is None or (self.options.hardlinks_only and not self._is_found(found)):
            return next((item for item in self.found if item.is_group), None)
        return found

    def _is_found(self, group: Found) -> bool:
        """Whether a walk meets a group of data, or the datasets of another group."""
        return group in self.found or any(each.path.rpartition("/")[0] == group.path for each in self.found)

    def selected(self) -> list[Found]:
        """All that the options select, each once; a path that is not there is an error."""
        options = self.options
        if not options.selects:
            return self.found
        exact = [self.at(path) for path in options.paths]
        by_key = matching(self.found, options.keys) if options.keys else []
        return list(dict.fromkeys([*exact, *by_key]))

    def _not_one(self, selected: list[Found]) -> NexusPathError:
        options = self.options
        selector = ", ".join(
            f"{name}={value!r}"
            for name, value in (
                ("group", options.group),
                ("dataset_path", options.dataset_path),
                ("dataset_key", options.dataset_key),
                ("hardlinks_only", options.hardlinks_only or None),
            )
            if value is not None
        )
        name = self.file.name
        if selected:
            are_groups = selected[0].is_group
            what = "NXdata groups" if are_groups else "datasets, in no NXdata group"
            chosen = f"{selector} matches" if options.selects else "the file has"
            offered = (candidate.words for candidate in candidates(self.root, selected))
            there_are = listed((item.path for item in selected) if are_groups else offered)
            return NexusPathError(
                f"{name}: {chosen} {len(selected)} {what}:\n{there_are}\n"
                "choose one with dataset_path, or open them all with xarray.open_datatree or nexus_xr.open_signals"
            )
        if not self.found:
            return NexusPathError(
                f"{name}: {self.start.path} holds no NXdata group and no dataset of two or more elements; "
                "nexus_xr.read_metadata reads what it holds"
            )
        paths = listed(item.path for item in self.found)
        return NexusPathError(f"{name}: nothing matches {selector}; there are:\n{paths}")

    def at(self, path: str) -> Found:
        """The data at exactly this path: a group of data, or a dataset."""
        path = absolute(path)
        member = self.root.find(path)
        if isinstance(member, Dataset):
            if member.why_no_array is None:
                return Found(path, False)
            way_out = "xarray.open_datatree has it among the attrs of its group"
            raise NexusPathError(f"{self.file.name}: {path} {member.why_no_array}; {way_out}")
        if not isinstance(member, Group):
            raise self._nothing_at(path, "name an NXdata group or a dataset that is there")
        attributes = member.read_attributes()
        if class_of(attributes).holds_data or isinstance(member.get(text(attributes.get("signal")) or ""), Dataset):
            return Found(path, True)
        default = default_data(self.root, member)
        if default is not None:
            return Found(default.path, True)
        described = self.describe(Found(path, True))
        content = described.content
        holds_arrays = content.growing or any(math.prod(field.shape) > 1 for field in content.fields.values())
        if described.data.signal is not None or holds_arrays:
            return Found(path, True)
        raise NexusPathError(f"{self.file.name}: the group {path} holds no data; choose another with dataset_path")

    def several(self) -> list[Found]:
        """Everything that the options select; nothing is an error where something was asked for."""
        if self.options.use_default and (default := self._declared_default()) is not None:
            return [default]
        selected = self.selected()
        if self.options.selects and not selected:
            raise self._not_one([])
        return selected

    def _declared_default(self) -> Found | None:
        """The default plot of a file that declares one."""
        default = declared_data(self.root, self.start)
        return None if default is None else Found(default.path, True)

    # --- describing -----------------------------------------------------------------------------------------

    def describe(self, found: Found) -> Described:
        """The data of a group, or of a dataset with the axes that its group gives it."""
        group, content = self.content_of(found)
        diagnostics = Diagnostics()
        if found.is_group:
            content = with_default_signal(self.root, group, content)
            content = class_of(content.attributes).as_data(join_segments(content, diagnostics))
            for definition in DEFINITIONS:
                if definition.concerns(content) and definition.is_meant_by(definition_of(self.root, group)):
                    content = definition.as_data(content)
        signal = None if found.is_group else found.path.rsplit("/", 1)[1]
        content = at_common_length(content, signal, diagnostics)
        data = apply_rules(content, signal)
        if met := tuple(diagnostics):
            data = replace(data, diagnostics=(*met, *data.diagnostics))
        return Described(found, data, content, group)

    def content_of(self, found: Found) -> tuple[Group, GroupContent]:
        """The group that something is, or is in, and what that contains; read once."""
        path = found.path if found.is_group else found.path.rsplit("/", 1)[0] or "/"
        if path not in self._contents:
            group = self._met.get(path) or self.group_at(path)
            group.remember()
            self._contents[path] = (group, read_content(group, self.did_grow))
        return self._contents[path]

    # --- the tree -------------------------------------------------------------------------------------------

    def entry_tree(self, entry: Group) -> MetadataGroup:
        """The tree of an entry."""
        if entry.path not in self._entry_trees:
            scanned = self._walk.passed(entry) or self._walk_with(self.file).through(entry)
            self._entry_trees[entry.path] = scanned.tree
        return self._entry_trees[entry.path]

    def restored(self, entry: Group) -> MetadataGroup | None:
        """The metadata of an entry as they were, where its tree isn't these but holds them; None of other entries."""
        is_so = has_collections(entry.read_attributes(), self.root.read_attributes())
        return restored_metadata(self.entry_tree(entry)) if is_so else None

    def left_over(self, described: Described) -> MetadataGroup:
        """What a described group holds beyond its variables."""
        fields = [variable.field for variable in described.data.variables]
        used = (each for name in fields for each in (described.content.fields[name].segments or (name,)))
        tree = remainder(described.group, self.file, used)
        attributes = described.content.attributes
        stored_in = text(attributes.get(METADATA_GROUP))
        return tree if stored_in is None else tree_of_data(tree, stored_in)

    def with_left_over(self, entry: Group, tree: MetadataGroup, described: Described) -> MetadataGroup:
        """The entry's tree with what the opened group holds beyond its variables, at its own place."""
        below = described.group.path.removeprefix(entry.path).strip("/")
        if not below or not described.found.is_group or is_in_tree(described.content.attributes):
            return tree
        keys = _keys(tree, below.split("/"))
        above, _, name = described.group.path.rpartition("/")
        if keys[-1] != name:
            self.diagnostics.add(Code.MEMBER_RENAMED, above or "/", f"its member {name!r} stands under {keys[-1]!r}")
        return _placed(tree, keys, self.left_over(described))

    def narrowed(self, tree: MetadataGroup, path: str, beside: Container[str] = ()) -> MetadataGroup:
        """The part of a tree that the options want; members beside what keys choose from stay whole."""
        if keys := as_keys(self.options.metadata_key):
            kept = {name: member for name, member in tree.items() if name in beside}
            tree = MetadataGroup({**select_metadata(tree, keys, path), **kept})
        return MetadataGroup(without_arrays(tree) if self.options.skip_array_metadata else tree)

    def attrs(self, described: Described) -> MetadataGroup:
        """The attrs of one Dataset, which are its own: the tree of its entry, or what that restores of HyperSpy's."""
        entry = entry_of(self.root, described.group)
        restored = self.restored(entry)
        if restored is None:
            return self.narrowed(self.with_left_over(entry, self.entry_tree(entry), described), entry.path)
        return self.narrowed(restored, entry.path, BESIDE_ORIGINAL)


def _keys(tree: Mapping[str, Any], below: list[str]) -> list[str]:
    """The names of a path as a tree has them, in which a group's attributes take the name of a member called so."""
    name, *deeper = below
    if name == "attrs":
        name = "attrs_" if deeper else free_name("attrs_", tree)
    inner = tree.get(name)
    return [name, *(_keys(inner if isinstance(inner, MetadataGroup) else {}, deeper) if deeper else ())]


def _placed(tree: Mapping[str, Any], below: list[str], member: MetadataGroup) -> MetadataGroup:
    """A copy of a tree with a member at a path."""
    name, *deeper = below
    placed = MetadataGroup(tree)
    if deeper:
        inner = tree.get(name)
        member = _placed(inner if isinstance(inner, MetadataGroup) else MetadataGroup(), deeper, member)
    if len(member):
        placed[name] = member
    return placed
