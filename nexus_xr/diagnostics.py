"""What a file says and can't be honoured: a code, a path, the rule that it breaks, and words.

Who looks at a file is handed `Diagnostics`, which keeps what is met there. What comes of it, a warning or an error, is
for who opened or writes the file.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

_ATTRIBUTES = "HDF5: Attribute Message"
_LINKS = "HDF5: Link Message"
_LAYOUT = "HDF5: Data Layout Message"
_AXES = "NXdata: @axes"
_SIGNAL = "NXdata: @signal"
_SCALING = "NXdata: FIELDNAME_scaling_factor, FIELDNAME_offset"


class Code(StrEnum):
    """What can be the matter, by a name that stays; with the rule that is broken, "" for none, and what it means."""

    rule: str
    meaning: str

    def __new__(cls, name: str, rule: str, meaning: str) -> Code:
        code = str.__new__(cls, name)
        code._value_ = name
        code.rule = rule
        code.meaning = meaning
        return code

    __repr__ = str.__repr__

    # --- objects of HDF5 ---------------------------------------------------------------------------------------

    ATTRIBUTE_UNREADABLE = "attribute-unreadable", _ATTRIBUTES, "an attribute can't be read"
    ATTRIBUTES_UNLISTED = "attributes-unlisted", _ATTRIBUTES, "not all attributes of an object can be listed"
    BEING_WRITTEN = "being-written", "HDF5: Superblock, consistency flags", "only a reader beside its writer opens it"
    DATATYPE_UNREADABLE = "datatype-unreadable", "HDF5: Datatype Message", "the type of a dataset can't be read"
    LINK_KIND_UNKNOWN = "link-kind-unknown", _LINKS, "a link is of a kind that only its writer knows"
    LINK_TARGET_MISSING = "link-target-missing", _LINKS, "what a link leads to isn't there, or can't be opened"
    LINK_UNREADABLE = "link-unreadable", _LINKS, "where a link leads can't be read"
    MEMBER_UNREADABLE = "member-unreadable", _LINKS, "a member of a group can't be looked up"
    MEMBERS_UNLISTED = "members-unlisted", _LINKS, "not all members of a group can be listed"
    MEMBERS_UNORDERED = "members-unordered", "HDF5: Link Info Message", "the order of a group's members can't be told"
    NAME_CLASH = "name-clash", "HDF5: character sets of names", "two names differ in the file, and are the same text"
    NAMED_DATATYPE = "named-datatype", "", "a member of a group is a type, and no data"
    OBJECT_UNREADABLE = "object-unreadable", "HDF5: Data Object Headers", "an object can't be opened"
    OUT_OF_REACH = "out-of-reach", "", "what a link or a virtual dataset leads to may not be read"
    RAW_FILE_SHORT = (
        "raw-file-short",
        "HDF5: Data Storage - External Data Files Message",
        "a file of raw data ends before what is said to be in it",
    )
    SOURCE_MISSING = "source-missing", _LAYOUT, "a virtual dataset is made of what isn't there"
    STORAGE_UNKNOWN = "storage-unknown", _LAYOUT, "how a dataset is stored can't be told"
    VALUE_UNREADABLE = "value-unreadable", _LAYOUT, "a value of the tree can't be read"

    # --- the tree ----------------------------------------------------------------------------------------------

    DEFAULT_MISSING = "default-missing", "NeXus: @default", "`@default` names no group, or leads to no data"
    GROUP_HAS_MANY_NAMES = "group-has-many-names", "", "a group is reached by very many names"
    MEMBER_RENAMED = "member-renamed", "", "a member stands in the tree under another name"
    NO_NODE = "no-node", "", "a group can't be a node of a tree"
    NXDATA_MISSING_FOR_INSTRUMENT = (
        "nxdata-missing-for-instrument",
        "NXentry: NXdata",
        "there is no NXdata, and one detector or monitor with a signal",
    )
    NXDATA_MISSING_FOR_TABLE = (
        "nxdata-missing-for-table",
        "NXentry: NXdata",
        "there is no NXdata, and one group that is a table",
    )
    TOO_DEEP = "too-deep", "", "a group lies deeper than any real file's"

    # --- the signal --------------------------------------------------------------------------------------------

    AUXILIARY_SIGNAL_MISSING = (
        "auxiliary-signal-missing",
        "NXdata: @auxiliary_signals",
        "`@auxiliary_signals` names no field",
    )
    SEGMENTS_LEFT_OUT = "segments-left-out", "", "parts of a stack are missing, or unlike the others"
    SIGNAL_ABSENT = "signal-absent", _SIGNAL, "no signal is declared, and no field could be it"
    SIGNAL_AMBIGUOUS = "signal-ambiguous", _SIGNAL, "no signal is declared, and several fields could be it"
    SIGNAL_IS_GROUP = "signal-is-group", _SIGNAL, "`@signal` names a group"
    SIGNAL_MISSING = "signal-missing", _SIGNAL, "`@signal` names no field"
    SIGNAL_NOT_FIRST = "signal-not-first", "NXdata: DATA@signal", "no field has `@signal=1`, several have others"
    SIGNAL_SEVERAL = "signal-several", "NXdata: DATA@signal", "several fields have the same number in `@signal`"
    SIGNAL_UNDECLARED = "signal-undeclared", _SIGNAL, "no signal is declared, and one field is taken for it"
    SIGNAL_UNREADABLE = "signal-unreadable", _SIGNAL, "no signal is declared, and what may be it can't be read"

    # --- axes, uncertainties, scaling --------------------------------------------------------------------------

    AXES_REVERSED = "axes-reversed", _AXES, "axes are listed last dimension first"
    AXIS_INDICES_DIFFER = "axis-indices-differ", "NXdata: @AXISNAME_indices", "it says otherwise than the list of axes"
    AXIS_IS_SIGNAL = "axis-is-signal", _AXES, "the list of axes names the signal"
    AXIS_LISTED_AGAIN = "axis-listed-again", _AXES, "an axis is listed for more dimensions than it has itself"
    AXIS_MISSING = "axis-missing", _AXES, "the list of axes names no field"
    AXIS_NUMBER_WRONG = "axis-number-wrong", "NXdata: AXISNAME@axis", "`@axis` is the number of no dimension"
    AXIS_UNDECLARED = (
        "axis-undeclared",
        _AXES,
        "a dimension has no axis, and there are fields of its length, or that of its edges",
    )
    AXIS_WITHOUT_INDEX = "axis-without-index", "", "an axis can't be an index"
    AXIS_WRONG_LENGTH = "axis-wrong-length", "NXdata: AXISNAME", "an axis is of another length than its dimension"
    DIMENSION_LENGTHS_DIFFER = "dimension-lengths-differ", "", "dimensions of one name have several lengths"
    ERRORS_MISSING = "errors-missing", "NXdata: FIELDNAME@uncertainties", "what is said to be uncertainties is no field"
    ERRORS_OTHER_UNITS = (
        "errors-other-units",
        "NXdata: FIELDNAME_errors",
        "uncertainties are in other units than their values, and aren't joined with them",
    )
    ERRORS_WRONG_SHAPE = "errors-wrong-shape", "NXdata: FIELDNAME_errors", "uncertainties have not the field's shape"
    LONGER_THAN_COMMON = (
        "longer-than-common",
        "",
        "a field whose writer has closed it has more than all of its signal, axes and uncertainties have",
    )
    MEANING_UNTOLD = (
        "meaning-untold",
        "NeXus: @units",
        "one of several files doesn't say the units of a variable, or since when times count, as others do",
    )
    SCALING_NAMED = "scaling-named", "NXcanSAS: I@scaling_factor", "a factor of the signal is named, and not applied"
    SCALING_NO_NUMBER = "scaling-no-number", _SCALING, "what a field is scaled by is no single number"
    SCALING_OF_GROUP = (
        "scaling-of-group",
        "NXdata: scaling_factor",
        "a group has a factor of no certain field",
    )
    SCALING_UNREADABLE = "scaling-unreadable", _SCALING, "what a field is scaled by can't be read"
    TIMES_NOT_DECODED = "times-not-decoded", "NXlog: time@start", "numbers that are said to be times can't be dates"

    # --- what is shown to others ---------------------------------------------------------------------------------

    NO_REFERENCE = "no-reference", "", "the bytes of an array in its file are no chunks of Zarr"
    NO_ZARR_TYPE = "no-zarr-type", "Zarr: Data types", "values are of a type that Zarr has not"

    # --- what is to be written ---------------------------------------------------------------------------------

    ATTRIBUTE_RESERVED = "attribute-reserved", "", "an attribute has a meaning of its own in what is written"
    ATTRIBUTE_UNSTORABLE = "attribute-unstorable", _ATTRIBUTES, "HDF5 can't hold an attribute"
    BEHIND_LINK = "behind-link", "", "what changes is in another file"
    BINS_APART = "bins-apart", "NXdata: AXISNAME", "bins with gaps between them aren't written as edges"
    BOUNDS_MISSING = "bounds-missing", "", "an operation has left the edges of bins behind"
    ERRORS_DOUBTFUL = (
        "errors-doubtful",
        "NXdata: FIELDNAME_errors",
        "what is called uncertainties was computed as ordinary values, or values were that they were of",
    )
    ERRORS_NEGATIVE = "errors-negative", "NXdata: FIELDNAME_errors", "uncertainties have a sign, which means nothing"
    INDEX_OF_LEVELS = "index-of-levels", "", "an index of several levels can't be written"
    LENGTH_UNKNOWN = "length-unknown", "", "how long an array is isn't known before it is computed"
    NAME_INVALID = "name-invalid", _LINKS, "HDF5 can't hold a name"
    NAME_SCALES = "name-scales", _SCALING, "a variable would scale another by its name"
    NOT_ADDED = "not-added", "", "what is no signal isn't added up where bins are put together"
    SCALED_IN_FILE = "scaled-in-file", _SCALING, "the values that change are scaled in the file"
    TIME_HAS_UNITS = "time-has-units", "NeXus: @units", "dates or times have units that can't be written"
    TIMES_DECODED = "times-decoded", "NeXus: @units", "dates that change are numbers or text in the file"
    TREE_IN_ITSELF = "tree-in-itself", "", "a dictionary contains itself"
    VALUE_AS_TEXT = "value-as-text", "", "an attribute in a form that HDF5 can't hold becomes JSON text"
    VALUE_OF_NO_ENTRY = "value-of-no-entry", "", "an array that is converted is in no entry with data"
    VALUE_STAYS_MASKED = "value-stays-masked", "", "integers keep the value that stands for what is missing"
    VALUE_UNSTORABLE = "value-unstorable", "HDF5: Datatype Message", "HDF5 can't hold a value"


# What isn't there of what a file is made of, or not all of it, or isn't to be had.
MISSING = frozenset(
    {
        Code.LINK_TARGET_MISSING,
        Code.OUT_OF_REACH,
        Code.RAW_FILE_SHORT,
        Code.SEGMENTS_LEFT_OUT,
        Code.SOURCE_MISSING,
    }
)
# What of a file's description can't be read.
UNREADABLE = frozenset(
    {
        Code.ATTRIBUTE_UNREADABLE,
        Code.ATTRIBUTES_UNLISTED,
        Code.DATATYPE_UNREADABLE,
        Code.LINK_UNREADABLE,
        Code.MEMBER_UNREADABLE,
        Code.MEMBERS_UNLISTED,
        Code.OBJECT_UNREADABLE,
        Code.STORAGE_UNKNOWN,
    }
)


@dataclass(frozen=True)
class Diagnostic:
    """One thing that a file says and that can't be honoured.

    Parameters
    ----------
    code
        What is the matter, by a name that stays the same.
    path
        Absolute path in the file.
    rule
        What of the NeXus manual, or of the HDF5 specification, is broken; empty where nothing is.
    message
        What was found and what came of it, in words.

    Examples
    --------
    >>> import h5py
    >>> import warnings
    >>> import xarray as xr
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     file["entry/data/counts"] = [1, 2, 3]
    ...     file["entry/data"].attrs.update(NX_class="NXdata", signal="counts", axes="x")
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     dataset = xr.open_dataset("scan.nxs", engine="nexus")
    >>> [diagnostic] = caught[0].message.diagnostics
    >>> diagnostic.code, diagnostic.path, diagnostic.rule
    ('axis-missing', '/entry/data', 'NXdata: @axes')
    >>> print(diagnostic)
    /entry/data: @axes names 'x', which is not there
    """

    code: Code
    path: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"

    @classmethod
    def of(cls, code: Code, path: str, message: str) -> Diagnostic:
        """One with the rule of its code."""
        return cls(code, path, code.rule, message)


class Diagnostics:
    """Keeps what is met, each thing once, in the order in which it was.

    Examples
    --------
    >>> diagnostics = Diagnostics()
    >>> diagnostics.add(Code.TOO_DEEP, "/a/b", "lies deeper than 1 group")
    >>> [str(each) for each in diagnostics]
    ['/a/b: lies deeper than 1 group']
    """

    def __init__(self) -> None:
        self._met: dict[Diagnostic, None] = {}

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._met)

    def add(self, code: Code, path: str, message: str) -> None:
        """Keep one thing that was met."""
        self._met.setdefault(Diagnostic.of(code, path, message))

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Keep what was met elsewhere."""
        self._met |= dict.fromkeys(diagnostics)

    def having(self, codes: Container[Code]) -> tuple[Diagnostic, ...]:
        """Those with one of these codes."""
        return tuple(diagnostic for diagnostic in self if diagnostic.code in codes)
