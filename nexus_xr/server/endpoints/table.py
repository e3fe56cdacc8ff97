"""All endpoints of files."""

from __future__ import annotations

from nexus_xr.server.formats.table import FORMATS
from nexus_xr.server.jobs.answer import JSON
from nexus_xr.server.jobs.chunk import ReadChunk
from nexus_xr.server.jobs.data import ReadData
from nexus_xr.server.jobs.h5grove.attributes import ReadAttributes
from nexus_xr.server.jobs.h5grove.data import AS_STORED, FORMATS_OF_H5GROVE, SAFE, ReadValues
from nexus_xr.server.jobs.h5grove.entities import FOLLOWED
from nexus_xr.server.jobs.h5grove.meta import DescribeEntity
from nexus_xr.server.jobs.h5grove.paths import ListPaths
from nexus_xr.server.jobs.h5grove.plotted import FORMS
from nexus_xr.server.jobs.listing import ListFolder
from nexus_xr.server.jobs.meta import ReadMeta
from nexus_xr.server.jobs.stored_file import MEDIA_TYPE as HDF5
from nexus_xr.server.jobs.stored_file import ReadFile
from nexus_xr.server.jobs.values.reduced import REDUCTIONS
from nexus_xr.server.jobs.zarr import ReadKey

from .endpoint import Endpoint
from .listing import list_folder
from .parameters import Parameter, choice, flag, real, text, texts, whole, wholes

_MOST_LISTED = 10_000
_DEEPEST = 64
_MOST_POINTS = 1 << 20
FILE = Parameter("file", "the file, by its path below the folder", {"type": "string", "minLength": 1}, place="path")
_FOLDER = Parameter(
    "folder", "the folder, by its path below the one that is served", {"type": "string"}, default="", place="path"
)
PATH = text("path", "the path in the file", "/")
_PAGE = (
    whole("offset", "how many to leave out before the first", 0, 0, 1 << 40),
    whole("limit", "how many to tell of", 1000, 1, _MOST_LISTED),
    flag("details", "whether to say of each of at most 100 files what it is about"),
)
_DATA = (
    FILE,
    PATH,
    text("selection", "what of the array, such as 0,:,10:20:2"),
    choice("format", "the form", tuple(FORMATS), "bin", argument="form"),
    choice("reduce", "what to make of the values along the axes", ("", *REDUCTIONS), ""),
    wholes("axes", "the dimensions of what is selected that are reduced; none for all"),
    whole("decimate", "how many positions each dimension may have at most, or 0 for all", 0, 0, _MOST_POINTS),
    real("low", "the value that is black in a picture"),
    real("high", "the value that is white in a picture"),
)

_H5GROVE_FILE = Parameter(FILE.name, FILE.meaning, FILE.schema, is_required=True)
_LINKS = choice("resolve_links", "which links to follow", FOLLOWED, FOLLOWED[0])
_TOLD = choice("as", "as what data is told", FORMS, FORMS[0], argument="told")
_H5GROVE = (
    Endpoint(
        "/h5grove/meta",
        "What an object is, as h5grove says it.",
        (_H5GROVE_FILE, PATH, _LINKS, _TOLD),
        DescribeEntity,
        ignores_others=True,
    ),
    Endpoint(
        "/h5grove/attr",
        "Values of attributes, as h5grove says them.",
        (_H5GROVE_FILE, PATH, texts("attr_keys", "names of attributes; none for all", argument="names"), _TOLD),
        ReadAttributes,
        ignores_others=True,
    ),
    Endpoint(
        "/h5grove/data",
        "Values of a dataset, as h5grove sends them.",
        (
            _H5GROVE_FILE,
            PATH,
            text("selection", "what of it, such as 0,:,10:20:2"),
            choice("format", "the form", FORMATS_OF_H5GROVE, "json", argument="form"),
            choice("dtype", "the type of the values", (AS_STORED, SAFE), AS_STORED),
            flag("flatten", "whether the values are one list"),
            _TOLD,
        ),
        ReadValues,
        tuple(FORMATS[name].media_type for name in FORMATS_OF_H5GROVE),
        ignores_others=True,
    ),
    Endpoint(
        "/h5grove/paths",
        "The paths of all objects below a group.",
        (_H5GROVE_FILE, PATH, _LINKS, _TOLD),
        ListPaths,
        ignores_others=True,
    ),
)

_RANGE = (
    text("Range", "the bytes, such as bytes=0-1023", place="header", argument="asked"),
    text(
        "If-Range",
        "the state that they are asked of: its ETag, or of /file its Last-Modified",
        place="header",
        argument="condition",
    ),
)

# Those first that are asked most often.
ENDPOINTS = (
    Endpoint(
        "/api/meta/{file:path}",
        "What there is at a path of a file: members, attributes, and what the data rules make of it.",
        (FILE, PATH, whole("depth", "how many levels of members to describe", 1, 0, _DEEPEST)),
        ReadMeta,
    ),
    Endpoint(
        "/api/data/{file:path}",
        "Values of an array.",
        _DATA,
        ReadData,
        tuple(dict.fromkeys(each.media_type for each in FORMATS.values())),
        headers={
            "X-Shape": "the shape of what is sent, whole numbers with commas between them",
            "X-Dtype": "the type of its values, as NumPy writes it; of bin, that of the bytes",
        },
    ),
    Endpoint(
        "/api/chunk/{file:path}",
        "A chunk as it is stored.",
        (FILE, PATH, wholes("chunk", "its position, counted in chunks along each dimension")),
        ReadChunk,
        ("application/octet-stream",),
        headers={
            "X-Shape": "the shape of a chunk, whole numbers with commas between them",
            "X-Dtype": "the type of its values as they are stored, as NumPy writes it",
            "X-Filters": "the filters in the order of writing, a list of JSON: id, name, options, and whether applied",
        },
    ),
    Endpoint(
        "/file/{file:path}",
        "A file as it is stored: whole, or a range of its bytes.",
        (FILE, *_RANGE),
        ReadFile,
        (HDF5,),
    ),
    Endpoint(
        "/zarr/{file:path}",
        "What stands behind a key of a file that is seen as a Zarr store.",
        (FILE, *_RANGE),
        ReadKey,
        (JSON, "application/octet-stream"),
    ),
    *_H5GROVE,
    Endpoint("/api/files", "What is served.", _PAGE, ListFolder, respond=list_folder),
    Endpoint("/api/files/{folder:path}", "What a folder holds.", (_FOLDER, *_PAGE), ListFolder, respond=list_folder),
)
