"""What of a group of data is new or different, as edits of the file that it came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from nexus_xr.arrays.edges import bounds_beside, bounds_in, bounds_named, edges_to_bounds, edges_told, why_no_edges
from nexus_xr.arrays.stale_bounds import stale_bounds
from nexus_xr.arrays.uncertainties import WHY_DOUBTFUL, called_after_owners, doubtful, without_uncertainties
from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.writing.creation import SMALL_BYTES
from nexus_xr.hdf5.writing.stored_anew import StoredAnew
from nexus_xr.nexus.output.claims import true_of_data
from nexus_xr.nexus.output.edits import Edit, attribute_edits, is_stored_as
from nexus_xr.nexus.output.entry import DataField, data_group
from nexus_xr.nexus.output.nodes import FieldNode, Skip
from nexus_xr.nexus.rules.attributes import names
from nexus_xr.nexus.rules.reserved import ANCILLARY, COORDINATES, DTYPE, ERRORS, INDICES, owner_of, recorded_dtype
from nexus_xr.nexus.rules.variables import Role, Variable
from nexus_xr.opening.arrays import origin_of, same_origin
from nexus_xr.opening.fields.stored import stored_array
from nexus_xr.opening.select import Described, Opening
from nexus_xr.opening.session import assemble
from nexus_xr.writing.fields.blockwise import LazyVariable
from nexus_xr.writing.fields.comparison import first_difference
from nexus_xr.writing.fields.storage import Storing
from nexus_xr.writing.fields.variables import fields_of


@dataclass(frozen=True)
class Rules:
    """What the user asks for.

    Parameters
    ----------
    with_metadata
        Whether changes of the tree in ``attrs`` count.
    skip
        Tells of a path whether it is left as it is.
    storing
        How arrays are to be stored; those that are stored otherwise count as changed.
    diagnostics
        Is given what can't be stored, and why.
    """

    with_metadata: bool
    skip: Skip
    storing: Storing
    diagnostics: Diagnostics


class DataUpdate:
    """A group of data as it is in the file, and the Dataset that it is to be."""

    def __init__(self, opening: Opening, described: Described, now: xr.Dataset, rules: Rules) -> None:
        self.opening = opening
        self.group = described.group
        self.data = described.data
        self.attributes = described.content.attributes
        self.fields = described.content.fields
        # Also what was left out at opening: it is in the file.
        whole = replace(opening, options=replace(opening.options, drop_variables=None))
        self.before = assemble(whole, described)
        self.indexed = {name for name, index in now.xindexes.items() if bounds_in(index) is not None}
        self.now = edges_to_bounds(called_after_owners(without_uncertainties(now)))
        self.rules = rules

    def _report_doubtful(self) -> None:
        for owner, name in doubtful(self.now, self.now.attrs).items():
            path = self.group.member_path(str(name))
            self.rules.diagnostics.add(Code.ERRORS_DOUBTFUL, path, WHY_DOUBTFUL.format(owner))

    def edits(self) -> Iterator[Edit]:
        """What is to be done to the group and its fields."""
        self._report_doubtful()
        known = {each.name: each for each in self.data.variables}
        bounds = {each.bounds for each in known.values()}
        skip = self.rules.skip
        wanted = [str(name) for name in self.now.variables if name not in bounds]
        wanted = [name for name in wanted if not skip(self.group.member_path(name))]
        for name in wanted:
            if name in known:
                yield from self._edits_of(known[name])
        new = [name for name in wanted if name not in known]
        if new:
            yield from self._added(new)
        if self.data.signal in wanted and self.data.signal in known:
            yield from self._told_anew(known[self.data.signal])

    def _edits_of(self, variable: Variable) -> Iterator[Edit]:
        path = self.group.member_path(variable.field)
        before, now = self.before.variables[variable.name], self.now.variables[variable.name]
        if not self._is_unchanged(variable.name) or (variable.bounds and not self._is_unchanged(variable.bounds)):
            yield from self._replaced(variable, path)
        elif not self.rules.storing.keeps_source:
            yield from self._stored_otherwise(variable, path)
        old, new = ({key: each.attrs[key] for key in each.attrs if key != "bounds"} for each in (before, now))
        yield from attribute_edits(old, new, path, self.rules.diagnostics)

    def _told_anew(self, signal: Variable) -> Iterator[Edit]:
        """What the group and the signal say of its dimensions, where these are others than before."""
        before, now = self.before.variables[signal.name], self._in_order(signal.name)
        if set(now.dims) == set(before.dims):
            return
        present = {name: DataField(FieldNode(None), _dims(each), name in self.now.coords) for name, each in self._own()}
        told = data_group(signal.name, present).attributes
        attributes = {name: told[name] for name in told if name == "axes" or name.endswith(INDICES)}
        untrue = {name for name in self.attributes if name == "axes" or name.endswith(INDICES)} - attributes.keys()
        yield Edit(self.group.path, None, attributes, untrue)
        spans = {name: each.dims for name, each in present.items() if each.is_coordinate}
        true = true_of_data(now.attrs, _dims(now), True, spans, {*self.fields, *present})
        yield Edit(self.group.member_path(signal.field), None, {}, now.attrs.keys() - true.keys() - {"target"})

    def _own(self) -> Iterator[tuple[str, xr.Variable]]:
        bounds = {each.bounds for each in self.data.variables}
        return ((name, self._in_order(name)) for name in map(str, self.now.variables) if name not in bounds)

    def _in_order(self, name: str) -> xr.Variable:
        """A variable with its dimensions in their order in the file; a new one has that of what it belongs to."""
        now, there = self.now.variables[name], self.before.variables
        known = name if name in there else owner_of(name, ERRORS, there) or self.data.signal
        order = () if known is None else there[known].dims
        ordered = [dim for dim in order if dim in now.dims]
        return now.transpose(*ordered) if sorted(ordered, key=str) == sorted(now.dims, key=str) else now

    def _is_unchanged(self, name: str) -> bool:
        """Whether a variable has the values of the file; those that would have to be computed count as others."""
        if name not in self.now.variables:
            return True
        before, now = self.before.variables[name], self._in_order(name)
        if same_origin(before, now):
            return True
        is_text = before.dtype.kind in "OU" and now.dtype.kind in "OU"
        if before.shape != now.shape or (before.dtype != now.dtype and not is_text) or hasattr(now._data, "dask"):
            return False
        return first_difference(LazyVariable(now), LazyVariable(before), False) is None

    def _replaced(self, variable: Variable, path: str) -> Iterator[Edit]:
        """The field with the values of the Dataset."""
        if "scale_factor" in self.before.variables[variable.name].encoding:
            self.rules.diagnostics.add(
                Code.SCALED_IN_FILE,
                path,
                f"is scaled by {(variable.scaling and variable.scaling.factor) or 'its offset'!r} in the file; "
                "open it with mask_and_scale=False to change it",
            )
            return
        if self.opening.options.decode_times and self.before.variables[variable.name].dtype.kind == "M":
            message = "are numbers or text in the file; open it with decode_times=False to change them"
            self.rules.diagnostics.add(Code.TIMES_DECODED, path, message)
            return
        bounds = bounds_named(self.before.variables[variable.name])
        own = [name for name in (variable.name, bounds) if name is not None and name in self.now.variables]
        dataset = xr.Dataset({name: self._in_order(name).to_base_variable() for name in own})
        why = self._why_no_bins(dataset, variable) if bounds in self.before.variables else None
        if why is not None:
            message = (
                f"has edges or bounds of bins in the file, and {why}; give it some (see assign_edges, and "
                "bounds_to_edges where those beside it are right)"
            )
            self.rules.diagnostics.add(Code.BOUNDS_MISSING, path, message)
            return
        node = fields_of(dataset, self.group.path, self._storing(variable), self.rules.diagnostics).get(variable.name)
        if node is not None:
            yield self._with_marks(Edit(path, node.node, keeps_storage=self.rules.storing.keeps_source), variable)

    def _why_no_bins(self, dataset: xr.Dataset, variable: Variable) -> str | None:
        """Why a coordinate no longer has what the file says of its bins, edges, or bounds as a field of their own.

        Of one that is a single value no dimension has bins any more.
        """
        name = variable.name
        if not dataset.variables[name].ndim:
            return None
        bounds = bounds_beside(dataset, name)
        if bounds is None:
            return "what was computed has none"
        if name in stale_bounds(dataset) or (variable.bounds is None and self._are_beside_others(name, bounds)):
            return f"an operation has left {bounds!r} beside other values"
        return why_no_edges(dataset, name) if variable.bounds and edges_told(dataset, name) is None else None

    def _are_beside_others(self, name: str, bounds: str) -> bool:
        """Whether bounds are still the file's, and the values, which no index has with them, aren't."""
        if name in self.indexed or not self._is_unchanged(bounds):
            return False
        before, now = self.before.variables[name].values, self.now.variables[name].values
        are_numbers = before.dtype.kind in "iuf" and now.dtype.kind in "iuf"
        return not (are_numbers and np.array_equal(before.astype(now.dtype), now, equal_nan=now.dtype.kind == "f"))

    def _with_marks(self, edit: Edit, variable: Variable) -> Edit:
        """The same with the attributes that say what stored values stand for, and without those that no longer do."""
        assert isinstance(edit.node, FieldNode)
        stored = self.fields[variable.field]
        was = recorded_dtype(stored.attributes, stored.dtype) or stored.dtype
        were_times, are_times = was.kind in "mM", self.now.variables[variable.name].dtype.kind in "mM"
        is_foreign_text = is_text(stored.dtype) and DTYPE not in stored.attributes
        marks = {DTYPE, "units"} if are_times else set() if is_foreign_text else {DTYPE}
        told = {name: edit.node.attributes[name] for name in marks if name in edit.node.attributes}
        untrue = ({DTYPE, "units"} if were_times else {DTYPE}) & stored.attributes.keys() - told.keys()
        # Whatever else could hold their numbers, times are integers of 64 bits.
        keeps_storage = edit.keeps_storage and were_times == are_times
        return replace(edit, attributes=told, untrue=untrue, keeps_storage=keeps_storage)

    def _storing(self, variable: Variable) -> Storing:
        """How a variable of the file is to be stored, which stays exact where it belongs to data."""
        if variable.role.is_coordinate:
            return self.rules.storing.aside(self.before.variables[variable.name]).exact()
        return self.rules.storing.exact() if variable.role is Role.ERRORS else self.rules.storing

    def _stored_otherwise(self, variable: Variable, path: str) -> Iterator[Edit]:
        """The field as it is, with the chunks and filters that were asked for.

        Not one whose values are elsewhere, as those of varying length are.
        """
        before = self.before.variables[variable.name]
        origin = origin_of(before)
        if origin is None:
            return
        raw = stored_array(origin)
        if raw.nbytes <= SMALL_BYTES or raw.raw_dtype.hasobject or raw.layout is not None:
            return
        storing = self._storing(variable)
        chunks, filters = storing.chunk_shape(before), storing.filters(before)
        dataset = self.group.find(variable.field)
        if not isinstance(dataset, Dataset) or raw.file is not self.opening.file or dataset.is_virtual:
            return
        rank = len(dataset.extent)
        whole = (*chunks[:rank], *dataset.shape[rank:]) if chunks else None  # as an array datatype is in one piece
        node = FieldNode(StoredAnew(raw), {}, whole, filters if chunks else ())
        if not is_stored_as(dataset, node):
            yield Edit(path, replace(node, chunks=chunks and chunks[:rank]), keeps_storage=False)

    def _growing_dims(self) -> Iterator[str]:
        """The dimensions along which the file's variables have no end, so that new ones must not have one either."""
        for variable in self.data.variables:
            member = self.group.find(variable.field)
            if isinstance(member, Dataset):
                yield from (dim for dim, grows in zip(variable.dims, member.can_grow, strict=False) if grows)

    def _added(self, new: Sequence[str]) -> Iterator[Edit]:
        """Variables that the file hasn't, with the attributes by which NXdata tells what they are."""
        now, path = self.now.variables, self.group.path
        bounds = [now[name].attrs["bounds"] for name in new if now[name].attrs.get("bounds") in now]
        dataset = xr.Dataset({name: self._in_order(name).to_base_variable() for name in dict.fromkeys([*new, *bounds])})
        dataset = dataset.set_coords([name for name in dataset.variables if name in self.now.coords])
        storing = self.rules.storing
        storing = replace(storing, unlimited_dims={*storing.unlimited_dims, *self._growing_dims()})
        found = fields_of(dataset, path, storing, self.rules.diagnostics)
        fields = {name: replace(each, is_coordinate=name in self.now.coords) for name, each in found.items()}
        signal = self.data.signal or next(iter(fields), None)
        if signal is None:
            return
        known = {each.name: self._known(each.name) for each in self.data.variables}
        group = data_group(signal, known | fields)
        for name in fields:
            yield Edit(self.group.member_path(name), group.members[name])
        told = {name + INDICES for name in fields} & group.attributes.keys()
        attributes = {name: group.attributes[name] for name in told}
        for listing in ("auxiliary_signals", ANCILLARY, COORDINATES):
            added = [name for name in group.attributes.get(listing, ()) if name in fields]
            if added:
                attributes[listing] = [*names(self.attributes.get(listing)), *added]
        if self.data.signal is not None:
            yield from attribute_edits({}, attributes, path, self.rules.diagnostics)

    def _known(self, name: str) -> DataField:
        """A variable that the file has, where it stays also if the Dataset no longer has it."""
        if name in self.now.variables:
            return DataField(FieldNode(None), _dims(self._in_order(name)), name in self.now.coords)
        return DataField(FieldNode(None), _dims(self.before.variables[name]), name in self.before.coords)


def _dims(variable: xr.Variable) -> tuple[str, ...]:
    return tuple(map(str, variable.dims))
